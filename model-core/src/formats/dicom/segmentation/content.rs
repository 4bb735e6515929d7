//! The content of a written segmentation beside its voxels.

use crate::formats::dicom::local_time::LocalTime;
use crate::formats::segment::Segment;

/// The content of a written segmentation beside its voxels.
#[derive(Debug, Clone, PartialEq)]
pub struct DicomSegmentation {
    /// The segments. Their numbers in the file are those of their order, from 1.
    pub segments: Vec<Segment>,
    /// The name of the model that made the label map.
    pub algorithm: String,
    /// Whether the label map was changed by hand.
    pub is_edited: bool,
    /// The time at which the file is made.
    pub created: LocalTime,
    /// Four random numbers, for the new identifiers of the series, the instance, the order of its
    /// frames, and the frame of reference if the source states none.
    pub random_bits: [u128; 4],
}
