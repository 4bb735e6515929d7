//! The settings of preprocessing, which a bundle stores.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The most voxels along an axis of the network's input.
const MAX_SIZE: usize = 4096;

/// The normalization of intensities and the foreground, the same for training and viewing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreprocessConfig {
    /// The spacing of the network's input along right, front, top; `None` for the source's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spacing_mm: Option<[f64; 3]>,
    /// The voxels that belong to the subject.
    pub foreground: Foreground,
    /// Whether the input is cropped to the foreground's bounding box.
    #[serde(default)]
    pub crop: bool,
    /// The voxels of the network's input along right, front, top. After cropping and resampling, a
    /// larger scan is cut around its center and a smaller one is padded with zeros. `None` for the
    /// scan's own size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<[usize; 3]>,
}

/// The rule for the voxels that belong to the subject. Normalization takes its statistics from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Foreground {
    /// Voxels that are nonzero in any channel, for skull-stripped scans.
    Nonzero,
    /// Voxels above Otsu's threshold of the channels' mean (Otsu 1979).
    Otsu,
    /// The whole volume.
    Whole,
}

/// The settings for any scan: every voxel is foreground and nothing is cropped.
impl Default for PreprocessConfig {
    fn default() -> Self {
        PreprocessConfig {
            spacing_mm: None,
            foreground: Foreground::Whole,
            crop: false,
            size: None,
        }
    }
}

impl PreprocessConfig {
    /// Errors if a spacing or a size is out of range.
    ///
    /// # Errors
    /// [`Error::Geometry`].
    pub fn check(&self) -> Result<()> {
        match (self.spacing_mm, self.size) {
            (Some(spacing), _) if !spacing.iter().all(|s| (0.05..=50.0).contains(s)) => {
                Err(Error::geometry("a spacing from 0.05 to 50 mm", format!("{spacing:?}")))
            }
            (_, Some(size)) if !size.iter().all(|n| (1..=MAX_SIZE).contains(n)) => {
                Err(Error::geometry(format!("a size from 1 to {MAX_SIZE}"), format!("{size:?}")))
            }
            _ => Ok(()),
        }
    }
}
