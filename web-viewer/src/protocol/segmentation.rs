//! The request for a segmentation in DICOM.

use model_core::formats::segmentation::Segment;
use serde::{Deserialize, Serialize};

use super::SeriesId;

/// The content of a segmentation beside its labels, and the series that it belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentationRequest {
    /// The series that was segmented: the one whose grid is the label map's.
    pub series: SeriesId,
    /// The index of the volume in the series; 0 unless the series has several.
    pub channel: usize,
    /// The regions.
    pub segments: Vec<Segment>,
    /// The name of the model that made the label map.
    pub algorithm: String,
    /// Whether the label map was changed by hand.
    pub is_edited: bool,
}
