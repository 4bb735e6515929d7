//! First step of both paths: scans' bytes to volumes, and label maps to NIfTI bytes.
//!
//! Read: `.nii` and `.nii.gz` (told apart by their bytes), NIfTI-1 and NIfTI-2, `.hdr`/`.img` pairs
//! of either and of Analyze 7.5, both byte orders, every integer and float type up to 64 bits. The
//! format: <https://nifti.nimh.nih.gov/nifti-1>. Nothing is allocated that the file does not
//! justify: the header is read first, and voxels are decoded as they arrive.

mod geometry;
mod header;
mod reader;
mod voxels;
mod write;

pub use geometry::warnings;
pub use reader::{Format, Reader, Scan};
pub use write::{write_labels, write_labels_described, write_volumes};

use crate::{Grid, LabelMap, Result, Volume};

/// The most that the voxels of one file may take in memory, as f32: above every scan of the field,
/// and what a 32-bit browser can hold.
pub const MAX_VOXEL_BYTES: u64 = 2 << 30;

/// The channels of a scan in one file, as [`Reader::scan`].
///
/// NaN and infinity, which some tools write as background, become 0.
///
/// # Errors
/// [`Error::Nifti`](crate::Error::Nifti), [`Error::Geometry`](crate::Error::Geometry) or
/// [`Error::TooLarge`](crate::Error::TooLarge).
pub fn read(bytes: &[u8]) -> Result<Vec<Volume>> {
    Ok(Reader::open(bytes)?.scan()?.volumes)
}

/// The labels of a segmentation in one file, as [`Reader::labels`].
///
/// # Errors
/// [`Error::Labels`](crate::Error::Labels), listing values that are no labels; else as [`read`].
pub fn read_labels(bytes: &[u8]) -> Result<LabelMap> {
    Reader::open(bytes)?.labels()
}

/// The grid that a scan states, and its number of channels, without its voxels.
///
/// # Errors
/// As [`read`], except for what is wrong with the voxels themselves.
pub fn read_grid(bytes: &[u8]) -> Result<(Grid, usize)> {
    let reader = Reader::open(bytes)?;
    Ok((reader.grid().clone(), reader.num_channels()))
}
