//! A validation divided among the ranks by case. Each rank measures with its copy of the averaged
//! weights, which are the same on all ranks.

use std::sync::atomic::AtomicBool;

use anyhow::Result;
use burn::tensor::Device;
use model_core::nets::UNet3d;

use super::Reducer;
use crate::validate::{self, CaseSet, Validation};

/// Measures a network on some cases. Returns the same validation on all ranks, or
/// `None` if a rank was asked to stop.
///
/// # Errors
/// If a case cannot be read again, or another rank has ended.
pub(crate) fn validate(
    reducer: &dyn Reducer,
    network: &UNet3d,
    set: CaseSet,
    device: &Device,
    stop: &AtomicBool,
    progress: impl FnMut(usize),
) -> Result<Option<Validation>> {
    let CaseSet { task, numbers: measured, .. } = set;
    let (rank, num_ranks) = (reducer.rank(), reducer.num_ranks());
    let own: Vec<usize> = measured.iter().copied().skip(rank).step_by(num_ranks).collect();
    let own = CaseSet { numbers: &own, ..set };
    let own = validate::validate(network, own, device, stop, progress)?;
    // The number of ranks that were asked to stop, then each region's Dice by case: 0 for the cases
    // of other ranks.
    let count = measured.len();
    let mut numbers = vec![0.0; 1 + task.regions.len() * count];
    match own {
        None => numbers[0] = 1.0,
        Some(Validation { dice }) => {
            for (scores, all) in dice.iter().zip(numbers[1..].chunks_exact_mut(count)) {
                let all = all.iter_mut().skip(rank).step_by(num_ranks);
                all.zip(scores).for_each(|(dice, score)| *dice = *score);
            }
        }
    }
    reducer.sum_numbers(&mut numbers)?;
    let dice = numbers[1..].chunks_exact(count).map(<[f64]>::to_vec).collect();
    Ok((numbers[0] == 0.0).then_some(Validation { dice }))
}
