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
mod threads;
mod validation;
mod work;
mod world;

pub(crate) use broadcast::{check_alike, from_first};
pub(crate) use command::{Command, announce, follow};
pub(crate) use gradients::sum_gradients;
pub use processes::Processes;
pub use ranks::{Ranks, Wrap};
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
pub struct SingleRank;

impl Reducer for SingleRank {
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

/// Where all ranks have found, in the same sums, a number that is none: returns on those that are to
/// name their cases. These are the ranks that are certain that it comes from them; where there are
/// none, those that suspect it; failing these, all. The others wait for what they say.
///
/// What a rank knows of itself decides nothing before it was summed: a rank that spoke or waited by
/// its own lights would leave the others in another sum, which NCCL does not notice.
///
/// # Errors
/// What the ranks that speak said.
pub(crate) fn let_it_be_named(
    reducer: &dyn Reducer,
    is_certain: bool,
    is_suspect: bool,
) -> Result<()> {
    let mut counts = [is_certain, is_suspect].map(|is| f64::from(u8::from(is)));
    reducer.sum_numbers(&mut counts)?;
    let speaks = match counts {
        [0.0, 0.0] => true,
        [0.0, _] => is_suspect,
        _ => is_certain,
    };
    if speaks { Ok(()) } else { reducer.sum_numbers(&mut []) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// Which of three ranks speak; the others are told of one that failed.
    fn speak(knows: [(bool, bool); 3]) -> Vec<bool> {
        thread::scope(|scope| {
            let ranks = host::tests::meeting(3).into_iter().zip(knows);
            let ranks = ranks.map(|(rank, (is_certain, is_suspect))| {
                scope.spawn(move || {
                    let speaks = let_it_be_named(&rank, is_certain, is_suspect).is_ok();
                    if speaks {
                        rank.meeting.fail(rank.rank, "no number".into());
                    }
                    speaks
                })
            });
            let ranks: Vec<_> = ranks.collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
        })
    }

    #[test]
    fn a_number_that_is_none_is_named_by_who_knows_it_best_and_nobody_waits_in_vain() {
        let (nothing, suspects, is_certain) = ((false, false), (false, true), (true, false));
        assert_eq!(speak([nothing, suspects, is_certain]), [false, false, true]);
        assert_eq!(speak([nothing, suspects, suspects]), [false, true, true]);
        assert_eq!(speak([suspects, nothing, nothing]), [true, false, false]);
        assert_eq!(speak([nothing; 3]), [true; 3]);
    }
}
