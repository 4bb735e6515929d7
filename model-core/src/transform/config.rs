//! The settings of preprocessing, which a bundle stores.

use documented::DocumentedFields;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The most voxels along an axis of the network's input.
const MAX_SIZE: usize = 4096;

/// The normalization of intensities and the foreground, the same for training and viewing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, DocumentedFields)]
#[serde(deny_unknown_fields)]
pub struct PreprocessConfig {
    /// The spacing of the network's input in mm along right, front, top; by default the scan's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spacing_mm: Option<TargetSpacing>,
    /// The voxels that belong to the subject, for the normalization of intensities: "whole",
    /// "nonzero" (skull-stripped scans), "each_nonzero" (each channel by its own nonzero voxels) or
    /// "otsu".
    pub foreground: Foreground,
    /// Whether the input is cropped to the foreground's bounding box.
    #[serde(default)]
    pub crop: bool,
    /// The voxels of the network's input along right, front, top. After cropping and resampling, a
    /// larger scan is cut around its center and a smaller one is padded with zeros. By default the
    /// scan's own size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<TargetSize>,
    /// Whether the network expects scans without skull. `rewind prepare` and the page then extract
    /// the brain of a scan with skull. By default so if the foreground is "nonzero" or
    /// "each_nonzero".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skull_stripped: Option<bool>,
}

impl PreprocessConfig {
    /// Returns whether the network expects scans without skull.
    pub fn expects_skull_stripped(&self) -> bool {
        self.skull_stripped.unwrap_or(self.foreground.is_nonzero())
    }
}

/// The rule for the voxels that belong to the subject. Normalization takes its statistics from
/// them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Foreground {
    /// Voxels that are nonzero in any channel, for skull-stripped scans.
    Nonzero,
    /// As [`Foreground::Nonzero`] for the crop; each channel is normalized by its own nonzero voxels
    /// (Brügger et al. 2019, section 3).
    EachNonzero,
    /// Voxels above Otsu's threshold of the channels' mean (Otsu 1979).
    Otsu,
    /// The whole volume.
    Whole,
}

impl Foreground {
    /// Returns whether the foreground is what is nonzero, and the rest remains 0.
    pub fn is_nonzero(self) -> bool {
        matches!(self, Foreground::Nonzero | Foreground::EachNonzero)
    }
}

/// The settings for any scan: every voxel is foreground and nothing is cropped.
impl Default for PreprocessConfig {
    fn default() -> Self {
        PreprocessConfig {
            spacing_mm: None,
            foreground: Foreground::Whole,
            crop: false,
            size: None,
            skull_stripped: None,
        }
    }
}

/// The spacing along right, front, top, in millimeters, from 0.05 to 50.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "[f64; 3]", into = "[f64; 3]")]
pub struct TargetSpacing([f64; 3]);

impl TargetSpacing {
    /// Returns the spacing in millimeters.
    pub fn mm(self) -> [f64; 3] {
        self.0
    }
}

/// # Errors
/// [`Error::Geometry`] if a spacing is out of range.
impl TryFrom<[f64; 3]> for TargetSpacing {
    type Error = Error;

    fn try_from(spacing_mm: [f64; 3]) -> Result<TargetSpacing> {
        if spacing_mm.iter().all(|spacing| (0.05..=50.0).contains(spacing)) {
            return Ok(TargetSpacing(spacing_mm));
        }
        Err(Error::geometry("a spacing from 0.05 to 50 mm", format!("{spacing_mm:?}")))
    }
}

impl From<TargetSpacing> for [f64; 3] {
    fn from(spacing: TargetSpacing) -> [f64; 3] {
        spacing.0
    }
}

/// The voxels along right, front, top, from 1 to 4096.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "[usize; 3]", into = "[usize; 3]")]
pub struct TargetSize([usize; 3]);

impl TargetSize {
    /// Returns the numbers of voxels.
    pub fn voxels(self) -> [usize; 3] {
        self.0
    }
}

/// # Errors
/// [`Error::Geometry`] if a number is out of range.
impl TryFrom<[usize; 3]> for TargetSize {
    type Error = Error;

    fn try_from(size: [usize; 3]) -> Result<TargetSize> {
        if size.iter().all(|voxels| (1..=MAX_SIZE).contains(voxels)) {
            return Ok(TargetSize(size));
        }
        Err(Error::geometry(format!("a size from 1 to {MAX_SIZE}"), format!("{size:?}")))
    }
}

impl From<TargetSize> for [usize; 3] {
    fn from(size: TargetSize) -> [usize; 3] {
        size.0
    }
}
