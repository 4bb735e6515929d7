//! Last step of viewing: the regions of a label map as segments, for the formats of other programs.
//!
//! [`write_nrrd`] writes a file of 3D Slicer. A segmentation in DICOM belongs to the series that was
//! segmented: [`Series::write_segmentation`](super::study::Series::write_segmentation).

pub use super::dicom::{DicomSegmentation, LocalTime};
pub use super::nrrd::write_segmentation as write_nrrd;
pub use super::segment::Segment;
