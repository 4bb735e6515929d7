//! First step of training and viewing: reads volumes from NIfTI bytes. Last step of viewing: writes
//! label maps as NIfTI bytes.
//!
//! Reads `.nii` and `.nii.gz` (recognized by their bytes), NIfTI-1 and NIfTI-2, `.hdr`/`.img` pairs
//! of both versions and of Analyze 7.5, both byte orders, and every integer and float type up to 64
//! bits. The format: <https://nifti.nimh.nih.gov/nifti-1>. The header is read first and voxels are
//! decoded as they arrive, so no memory is allocated that the file's own bytes do not justify.

mod comment;
pub(super) mod compression;
mod datatype;
mod geometry;
mod header;
mod reader;
mod voxels;
mod write;

pub use comment::comment;
pub use geometry::warnings;
pub use header::Format;
pub use reader::{Reader, Scan};
pub use write::{write_labels, write_labels_with_texts, write_volumes};

use crate::{Grid, LabelMap, Result, Volume};

/// The largest memory that the voxels of one file may take as f32. It is above every published scan,
/// and a 32-bit browser can hold it.
pub const MAX_VOXEL_BYTES: u64 = 2 << 30;

/// Reads the channels of a scan in one file; see [`Reader::scan`].
///
/// NaN and infinity, which some tools write as background, become 0.
///
/// # Errors
/// [`Error::Nifti`](crate::Error::Nifti), [`Error::Geometry`](crate::Error::Geometry) or
/// [`Error::TooLarge`](crate::Error::TooLarge).
pub fn read(bytes: &[u8]) -> Result<Vec<Volume>> {
    Ok(Reader::open(bytes)?.scan()?.volumes)
}

/// Reads the labels of a segmentation in one file; see [`Reader::labels`].
///
/// # Errors
/// [`Error::Labels`](crate::Error::Labels), listing the values that are not labels; otherwise as [`read`].
pub fn read_labels(bytes: &[u8]) -> Result<LabelMap> {
    Reader::open(bytes)?.labels()
}

/// Reads a scan's grid and its number of channels, without its voxels.
///
/// # Errors
/// As [`read`], except for errors in the voxels themselves.
pub fn read_grid(bytes: &[u8]) -> Result<(Grid, usize)> {
    let reader = Reader::open(bytes)?;
    Ok((reader.grid().clone(), reader.num_channels()))
}
