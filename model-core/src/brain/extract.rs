//! Second step of brain extraction: runs the network on the head and cleans its mask.

use std::ops::ControlFlow;

use super::head_box::HeadBox;
use crate::cpu::{CpuError, CpuOutput, CpuPlan};
use crate::metrics::{Connectivity, components};
use crate::{Bundle, Error, LabelMap, Program, Result, Volume, preprocess};

/// The logit of a voxel that cleaning removes or adds. It is near the border's, so that the mask's
/// surface stays between voxels.
const CLEANED_LOGIT: f32 = 2.0;

/// The logit outside the box, and the largest magnitude of a logit.
const MAX_LOGIT: f32 = 8.0;

/// Finds the brain in the channels of one examination, which lie on one grid. Returns the mask on
/// this grid, 1 in the brain; `None` if `control` canceled the computation. The mask is that of the
/// channels' mean logits, reduced to its largest component and without holes.
///
/// `control` receives the completed fraction, and cancels by breaking.
///
/// # Errors
/// [`Error::Scan`] if there is no channel, if the channels differ in size, or if one is constant;
/// [`Error::Network`] if the model is not for brain extraction; [`Error::TooLarge`].
pub fn extract_brain(
    model: &Bundle,
    volumes: &[&Volume],
    control: &mut dyn FnMut(f32) -> ControlFlow<()>,
) -> Result<Option<LabelMap>> {
    let Some(first) = volumes.first() else {
        return Err(Error::scan("at least one channel", "none"));
    };
    let head_box = HeadBox::find(first)?;
    let mut logits: Vec<f32> = Vec::new();
    for (number, volume) in volumes.iter().enumerate() {
        let input = head_box.place(volume)?;
        let mut report = |fraction: f32| control((number as f32 + fraction) / volumes.len() as f32);
        let Some(found) = run(model, input, &mut report)? else { return Ok(None) };
        match logits.is_empty() {
            true => logits = found,
            false => logits.iter_mut().zip(found).for_each(|(sum, logit)| *sum += logit),
        }
    }
    clean(&mut logits, head_box.grid().dims);
    let mask = head_box.restore(&logits, -MAX_LOGIT);
    let mask = mask.into_iter().map(|logit| u8::from(logit > 0.0)).collect();
    LabelMap::new(first.grid().clone(), mask).map(Some)
}

/// Returns the logits of the brain for a scan in the box, with limited magnitude.
fn run(
    model: &Bundle,
    input: Volume,
    control: &mut dyn FnMut(f32) -> ControlFlow<()>,
) -> Result<Option<Vec<f32>>> {
    let network = &model.card.network;
    if model.card.task.num_outputs() != 1 {
        let found = format!("{} outputs", model.card.task.num_outputs());
        return Err(Error::network("a network for brain extraction, with one output", found));
    }
    let (input, placement) = preprocess(&[input], &model.card.preprocess, network)?;
    let program = Program::new(network, input.dims)?;
    let plan = CpuPlan::within(&program, 1, u64::MAX)?.remove(0);
    let output = plan.run(&model.weights, &input.values, |fraction| control(fraction as f32));
    match output {
        Ok(CpuOutput::Logits(logits)) => {
            let logits: Vec<f32> =
                logits.into_iter().map(|x| x.clamp(-MAX_LOGIT, MAX_LOGIT)).collect();
            Ok(Some(placement.restore_image(&logits, -MAX_LOGIT)))
        }
        Ok(CpuOutput::Labels(_)) => Err(Error::network("logits", "labels")),
        Err(CpuError::Canceled) => Ok(None),
        Err(error) => Err(Error::network("a network that can be run", error)),
    }
}

/// Keeps the largest component of the positive logits, and fills its holes.
fn clean(logits: &mut [f32], dims: [usize; 3]) {
    let mask: Vec<bool> = logits.iter().map(|logit| *logit > 0.0).collect();
    let found = components(&mask, dims, Connectivity::Face);
    let Some(brain) = found.largest() else { return };
    let outside: Vec<bool> = found.labels.iter().map(|label| *label != brain).collect();
    let air = components(&outside, dims, Connectivity::Face);
    let Some(air_label) = air.largest() else { return };
    for (n, logit) in logits.iter_mut().enumerate() {
        if air.labels[n] == air_label {
            *logit = if *logit > 0.0 { -CLEANED_LOGIT } else { *logit };
        } else {
            *logit = if *logit > 0.0 { *logit } else { CLEANED_LOGIT };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaning_keeps_the_largest_component_and_fills_its_holes() {
        let dims = [7, 5, 5];
        let mut logits = vec![-1.0; 175];
        let at = |i: usize, j: usize, k: usize| i + 7 * (j + 5 * k);
        for n in 0..27 {
            logits[at(1 + n % 3, 1 + n / 3 % 3, 1 + n / 9)] = 3.0;
        }
        logits[at(2, 2, 2)] = -4.0; // a hole
        logits[at(6, 2, 2)] = 5.0; // a second component
        clean(&mut logits, dims);
        assert_eq!(logits[at(2, 2, 2)], CLEANED_LOGIT);
        assert_eq!(logits[at(6, 2, 2)], -CLEANED_LOGIT);
        assert_eq!(logits.iter().filter(|logit| **logit > 0.0).count(), 27);
    }
}
