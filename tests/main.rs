//! What Rewind promises across its crates, one file a promise.

mod harness;
mod reversible;
