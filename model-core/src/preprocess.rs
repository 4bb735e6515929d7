//! First shared step of training and viewing: from the channels of a case to the network's input.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How intensities are normalised and what counts as foreground; the same for training and viewing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreprocessConfig {
    /// The spacing along right, front, top that the network sees; the source's own if none.
    #[serde(default)]
    pub spacing_mm: Option<[f64; 3]>,
    /// Which voxels are the subject.
    pub foreground: Foreground,
    /// Whether the input is cropped to the foreground's bounding box.
    #[serde(default)]
    pub crop: bool,
}

/// Which voxels are the subject: those that normalisation takes its statistics from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Foreground {
    /// Nonzero in any channel: skull-stripped scans.
    Nonzero,
    /// Above Otsu's threshold of the channels' mean (Otsu 1979).
    Otsu,
    /// The whole volume.
    Whole,
}

impl PreprocessConfig {
    /// Refuses spacings that mean nothing.
    ///
    /// # Errors
    /// [`Error::Geometry`].
    pub fn check(&self) -> Result<()> {
        match self.spacing_mm {
            Some(spacing) if !spacing.iter().all(|s| (0.05..=50.0).contains(s)) => {
                Err(Error::geometry("a spacing from 0.05 to 50 mm", format!("{spacing:?}")))
            }
            _ => Ok(()),
        }
    }
}
