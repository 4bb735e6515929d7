//! The tests of the sources as a separate binary. `cargo xtask test` builds and runs it in seconds,
//! before everything else: `rustc --edition=2024 --test tests/rules.rs`. [`main`](../main.rs)
//! includes the same tests.

mod docs;
mod layering;
mod sources;
mod tidy;
