//! Training on several devices at once: every rank, a device with a copy of the weights, computes
//! the gradient of its share of a step's patches; the gradients are summed, and all copies step
//! alike.
//!
//! Ranks are threads of one process ([`Ranks::Threads`]) or processes, one a device
//! ([`Ranks::Processes`]). What differs between them is a [`Reducer`]: through the host's memory, by
//! burn's collective, or by NCCL across machines.
//!
//! A step's gradients are summed as one flat tensor after its backward pass, not in buckets during
//! it. Rewound sequences give their parameters' gradients all at once and late, so little could
//! overlap; and there is little to gain: `mbconv-base` has 5.3 million parameters, 21 MB in f32,
//! which an NVLink (hundreds of GB/s) moves in under a millisecond and PCIe in a few, beside a step
//! of hundreds.

use anyhow::Result;
use burn::tensor::Tensor;

mod broadcast;
mod collective;
mod command;
mod gradients;
mod host;
mod link;
#[cfg_attr(not(feature = "cuda"), path = "parallel/no_nccl.rs")]
mod nccl;
mod processes;
mod ranks;
mod share;
mod threads;
mod validation;
mod work;
mod world;

pub(crate) use broadcast::{check_alike, from_first};
pub(crate) use command::{Command, announce, follow};
pub(crate) use gradients::sum_gradients;
pub use processes::Processes;
pub use ranks::{Ranks, Wrap};
pub use share::Share;
pub(crate) use validation::validate;
pub(crate) use work::Worker;
pub use world::World;

/// How a rank adds up with the others. Every rank calls the same functions in the same order; each
/// call returns when all ranks have made it, or with the failure of the rank that never will.
pub trait Reducer: Send + Sync {
    /// This rank's number, from 0.
    fn rank(&self) -> usize;

    /// How many ranks there are.
    fn num_ranks(&self) -> usize;

    /// Replaces numbers by their sums over all ranks, which are the same on each, bit for bit. Of no
    /// numbers, it is a place to wait for the others.
    ///
    /// # Errors
    /// [`RankFailed`] when a rank has ended; what failed on the way to it.
    fn sum_numbers(&self, numbers: &mut [f64]) -> Result<()>;

    /// The sum of a tensor over all ranks, the same on each, bit for bit.
    ///
    /// # Errors
    /// As [`Reducer::sum_numbers`].
    fn sum(&self, values: Tensor<1>) -> Result<Tensor<1>>;
}

/// The only rank.
pub struct Alone;

impl Reducer for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn num_ranks(&self) -> usize {
        1
    }

    fn sum_numbers(&self, _: &mut [f64]) -> Result<()> {
        Ok(())
    }

    fn sum(&self, values: Tensor<1>) -> Result<Tensor<1>> {
        Ok(values)
    }
}

/// Where all ranks have found a number that is none, lets the ranks speak from which it comes: another
/// waits for what they say, and goes on only if it comes from no single one.
///
/// # Errors
/// What they said.
pub(crate) fn let_it_be_named(reducer: &dyn Reducer, is_mine: bool) -> Result<()> {
    if is_mine { Ok(()) } else { reducer.sum_numbers(&mut []) }
}

/// A rank that ended with an error, and so ends the run.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("rank {rank} ({device}): {message}")]
pub struct RankFailed {
    /// Its number.
    pub rank: usize,
    /// What it computed on, and where.
    pub device: String,
    /// Why it ended.
    pub message: String,
}
