//! First step of viewing: reads FreeSurfer's MGH and MGZ.
//!
//! The format: <https://surfer.nmr.mgh.harvard.edu/fswiki/FsTutorial/MghFormat>. All numbers are
//! big-endian, and the world is RAS+.

use glam::{DAffine3, DMat3, DVec3};

use super::nifti::Scan;
use super::nifti::compression::{decompressed, is_gzip};
use super::number_type::NumberType;
use super::raw_voxels::RawScan;
use crate::{Affine, Error, Grid, Result};
use std::io::Read;

const FORMAT: &str = "MGH scan";

/// The offset of the voxels.
const HEADER_BYTES: usize = 284;

/// Returns whether the first bytes, decompressed, are a header.
pub fn is_mgh(start: &[u8]) -> bool {
    let field = |n: usize| i32::from_be_bytes(field(start, 4 * n).unwrap_or_default());
    start.len() >= HEADER_BYTES
        && field(0) == 1
        && (1..4).all(|n| (1..=32767).contains(&field(n)))
        && number_type(field(5)).is_some()
}

fn number_type(code: i32) -> Option<NumberType> {
    Some(match code {
        0 => NumberType::U8,
        1 => NumberType::I32,
        3 => NumberType::F32,
        4 => NumberType::I16,
        10 => NumberType::U16,
        _ => return None,
    })
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Reads the grid, the number of channels, and sentences for the user.
///
/// # Errors
/// [`Error::Format`], [`Error::Geometry`] or [`Error::TooLarge`].
pub fn read_grid(bytes: &[u8]) -> Result<(Grid, usize, Vec<String>)> {
    let header = header(bytes)?;
    Ok((header.grid(), header.num_channels, header.warnings))
}

/// Reads the frames as channels.
///
/// # Errors
/// As [`read_grid`], and [`Error::Format`] if voxels are missing or damaged.
pub fn read(bytes: &[u8]) -> Result<Scan> {
    header(bytes)?.read(bytes, HEADER_BYTES as u64)
}

fn header(bytes: &[u8]) -> Result<RawScan> {
    let mut start = Vec::new();
    let damaged = |error| Error::format(FORMAT, "undamaged compressed data", error);
    decompressed(bytes).take(HEADER_BYTES as u64).read_to_end(&mut start).map_err(damaged)?;
    let found = start.len();
    if !is_mgh(&start) {
        return Err(Error::format(FORMAT, "a header of version 1", format!("{found} other bytes")));
    }
    let int = |n: usize| i32::from_be_bytes(field(&start, 4 * n).unwrap_or_default());
    let dims = [1, 2, 3].map(|n| int(n) as usize);
    let is_set = field(&start, 28).map(i16::from_be_bytes).unwrap_or_default() > 0;
    let float =
        |n: usize| f64::from(f32::from_be_bytes(field(&start, 30 + 4 * n).unwrap_or_default()));
    let vector = |n: usize| DVec3::new(float(n), float(n + 1), float(n + 2));
    let mut warnings = Vec::new();
    let (spacing, directions, center) = match is_set {
        true => (vector(0), [vector(3), vector(6), vector(9)], vector(12)),
        false => {
            warnings.push(
                "The file does not state how the scan lies in the patient. FreeSurfer's usual \
                 directions are taken."
                    .to_string(),
            );
            (DVec3::ONE, [-DVec3::X, -DVec3::Z, DVec3::Y], DVec3::ZERO)
        }
    };
    let [x, y, z] = directions;
    let matrix3 = DMat3::from_cols(x * spacing.x, y * spacing.y, z * spacing.z);
    // The center is the position of the voxel at half of each size.
    let middle = DVec3::from_array(dims.map(|n| n as f64 / 2.0));
    let translation = center - matrix3 * middle;
    let scan = RawScan {
        format: FORMAT,
        dims,
        world_from_voxel: Affine(DAffine3 { matrix3, translation }),
        num_channels: int(4).max(0) as usize,
        channel_axis: 3,
        number_type: number_type(int(5)).unwrap_or(NumberType::U8),
        big_endian: true,
        warnings,
    };
    let length =
        if is_gzip(bytes) { bytes.len() } else { bytes.len().saturating_sub(HEADER_BYTES) };
    scan.check(length, is_gzip(bytes))
}
