//! `cargo xtask bench`: benchmarks that take more than one command.

pub mod browser;
pub mod engine;
