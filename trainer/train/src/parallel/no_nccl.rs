//! Stands for `nccl` in builds without CUDA, which have no NCCL.

use std::sync::Arc;

use anyhow::{Result, bail};

use super::link::{Id, Link};
use super::{Reducer, World};

/// Refuses several processes; several GPUs of one are refused one by one.
///
/// # Errors
/// Always.
pub(super) fn check(num_ranks: usize) -> Result<()> {
    bail!(
        "expected a build with CUDA for {num_ranks} processes (WORLD_SIZE), since they add up by NCCL; \
         build with `cargo build -p trainer --features cuda`"
    )
}

/// No id.
///
/// # Errors
/// Always.
pub(super) fn new_id() -> Result<Id> {
    bail!("expected NCCL, found a build without CUDA")
}

/// Joins nobody.
///
/// # Errors
/// Always.
pub(super) fn join(_: &World, _: usize, _: Id, _: Arc<Link>) -> Result<Arc<dyn Reducer>> {
    bail!("expected NCCL, found a build without CUDA")
}
