//! Replaces `nccl` in builds without CUDA.

use std::sync::Arc;

use anyhow::{Result, bail};

use super::failure::FirstFailure;
use super::session::Id;
use super::{Reducer, World};

/// Refuses several processes. Several GPUs of one process are refused one by one.
pub(super) fn check(num_ranks: usize) -> Result<()> {
    bail!(
        "expected a build with CUDA for {num_ranks} processes (WORLD_SIZE), since they sum by NCCL; \
         build with `cargo build -p trainer --features cuda`"
    )
}

pub(super) fn new_id() -> Result<Id> {
    unreachable!("refused by `check`")
}

pub(super) fn join(_: &World, _: usize, _: &Id, _: Arc<FirstFailure>) -> Result<Arc<dyn Reducer>> {
    unreachable!("refused by `check`")
}
