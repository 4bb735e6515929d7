//! Finds the brain of an examination if the model expects scans without skull.

use std::borrow::Cow;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use crate::brain::{extract_brain, is_stripped};
use crate::prepare::record::BrainStep;
use crate::{Bundle, LabelMap, PreprocessConfig, Result, Volume};

/// The label of the brain in a mask.
pub const BRAIN: u8 = 1;

/// The user's choice for the skull.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrainChoice {
    /// Extract the brain if the model expects scans without skull and these have one.
    #[default]
    Automatic,
    /// Keep the skull.
    Keep,
    /// Extract the brain in any case.
    Extract,
}

/// The brain of an examination.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant)] // Only one value exists.
pub enum Brain {
    /// The model takes scans with skull.
    NotNeeded,
    /// The scans have no skull.
    AlreadyStripped,
    /// The user keeps the skull of a model that expects none.
    KeptByUser,
    /// The brain's voxels have the label 1.
    Mask(LabelMap),
}

impl Brain {
    /// Returns the step for the record of the preparation. `is_edited` states whether a person changed
    /// the mask.
    pub fn step(&self, is_edited: bool) -> BrainStep {
        match self {
            Brain::NotNeeded => BrainStep::NotNeeded,
            Brain::AlreadyStripped => BrainStep::AlreadyStripped,
            Brain::KeptByUser => BrainStep::KeptByUser,
            Brain::Mask(mask) => {
                BrainStep::Extracted { volume_ml: mask.volume_ml(&[BRAIN]), is_edited }
            }
        }
    }
}

/// The scans from which the brain must be extracted, or the reason why it need not be.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant)] // Only one value exists.
pub enum BrainNeed<'a> {
    /// The brain is known without the network.
    Known(Brain),
    /// The network for brain extraction must find it in these scans.
    Extraction(Vec<&'a Volume>),
}

/// Returns whether the brain must be extracted from channels that lie on one grid. Missing channels
/// are left out.
pub fn brain_need<'a>(
    channels: &[&'a Volume],
    choice: BrainChoice,
    config: &PreprocessConfig,
) -> BrainNeed<'a> {
    let is_expected = config.expects_skull_stripped();
    let with_skull = || -> Vec<&'a Volume> {
        channels.iter().copied().filter(|volume| !is_stripped(volume)).collect()
    };
    match choice {
        BrainChoice::Extract => BrainNeed::Extraction(channels.to_vec()),
        _ if !is_expected => BrainNeed::Known(Brain::NotNeeded),
        _ => match (with_skull(), choice) {
            (scans, _) if scans.is_empty() => BrainNeed::Known(Brain::AlreadyStripped),
            (_, BrainChoice::Keep) => BrainNeed::Known(Brain::KeptByUser),
            (scans, _) => BrainNeed::Extraction(scans),
        },
    }
}

/// Finds the brain of channels that lie on one grid. Missing channels are left out.
///
/// `network` is the network for brain extraction. `control` receives the completed fraction; if it
/// breaks, the result is `None`.
///
/// # Errors
/// The errors of [`extract_brain`].
pub fn find_brain(
    channels: &[&Volume],
    choice: BrainChoice,
    config: &PreprocessConfig,
    network: &Bundle,
    control: &mut dyn FnMut(f32) -> ControlFlow<()>,
) -> Result<Option<Brain>> {
    match brain_need(channels, choice, config) {
        BrainNeed::Known(brain) => Ok(Some(brain)),
        BrainNeed::Extraction(scans) => {
            Ok(extract_brain(network, &scans, control)?.map(Brain::Mask))
        }
    }
}

/// Sets everything outside the brain to 0. Channels that are 0 there already are not copied.
///
/// # Panics
/// If the mask has another number of voxels.
pub fn apply_brain(channels: &mut [Cow<'_, Volume>], mask: &LabelMap) {
    for channel in channels {
        assert_eq!(channel.values().len(), mask.labels().len(), "a mask on the channels' grid");
        let outside = |(value, label): (&f32, &u8)| *label != BRAIN && *value != 0.0;
        if channel.values().iter().zip(mask.labels()).any(outside) {
            let values = channel.to_mut().values_mut().iter_mut().zip(mask.labels());
            values.filter(|(_, label)| **label != BRAIN).for_each(|(value, _)| *value = 0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Affine, Grid};

    #[test]
    fn voxels_outside_the_brain_become_zero() {
        let grid = Grid::new([2, 2, 1], Affine::IDENTITY);
        let head = Volume::new(grid.clone(), vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        let stripped = Volume::new(grid.clone(), vec![0.0, 2.0, 3.0, 0.0]).unwrap();
        let mask = LabelMap::new(grid, vec![0, 1, 1, 0]).unwrap();
        let mut channels = [Cow::Borrowed(&head), Cow::Borrowed(&stripped)];
        apply_brain(&mut channels, &mask);
        assert_eq!(channels[0].values(), [0.0, 2.0, 3.0, 0.0]);
        assert!(matches!(channels[1], Cow::Borrowed(_)), "not copied");
        assert_eq!(
            Brain::Mask(mask).step(true),
            BrainStep::Extracted { volume_ml: 0.002, is_edited: true }
        );
    }
}
