//! A result as a share link carries it.

use model_core::LabelMap;
use model_core::formats::segmentation::Segment;
use model_core::prepare::PreparationRecord;
use serde::{Deserialize, Serialize};

use crate::measure::Measurement;
use crate::slice::Convention;

/// A result as a share link carries it.
#[derive(Debug, Clone, PartialEq)]
pub struct SharedResult {
    /// The display convention at the time of sharing.
    pub convention: Convention,
    /// The label map on the scan's grid.
    pub labels: LabelMap,
    /// The regions with their volumes, in the task's order.
    pub regions: Vec<SharedRegion>,
    /// The model that produced the labels.
    pub model: SharedModel,
    /// The preparation of the scans, if it changed them.
    pub preparation: Option<PreparationRecord>,
    /// The number of voxels whose label was edited by hand.
    pub num_edited: u64,
    /// The measurements.
    pub measurements: Vec<Measurement>,
}

/// A region of a shared result: one line of the page's table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedRegion {
    /// The region's name.
    pub name: String,
    /// The region's color, sRGB.
    pub color: [u8; 3],
    /// The label codes that the region unites.
    pub codes: Vec<u8>,
    /// The volume of the region's voxels in the label map, within rounding.
    pub volume_ml: f64,
}

impl SharedRegion {
    /// Returns the region as a segment of a file of another program.
    pub fn segment(&self) -> Segment {
        Segment { name: self.name.clone(), color: self.color, codes: self.codes.clone() }
    }
}

/// The model that produced a shared result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedModel {
    /// The model's name.
    pub name: String,
    /// A warning to read before trusting the model; empty if there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub warning: String,
    /// SHA-256 of the model's tensors, in hexadecimal.
    pub hash: String,
    /// The tiles in which the network saw the scan, in words; empty if it saw the whole scan at once.
    ///
    /// A reader that does not know this field refuses the link, because it would not show the tiles.
    /// The field's name in the link dates from the first version.
    #[serde(default, rename = "windows", skip_serializing_if = "String::is_empty")]
    pub tiles: String,
}
