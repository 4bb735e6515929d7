//! First step of viewing: reads NRRD files that hold their voxels.
//!
//! The format: <https://teem.sourceforge.net/nrrd/format.html>. A header without voxels (`.nhdr`) is
//! refused, as are encodings that no scan uses.

mod fields;
mod segmentation;

use glam::{DAffine3, DMat3, DVec3};

use super::lps::ras_from_lps;
use super::nifti::Scan;
use super::nifti::compression::is_gzip;
use super::number_type::NumberType;
use super::raw_voxels::RawScan;
use crate::{Affine, Error, Grid, Result};
use fields::{Fields, vectors};

pub use segmentation::write_segmentation;

const FORMAT: &str = "NRRD scan";

/// Returns whether the first bytes are a header.
pub fn is_nrrd(start: &[u8]) -> bool {
    start.starts_with(b"NRRD000")
}

/// Reads the grid, the number of channels, and sentences for the user.
///
/// # Errors
/// [`Error::Format`], [`Error::Geometry`] or [`Error::TooLarge`].
pub fn read_grid(bytes: &[u8]) -> Result<(Grid, usize, Vec<String>)> {
    let (scan, _) = header(bytes)?;
    Ok((scan.grid(), scan.num_channels, scan.warnings))
}

/// Reads the voxels; an axis that is not in space holds the channels.
///
/// # Errors
/// As [`read_grid`], and [`Error::Format`] if voxels are missing or damaged.
pub fn read(bytes: &[u8]) -> Result<Scan> {
    let (scan, voxels) = header(bytes)?;
    scan.read(voxels, 0)
}

fn error(expected: impl ToString, found: impl ToString) -> Error {
    Error::format(FORMAT, expected, found)
}

/// Reads the header, and returns the bytes of the voxels.
fn header(bytes: &[u8]) -> Result<(RawScan, &[u8])> {
    let (fields, voxels) = Fields::read(bytes).ok_or_else(|| error("a header", "no end of it"))?;
    let required = |name: &str| {
        fields.text(name).ok_or_else(|| error(format!("the field \"{name}\""), "none"))
    };
    if let Some(file) = ["data file", "datafile"].iter().find_map(|name| fields.text(name)) {
        let found = format!("a header whose voxels are in another file ({file})");
        return Err(error("header and voxels in one file", found));
    }
    let is_packed = match required("encoding")?.to_lowercase().as_str() {
        "raw" => false,
        "gzip" | "gz" => true,
        other => return Err(error("the encoding raw or gzip", other)),
    };
    // The voxels' reader decompresses what begins like gzip.
    if is_packed != is_gzip(voxels) {
        return Err(error("voxels in the encoding that the header states", "others"));
    }
    if ["line skip", "lineskip", "byte skip", "byteskip"]
        .iter()
        .any(|n| fields.text(n).is_some_and(|n| n != "0"))
    {
        return Err(error("voxels behind the header", "bytes to be skipped"));
    }
    let number_type = number_type(required("type")?)?;
    let dimension = fields.numbers("dimension").first().copied().unwrap_or(0.0);
    let sizes = fields.numbers("sizes");
    if !(3.0..=4.0).contains(&dimension) || sizes.len() as f64 != dimension {
        let found = format!("{dimension} with {} sizes", sizes.len());
        return Err(error("three axes, or four with channels", found));
    }
    let sizes: Vec<usize> = sizes.into_iter().map(|size| size as usize).collect();
    if sizes.iter().any(|size| !(1..=32767).contains(size)) {
        return Err(error("axes of 1 to 32767 voxels", format!("{sizes:?}")));
    }
    let mut warnings = Vec::new();
    let (axes, world_from_voxel) = placed(&fields, sizes.len(), &mut warnings)?;
    let channel_axis = (0..sizes.len()).find(|axis| !axes.contains(axis)).unwrap_or(3);
    let big_endian = match fields.text("endian").map(str::to_lowercase).as_deref() {
        Some("big") => true,
        Some("little") => false,
        _ if matches!(number_type, NumberType::I8 | NumberType::U8) => false,
        _ => return Err(error("the field \"endian\"", "none")),
    };
    let scan = RawScan {
        format: FORMAT,
        dims: axes.map(|axis| sizes[axis]),
        world_from_voxel,
        num_channels: sizes.get(channel_axis).copied().unwrap_or(1),
        channel_axis,
        number_type,
        big_endian,
        warnings,
    };
    Ok((scan.check(voxels.len(), is_packed)?, voxels))
}

/// Returns the three axes in space, in their order, and their map to RAS+.
fn placed(
    fields: &Fields,
    dimension: usize,
    warnings: &mut Vec<String>,
) -> Result<([usize; 3], Affine)> {
    let kinds: Vec<&str> = fields.text("kinds").unwrap_or_default().split_whitespace().collect();
    if kinds.iter().any(|kind| kind.to_lowercase().ends_with("-color")) {
        return Err(error("intensities", "colors"));
    }
    let Some(directions) = fields.text("space directions") else {
        return unplaced(fields, &kinds, dimension, warnings);
    };
    let directions = vectors(directions).ok_or_else(|| error("directions in space", directions))?;
    let placed: Vec<(usize, DVec3)> = directions
        .iter()
        .enumerate()
        .filter_map(|(axis, vector)| Some((axis, (*vector)?)))
        .collect();
    let [(i, x), (j, y), (k, z)] = placed[..] else {
        return Err(error("three axes in space", placed.len()));
    };
    if directions.len() != dimension {
        return Err(error(format!("the directions of {dimension} axes"), directions.len()));
    }
    let origin = fields.text("space origin").and_then(vectors);
    let origin = origin.and_then(|v| v.first().copied().flatten()).unwrap_or_else(|| {
        warnings.push("The file states no origin; the first voxel is taken for it.".to_string());
        DVec3::ZERO
    });
    let to_ras = ras_from_space(fields.text("space"), warnings)?;
    let matrix3 = DMat3::from_cols(to_ras(x), to_ras(y), to_ras(z));
    Ok(([i, j, k], Affine(DAffine3 { matrix3, translation: to_ras(origin) })))
}

/// Returns the map from the file's space to RAS+.
fn ras_from_space(space: Option<&str>, warnings: &mut Vec<String>) -> Result<fn(DVec3) -> DVec3> {
    let space = space.unwrap_or_default().to_lowercase();
    Ok(match space.as_str() {
        "right-anterior-superior" | "ras" => |v| v,
        "left-posterior-superior" | "lps" => ras_from_lps,
        "left-anterior-superior" | "las" => |v: DVec3| DVec3::new(-v.x, v.y, v.z),
        "" | "scanner-xyz" | "3d-right-handed" => {
            warnings.push(
                "The file does not name the patient's axes. They are taken as left, posterior, \
                 superior, as ITK does."
                    .to_string(),
            );
            ras_from_lps
        }
        other => return Err(error("a space of three of the patient's axes", other)),
    })
}

/// Returns the axes of a file that states distances alone.
fn unplaced(
    fields: &Fields,
    kinds: &[&str],
    dimension: usize,
    warnings: &mut Vec<String>,
) -> Result<([usize; 3], Affine)> {
    warnings.push(
        "The file does not state how the scan lies in the patient; its left and right sides are \
         not known."
            .to_string(),
    );
    let spacings = fields.numbers("spacings");
    let is_in_space = |axis: &usize| match kinds.get(*axis) {
        Some(kind) => matches!(kind.to_lowercase().as_str(), "domain" | "space" | "???" | "none"),
        None => spacings.get(*axis).is_none_or(|spacing| !spacing.is_nan()),
    };
    let mut axes: Vec<usize> = (0..dimension).filter(is_in_space).collect();
    axes.truncate(3);
    let [i, j, k] = axes[..] else { return Err(error("three axes in space", axes.len())) };
    let spacing = [i, j, k].map(|axis| {
        spacings.get(axis).copied().filter(|spacing| spacing.is_finite()).unwrap_or(1.0)
    });
    Ok(([i, j, k], Affine::from_spacing(spacing)))
}

fn number_type(name: &str) -> Result<NumberType> {
    let words = name.to_lowercase();
    let words = words.strip_suffix("_t").unwrap_or(&words);
    Ok(match words {
        "signed char" | "int8" => NumberType::I8,
        "uchar" | "unsigned char" | "uint8" => NumberType::U8,
        "short" | "short int" | "signed short" | "signed short int" | "int16" => NumberType::I16,
        "ushort" | "unsigned short" | "unsigned short int" | "uint16" => NumberType::U16,
        "int" | "signed int" | "int32" => NumberType::I32,
        "uint" | "unsigned int" | "uint32" => NumberType::U32,
        "longlong"
        | "long long"
        | "long long int"
        | "signed long long"
        | "signed long long int"
        | "int64" => NumberType::I64,
        "ulonglong" | "unsigned long long" | "unsigned long long int" | "uint64" => NumberType::U64,
        "float" => NumberType::F32,
        "double" => NumberType::F64,
        _ => return Err(error("a type of integers or floats", name)),
    })
}
