//! The rules of the sources alone, built by `cargo xtask test` in seconds, before everything else:
//! `rustc --edition=2024 --test tests/rules.rs`. In [`main`](../main.rs) they stand with the rest.

mod docs;
mod layering;
mod sources;
mod tidy;
