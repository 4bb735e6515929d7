//! Data-parallel training: each rank has a device and a copy of the weights, and computes the
//! gradient of its shard of a step's patches. The gradients are summed, and all copies take the same
//! step.
//!
//! Ranks are threads of one process ([`Ranks::Threads`]) or processes with one device each
//! ([`Ranks::Processes`]). A [`Reducer`] sums over the ranks: in host memory, by burn's collective,
//! or by NCCL across processes.
//!
//! The gradients of a step are summed as one flat tensor after the backward pass, not in buckets
//! during it. A rewound sequence returns all gradients of its parameters at once and late, so little
//! could overlap. The sum is short: `mbconv-base` has 5.3 million parameters, 21 MB in f32, which
//! takes less than a millisecond over NVLink and a few over PCIe. A step takes hundreds.

use anyhow::Result;
use burn::tensor::Tensor;

mod collective;
mod command;
mod failure;
mod gradients;
mod host;
#[cfg_attr(not(feature = "cuda"), path = "parallel/no_nccl.rs")]
mod nccl;
mod processes;
mod ranks;
mod session;
mod validation;
mod worker;
mod world;

pub(crate) use command::{Command, announce, follow};
pub use failure::RankFailed;
pub(crate) use gradients::sum_gradients;
pub use processes::Processes;
pub use ranks::{Ranks, Wrap};
pub(crate) use session::RANKS;
pub(crate) use validation::validate;
pub(crate) use worker::Worker;
pub use world::World;

/// Sums over the ranks. Every rank calls the same functions in the same order. A call returns when
/// all ranks have made it, or with the failure of a rank that has ended.
pub trait Reducer: Send + Sync {
    /// Number of this rank, from 0.
    fn rank(&self) -> usize;

    /// Number of ranks.
    fn num_ranks(&self) -> usize;

    /// Replaces numbers by their sums over all ranks, which are equal bit for bit on all ranks. With
    /// no numbers, it only waits for the other ranks.
    ///
    /// # Errors
    /// [`RankFailed`] if a rank has ended, or the error of the transport.
    fn sum_numbers(&self, numbers: &mut [f64]) -> Result<()>;

    /// Returns the sum of a tensor over all ranks, which is equal bit for bit on all ranks.
    ///
    /// # Errors
    /// As [`Reducer::sum_numbers`].
    fn sum(&self, values: Tensor<1>) -> Result<Tensor<1>>;
}

/// The reducer of a training with one rank.
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

/// Chooses the ranks that report a value that is not finite, and returns on these. They are the ranks
/// with `is_certain`; if there are none, those with `is_suspect`; if there are none either, all. The
/// other ranks wait for the error of a reporting rank.
///
/// All ranks call it after the same sum. The choice depends only on sums: a rank that decided by its
/// own values would leave the others in a different sum, which NCCL does not detect.
///
/// # Errors
/// The error of a reporting rank, on the ranks that wait.
pub(crate) fn report_non_finite(
    reducer: &dyn Reducer,
    is_certain: bool,
    is_suspect: bool,
) -> Result<()> {
    let mut counts = [is_certain, is_suspect].map(|is| f64::from(u8::from(is)));
    reducer.sum_numbers(&mut counts)?;
    let reports = match counts {
        [0.0, 0.0] => true,
        [0.0, _] => is_suspect,
        _ => is_certain,
    };
    if reports { Ok(()) } else { reducer.sum_numbers(&mut []) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host::tests::on_ranks;

    /// Returns which of three ranks report. A reporting rank fails, which ends the others.
    fn reporting(knowledge: [(bool, bool); 3]) -> Vec<bool> {
        on_ranks(3, |reducer| {
            let (is_certain, is_suspect) = knowledge[reducer.rank];
            let reports = report_non_finite(reducer, is_certain, is_suspect).is_ok();
            if reports {
                reducer.failure.set(RankFailed {
                    rank: reducer.rank,
                    device: "cpu".into(),
                    message: "a loss that is not finite".into(),
                });
            }
            reports
        })
    }

    #[test]
    fn the_ranks_that_know_most_report_a_value_that_is_not_finite_and_no_rank_waits_forever() {
        let (nothing, suspect, certain) = ((false, false), (false, true), (true, false));
        assert_eq!(reporting([nothing, suspect, certain]), [false, false, true]);
        assert_eq!(reporting([nothing, suspect, suspect]), [false, true, true]);
        assert_eq!(reporting([suspect, nothing, nothing]), [true, false, false]);
        assert_eq!(reporting([nothing; 3]), [true; 3]);
    }
}
