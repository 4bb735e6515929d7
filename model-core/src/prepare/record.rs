//! The record of a preparation: stored with a result, in its export and in its link. It holds no text
//! from a scan's header.

use serde::{Deserialize, Serialize};

use crate::texts;
use crate::{Affine, Error, Result};

/// The steps of a preparation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreparationRecord {
    /// The channel on whose grid the others are placed.
    pub reference: String,
    /// One entry for each channel of the task.
    pub channels: Vec<ChannelRecord>,
    /// The treatment of the skull.
    pub brain: BrainStep,
}

/// The steps for one channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelRecord {
    /// The channel's name.
    pub channel: String,
    /// The step that placed it on the reference's grid.
    pub step: ChannelStep,
}

/// The step that placed a channel on the reference's grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ChannelStep {
    /// The channel lies on the reference's grid as it is.
    Unchanged,
    /// The channel was interpolated at the reference's voxels, by the positions in its header.
    Resampled {
        /// The fraction of the reference's voxels that lie in the channel's field of view.
        coverage: f32,
    },
    /// The channel was registered to the reference, and interpolated at its voxels.
    Registered {
        /// The map from world millimeters (RAS+) of the reference to those of the channel.
        moving_from_reference: Affine,
        /// The angle of the rotation.
        rotation_deg: f64,
        /// The movement of the head's center.
        translation_mm: [f64; 3],
        /// The mutual information in nats, before and after.
        mutual_information: [f64; 2],
        /// The fraction of the reference's voxels that lie in the channel's field of view.
        coverage: f32,
    },
    /// There is no scan: the network sees zeros.
    Missing,
}

/// The treatment of the skull.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum BrainStep {
    /// The model takes scans with skull.
    NotNeeded,
    /// The scans had no skull.
    AlreadyStripped,
    /// Everything outside the brain was set to 0.
    Extracted {
        /// The volume of the brain.
        volume_ml: f64,
        /// Whether a person changed the mask, or gave another.
        is_edited: bool,
    },
    /// The model expects scans without skull, but the user kept it.
    KeptByUser,
}

impl PreparationRecord {
    /// Returns whether something was done, or is missing, that a reader of the result must know.
    pub fn is_remarkable(&self) -> bool {
        let is_unchanged = |record: &ChannelRecord| record.step == ChannelStep::Unchanged;
        let has_brain = matches!(self.brain, BrainStep::NotNeeded | BrainStep::AlreadyStripped);
        !(self.channels.iter().all(is_unchanged) && has_brain)
    }

    /// Describes the steps, one sentence each.
    pub fn sentences(&self) -> Vec<String> {
        let reference = &self.reference;
        let channel = |record: &ChannelRecord| {
            let name = &record.channel;
            match &record.step {
                ChannelStep::Unchanged => None,
                ChannelStep::Missing => Some(format!(
                    "{name} is missing: the model was trained to tolerate this, with a less certain result."
                )),
                ChannelStep::Resampled { coverage } => {
                    let partly = partly(*coverage);
                    Some(format!("{name} was resampled to the grid of {reference}{partly}."))
                }
                ChannelStep::Registered { rotation_deg, translation_mm, coverage, .. } => {
                    let distance_mm = translation_mm.iter().map(|x| x * x).sum::<f64>().sqrt();
                    let partly = partly(*coverage);
                    Some(format!(
                        "{name} was registered to {reference}: turned by {rotation_deg:.1}° and \
                         moved by {distance_mm:.1} mm{partly}."
                    ))
                }
            }
        };
        let brain = match self.brain {
            BrainStep::NotNeeded | BrainStep::AlreadyStripped => None,
            BrainStep::Extracted { volume_ml, is_edited } => {
                let edited = if is_edited { ", with a mask that was edited" } else { "" };
                Some(format!("The brain ({volume_ml:.0} ml) was extracted{edited}."))
            }
            BrainStep::KeptByUser => {
                Some("The skull was kept, although the model expects scans without it.".into())
            }
        };
        self.channels.iter().filter_map(channel).chain(brain).collect()
    }

    /// Returns the record as JSON text for a file, with the version of the code and the disclaimer.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct File<'a> {
            disclaimer: &'static str,
            software: &'static str,
            steps: Vec<String>,
            preparation: &'a PreparationRecord,
        }
        let file = File {
            disclaimer: texts::DISCLAIMER,
            software: concat!("rewind ", env!("CARGO_PKG_VERSION")),
            steps: self.sentences(),
            preparation: self,
        };
        serde_json::to_string_pretty(&file).expect("a record is plain data")
    }

    /// Checks a record from outside.
    ///
    /// # Errors
    /// [`Error::Scan`] if a text is too long or has control characters, or if a number is out of its
    /// range.
    pub fn check(&self) -> Result<()> {
        let names =
            std::iter::once(&self.reference).chain(self.channels.iter().map(|c| &c.channel));
        for name in names {
            if let Some((expected, found)) = texts::name_fault("a channel's name", name) {
                return Err(Error::scan(expected, found));
            }
        }
        let numbers = self.channels.iter().flat_map(|record| match &record.step {
            ChannelStep::Resampled { coverage } => vec![f64::from(*coverage)],
            ChannelStep::Registered {
                moving_from_reference,
                rotation_deg,
                translation_mm,
                mutual_information,
                coverage,
            } => [*rotation_deg, f64::from(*coverage)]
                .into_iter()
                .chain(*translation_mm)
                .chain(*mutual_information)
                .chain(moving_from_reference.rows().into_iter().flatten())
                .collect(),
            _ => Vec::new(),
        });
        let volume_ml = match self.brain {
            BrainStep::Extracted { volume_ml, .. } => volume_ml,
            _ => 0.0,
        };
        match numbers.chain([volume_ml]).find(|number| !number.is_finite() || number.abs() > 1e6) {
            None => Ok(()),
            Some(number) => Err(Error::scan("a preparation with finite numbers", number)),
        }
    }
}

/// Describes a coverage that is not complete.
fn partly(coverage: f32) -> String {
    match coverage {
        c if c > 0.995 => String::new(),
        c => format!(", of which it covers {:.0} %", 100.0 * c),
    }
}
