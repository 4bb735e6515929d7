//! What Rewind promises across its crates, one file a promise.

mod harness;
mod layering;
mod reversible;
mod sources;
mod tidy;
