//! First step of both paths: NIfTI bytes to volumes, and label maps to NIfTI bytes.
//!
//! Read: `.nii` and `.nii.gz` (told apart by their bytes), NIfTI-1 and NIfTI-2, both byte orders,
//! every integer and float type up to 64 bits. The format: <https://nifti.nimh.nih.gov/nifti-1>.
//! Nothing is allocated that the file does not justify: the header is read first, and voxels are
//! decoded as they arrive.

mod geometry;
mod header;
mod voxels;
mod write;

use std::io::Read;

use flate2::read::MultiGzDecoder;

pub use geometry::warnings;
pub use write::{write_labels, write_volumes};

use crate::{Error, Grid, LabelMap, Result, Volume};
use header::Header;

/// The most that the voxels of one file may take in memory, as f32: above every scan of the field,
/// and what a 32-bit browser can hold.
pub const MAX_VOXEL_BYTES: u64 = 2 << 30;

/// A deflate stream cannot expand more than 1032 times (RFC 1951: 258 bytes from two bits).
const MAX_DEFLATE_RATIO: u64 = 1032;

/// Bytes behind the voxels are passed over (some writers fill up a block), up to this many in a
/// compressed file.
const MAX_TRAILING_BYTES: u64 = 1 << 20;

/// How far a stored label may be from a whole number: some writers scale labels by a slope such as
/// 0.0039215687, and get 0.99999997 for 1.
const LABEL_TOLERANCE: f64 = 1e-3;

/// The channels of a scan: one volume for a 3-D file, one for each step of the fourth axis of a
/// 4-D file (or of the fifth, where the fourth is 1).
///
/// NaN and infinity, which some tools write as background, become 0.
///
/// # Errors
/// [`Error::Nifti`], [`Error::Geometry`] or [`Error::TooLarge`].
pub fn read(bytes: &[u8]) -> Result<Vec<Volume>> {
    let (header, mut source) = open(bytes)?;
    let mut volumes = Vec::new();
    for _ in 0..header.num_channels {
        let mut voxels = Vec::new();
        voxels::decode(&header, &mut source, &mut voxels, |value| {
            let voxel = value as f32;
            match voxel.is_finite() {
                true => Ok(voxel),
                false if value.is_finite() => {
                    Err(Error::nifti("voxels that fit 32-bit floats", format!("{value:e}")))
                }
                false => Ok(0.0),
            }
        })?;
        volumes.push(Volume { grid: header.grid.clone(), voxels });
    }
    finish(source)?;
    Ok(volumes)
}

/// The labels of a segmentation: a 3-D file of whole numbers from 0 to 255, of whatever type.
///
/// # Errors
/// [`Error::Labels`], listing values that are no labels; else as [`read`].
pub fn read_labels(bytes: &[u8]) -> Result<LabelMap> {
    let (header, mut source) = open(bytes)?;
    if header.num_channels != 1 {
        return Err(Error::nifti("one label a voxel", format!("{}", header.num_channels)));
    }
    let mut wrong: Vec<f64> = Vec::new();
    let mut labels = Vec::new();
    voxels::decode(&header, &mut source, &mut labels, |value| {
        let label = value.round();
        if (value - label).abs() <= LABEL_TOLERANCE && (0.0..=255.0).contains(&label) {
            return Ok(label as u8);
        }
        if wrong.len() < 8 && !wrong.iter().any(|w| w.to_bits() == value.to_bits()) {
            wrong.push(value);
        }
        Ok(0)
    })?;
    finish(source)?;
    match wrong.is_empty() {
        true => Ok(LabelMap { grid: header.grid, labels }),
        false => Err(Error::labels("whole numbers from 0 to 255", format!("{wrong:?}"))),
    }
}

/// The grid that a scan states, and its number of channels, without its voxels.
///
/// # Errors
/// As [`read`], except for what is wrong with the voxels themselves.
pub fn read_grid(bytes: &[u8]) -> Result<(Grid, usize)> {
    read_head(bytes, bytes.len() as u64)
}

/// As [`read_grid`], from a file's first bytes (64 KiB are enough for any usual file) and its
/// length.
///
/// # Errors
/// As [`read_grid`].
pub fn read_head(start: &[u8], file_bytes: u64) -> Result<(Grid, usize)> {
    let (header, _) = open_part(start, file_bytes)?;
    Ok((header.grid, header.num_channels))
}

/// Reads and checks the header, and leaves the source at the first voxel.
fn open(bytes: &[u8]) -> Result<(Header, Box<dyn Read + '_>)> {
    open_part(bytes, bytes.len() as u64)
}

/// As [`open`], of a file of `length` bytes that begins so.
fn open_part(bytes: &[u8], length: u64) -> Result<(Header, Box<dyn Read + '_>)> {
    let is_gzip = bytes.starts_with(&[0x1f, 0x8b]);
    let mut source: Box<dyn Read + '_> = match is_gzip {
        true => Box::new(MultiGzDecoder::new(bytes)),
        false => Box::new(bytes),
    };
    let header = header::read(&mut source)?;
    let most = if is_gzip { length.saturating_mul(MAX_DEFLATE_RATIO) } else { length };
    let needed = header.voxel_offset + header.num_values() * header.datatype.size() as u64;
    if needed > most {
        let found = match is_gzip {
            true => format!("{length} compressed bytes, which cannot hold them"),
            false => format!("{length}"),
        };
        return Err(Error::nifti(format!("{needed} bytes, as its header says"), found));
    }
    let gap = header.voxel_offset - header.bytes_read;
    let skipped = std::io::copy(&mut source.by_ref().take(gap), &mut std::io::sink());
    match skipped {
        Ok(count) if count == gap => Ok((header, source)),
        Ok(count) => Err(Error::nifti(
            format!("voxels from byte {}", header.voxel_offset),
            header.bytes_read + count,
        )),
        Err(e) => Err(unreadable(e)),
    }
}

/// Reads to the end, so that a damaged checksum is seen.
fn finish(source: Box<dyn Read + '_>) -> Result<()> {
    let mut rest = source.take(MAX_TRAILING_BYTES + 1);
    let trailing = std::io::copy(&mut rest, &mut std::io::sink()).map_err(unreadable)?;
    match trailing > MAX_TRAILING_BYTES {
        // What follows in a plain file is already in memory and costs nothing.
        true => Err(Error::nifti("the file's end behind its voxels", "more than a megabyte")),
        false => Ok(()),
    }
}

fn unreadable(error: std::io::Error) -> Error {
    Error::nifti("undamaged compressed data", error)
}
