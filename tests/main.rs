//! What Rewind promises across its crates, one file a promise.

mod harness;
mod layering;
mod program_matches_model;
mod reversible;
mod sources;
mod tidy;
