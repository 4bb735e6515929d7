//! Dice of a network on whole cases, on the scans' own grids.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use burn::tensor::Device;
use model_core::metrics::dice;
use model_core::nets::UNet3d;
use model_core::{EmptyRule, Score, Task, postprocess};

use crate::model;
use trainer_data::cases::Cases;

/// The rule for empty regions in all scores of a training. A region that is absent in reference and
/// prediction counts 1, so that every case contributes to the mean.
pub const RULE: EmptyRule = EmptyRule::Brats2023;

/// Dice by region, then by case.
#[derive(Debug, Clone, PartialEq)]
pub struct Validation {
    /// Each case's Dice, by region of the task.
    pub dice: Vec<Vec<f64>>,
}

/// Cases to measure, by number, and their task.
#[derive(Clone, Copy)]
pub struct CaseSet<'a> {
    /// The task.
    pub task: &'a Task,
    /// The preprocessed cases of the data set.
    pub cases: &'a Cases,
    /// The numbers of the cases to measure.
    pub numbers: &'a [usize],
}

/// Measures a network on some cases; `None` if `stop` was set on the way.
///
/// # Errors
/// Errors if a case can no longer be read.
pub fn validate(
    network: &UNet3d,
    set: CaseSet,
    device: &Device,
    stop: &AtomicBool,
    mut progress: impl FnMut(usize),
) -> Result<Option<Validation>> {
    let CaseSet { task, cases, numbers } = set;
    let mut by_region = vec![Vec::new(); task.regions.len()];
    for (done, &number) in numbers.iter().enumerate() {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        progress(done);
        let reference = cases.reference(number)?.into_labels();
        let case = cases.load(number)?;
        let logits = model::logits(network, &case.input, device);
        let predicted = postprocess(&logits, task, &case.placement);
        for (scores, region) in by_region.iter_mut().zip(&task.regions) {
            scores.push(dice(predicted.labels(), &reference, &region.labels, RULE));
        }
    }
    Ok(Some(Validation { dice: by_region }))
}

impl Validation {
    /// Returns each region's mean over the cases.
    pub fn means(&self) -> Vec<f64> {
        self.dice.iter().map(|scores| scores.iter().sum::<f64>() / scores.len() as f64).collect()
    }

    /// Returns the mean over the regions of their means.
    pub fn mean(&self) -> f64 {
        let means = self.means();
        means.iter().sum::<f64>() / means.len() as f64
    }

    /// Returns the means in the form of a bundle's card.
    pub fn scores(&self, task: &Task) -> Vec<Score> {
        let scores = task.regions.iter().zip(self.means()).zip(&self.dice);
        scores
            .map(|((region, dice), all)| Score {
                region: region.name.clone(),
                dice,
                dice_deviation: None,
                hd95_mm: None,
                n: all.len(),
            })
            .collect()
    }
}
