//! How corrections are made, and what they changed so far.

use crate::edit::{Change, Edits, History};
use crate::measure::Measurement;
use crate::slice::Plane;

/// How corrections are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CorrectionSettings {
    /// The index of the region that is corrected.
    pub region: usize,
    /// Whether the brush is a ball instead of a disc in the slice.
    pub is_ball: bool,
    /// The index of the region outside which nothing changes.
    pub within: Option<usize>,
    /// The intensities of the shown channel outside which the brush changes nothing.
    pub range: Option<[f32; 2]>,
    /// The slices between which "fill" interpolates.
    pub fill_plane: Plane,
    /// The half width of the box over which "smooth" takes the median.
    pub smoothing_mm: f64,
    /// The volume below which an island is small.
    pub island_ml: f64,
}

impl Default for CorrectionSettings {
    fn default() -> CorrectionSettings {
        CorrectionSettings {
            region: 0,
            is_ball: false,
            within: None,
            range: None,
            fill_plane: Plane::Axial,
            smoothing_mm: 1.0,
            island_ml: 0.1,
        }
    }
}

/// The changes of the result and of the measurements.
#[derive(Default)]
pub struct Corrections {
    /// The steps.
    pub history: History<Measurement>,
    /// The counts of voxels, once the result was changed.
    pub edits: Option<Edits>,
    /// The voxels that were edited before the result came here, by a link.
    pub num_edited_before: u64,
    /// What the stroke of the brush changed so far.
    pub stroke: Option<Change>,
}

/// A correction of the whole region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Fills the slices between those that were drawn.
    FillSlices,
    /// Fills enclosed background.
    FillHoles,
    /// Takes the median.
    Smooth,
    /// Removes small islands.
    RemoveSmall,
    /// Keeps the largest island.
    KeepLargest,
    /// Keeps the island under the crosshair.
    KeepIsland,
    /// Removes the island under the crosshair.
    RemoveIsland,
    /// Removes the region.
    Clear,
}
