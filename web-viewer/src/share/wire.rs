//! The body of a fragment: a deflated JSON header, then the coded labels of their bounding box.

use std::io::Read;

use flate2::Compression;
use flate2::read::{DeflateDecoder, DeflateEncoder};
use model_core::prepare::PreparationRecord;
use model_core::texts::{MAX_NAME_CHARS, MAX_TEXT_CHARS, text_fault};
use model_core::{Grid, LabelMap, VoxelBox};
use serde::{Deserialize, Serialize};

use super::error::ShareError;
use super::format::{MAX_AXIS, MAX_BOX_VOXELS, MAX_PADDED_VOXELS, MAX_VOXELS};
use super::result::{SharedModel, SharedRegion, SharedResult};
use super::{map_coder, saved_position};
use crate::measure::Measurement;
use crate::slice::Convention;

/// The longest inflated header: enough for hundreds of named regions.
const MAX_HEADER_BYTES: usize = 64 << 10;
const MAX_REGIONS: usize = 255;
const MAX_MEASUREMENTS: usize = 500;
/// Farther than any scanner's coordinates.
const MAX_POSITION_MM: f64 = 1e5;

/// Everything except the labels.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShareHeader {
    convention: Convention,
    grid: Grid,
    /// First voxel and extent of the labels' bounding box. Every voxel outside it is background.
    start: [usize; 3],
    extent: [usize; 3],
    /// The label codes inside the box, in ascending order.
    codes: Vec<u8>,
    regions: Vec<SharedRegion>,
    model: SharedModel,
    /// A reader that does not know this field refuses the link, because it would not show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    preparation: Option<PreparationRecord>,
    /// As above.
    #[serde(default, skip_serializing_if = "is_zero")]
    num_edited: u64,
    /// As above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    measurements: Vec<Measurement>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Returns the header of a result, and the labels of their box as indices of its codes.
fn header(shared: &SharedResult) -> Result<(ShareHeader, Vec<u8>), ShareError> {
    let (grid, labels) = (shared.labels.grid(), shared.labels.labels());
    let json_grid = without_nan(grid);
    let num_voxels = check_grid(&json_grid)?;
    if labels.len() != num_voxels {
        return Err(ShareError::content(format!("{num_voxels} labels"), labels.len()));
    }
    let labeled = labeled_box(&shared.labels);
    let inside = labeled.crop(labels, grid.dims, |code| code);
    let mut present = [false; 256];
    inside.iter().for_each(|&code| present[usize::from(code)] = true);
    let codes: Vec<u8> = (0..=255).filter(|&code| present[usize::from(code)]).collect();
    let mut index_of = [0u8; 256];
    codes.iter().enumerate().for_each(|(n, &code)| index_of[usize::from(code)] = n as u8);
    let indices: Vec<u8> = inside.iter().map(|&code| index_of[usize::from(code)]).collect();

    let mut header = ShareHeader {
        convention: shared.convention,
        grid: json_grid,
        start: labeled.start,
        extent: labeled.dims(),
        codes,
        regions: shared.regions.clone(),
        model: shared.model.clone(),
        preparation: shared.preparation.clone(),
        num_edited: shared.num_edited,
        measurements: shared.measurements.iter().map(rounded_points).collect(),
    };
    header.regions.iter_mut().for_each(|r| r.volume_ml = rounded(r.volume_ml));
    check_header(&header)?;
    check_labels(&header.codes, &header.regions, &shared.labels)?;
    Ok((header, indices))
}

/// Returns everything except the labels as JSON.
pub(super) fn describe(shared: &SharedResult) -> Result<String, ShareError> {
    let (header, _) = header(shared)?;
    let json = serde_json::to_string(&header).expect("a header is plain data");
    check_size("the header in bytes", MAX_HEADER_BYTES, json.len())?;
    Ok(json)
}

/// Reads what [`describe`] wrote, about labels that are stored elsewhere.
pub(super) fn with_labels(json: &str, labels: LabelMap) -> Result<SharedResult, ShareError> {
    check_size("the header in bytes", MAX_HEADER_BYTES, json.len())?;
    let header: ShareHeader = model_core::from_json(json)
        .map_err(|e| ShareError::content("a header as this version writes it", e))?;
    check_grid(labels.grid())?;
    check_header(&header)?;
    if header.grid.dims != labels.grid().dims {
        let expected = format!("labels on {:?} voxels", header.grid.dims);
        return Err(ShareError::content(expected, format!("{:?}", labels.grid().dims)));
    }
    check_labels(&header.codes, &header.regions, &labels)?;
    Ok(header.join(labels))
}

/// Writes the body of a result.
pub(super) fn write(shared: &SharedResult) -> Result<Vec<u8>, ShareError> {
    let (header, indices) = header(shared)?;
    let json = serde_json::to_vec(&header).expect("a header is plain data");
    check_size("the header in bytes", MAX_HEADER_BYTES, json.len())?;
    let mut deflated = Vec::new();
    let mut encoder = DeflateEncoder::new(&json[..], Compression::best());
    encoder.read_to_end(&mut deflated).expect("deflating memory cannot fail");
    let mut body = (deflated.len() as u32).to_le_bytes().to_vec();
    body.extend(deflated);
    if !header.codes.is_empty() {
        body.extend(map_coder::encode(&indices, header.extent, header.codes.len()));
    }
    Ok(body)
}

/// Reads the result of a body.
pub(super) fn read(body: &[u8]) -> Result<SharedResult, ShareError> {
    let (length, rest) = body.split_first_chunk::<4>().ok_or(ShareError::Damaged)?;
    let length = u32::from_le_bytes(*length) as usize;
    let (deflated, coded) = rest.split_at_checked(length).ok_or(ShareError::Damaged)?;
    let mut json = Vec::new();
    let mut decoder = DeflateDecoder::new(deflated).take(MAX_HEADER_BYTES as u64 + 1);
    decoder.read_to_end(&mut json).map_err(|_| ShareError::Damaged)?;
    check_size("the header in bytes", MAX_HEADER_BYTES, json.len())?;
    let json = str::from_utf8(&json).map_err(|_| ShareError::Damaged)?;
    let mut header: ShareHeader = model_core::from_json(json)
        .map_err(|e| ShareError::content("a header as this version writes it", e))?;
    let num_voxels = check_grid(&header.grid)?;
    check_header(&header)?;
    header.grid.world_from_voxel = saved_position::world_from_voxel(&header.grid)?;

    let labels = match header.codes.len() {
        0 if coded.is_empty() => vec![0; num_voxels],
        0 => return Err(ShareError::content("no labels of an empty box", coded.len())),
        num_labels => {
            let indices = map_coder::decode(coded, header.extent, num_labels);
            let indices = indices.ok_or_else(|| wrong_length(&header, coded))?;
            labels_from_box(&header, num_voxels, &indices)
        }
    };
    let labels = LabelMap::new(header.grid.clone(), labels).expect("a label for each voxel");
    if labeled_box(&labels) != VoxelBox::new(header.start, header.extent) {
        let found = format!("{:?} from {:?}", header.extent, header.start);
        return Err(ShareError::content("the smallest box that holds every label", found));
    }
    check_labels(&header.codes, &header.regions, &labels)?;
    Ok(header.join(labels))
}

impl ShareHeader {
    /// Returns the result with its labels.
    fn join(self, labels: LabelMap) -> SharedResult {
        let ShareHeader { convention, regions, model, preparation, .. } = self;
        let ShareHeader { num_edited, measurements, .. } = self;
        SharedResult { convention, labels, regions, model, preparation, num_edited, measurements }
    }
}

/// Returns the labels of the whole grid. `indices` are the box's labels as indices of its codes.
fn labels_from_box(header: &ShareHeader, num_voxels: usize, indices: &[u8]) -> Vec<u8> {
    let mut labels = vec![0; num_voxels];
    let labeled = VoxelBox::new(header.start, header.extent);
    for (voxel, &index) in labeled.rows(header.grid.dims).flatten().zip(indices) {
        labels[voxel] = header.codes[usize::from(index)];
    }
    labels
}

fn wrong_length(header: &ShareHeader, coded: &[u8]) -> ShareError {
    let [i, j, k] = header.extent;
    let expected = format!("the coded labels of {i} × {j} × {k} voxels");
    ShareError::content(expected, format!("{} bytes", coded.len()))
}

/// Returns the number of voxels of a grid.
///
/// # Errors
/// If the grid is invalid or too large to be allocated for a link, or its label map cannot be saved.
fn check_grid(grid: &Grid) -> Result<usize, ShareError> {
    let [i, j, k] = grid.dims;
    let num_voxels = i.checked_mul(j).and_then(|n| n.checked_mul(k)).unwrap_or(usize::MAX);
    if num_voxels == 0 {
        return Err(ShareError::content("a grid with voxels", format!("{i} × {j} × {k}")));
    }
    check_size("the grid in voxels", MAX_VOXELS, num_voxels)?;
    check_size("the grid's longest axis in voxels", MAX_AXIS, i.max(j).max(k))?;
    let invalid_affine = |e| ShareError::content("a grid that spans space", e);
    grid.world_from_voxel.check().map_err(invalid_affine)?;
    saved_position::world_from_voxel(grid)?;
    Ok(num_voxels)
}

fn check_header(header: &ShareHeader) -> Result<(), ShareError> {
    let ends = std::array::from_fn::<_, 3, _>(|a| header.start[a].checked_add(header.extent[a]));
    if (0..3).any(|a| ends[a].is_none_or(|end| end > header.grid.dims[a])) {
        let found = format!("{:?} from {:?}", header.extent, header.start);
        return Err(ShareError::content("a box inside the grid", found));
    }
    // The box lies inside the grid, so the product does not overflow.
    let box_voxels = header.extent.iter().product();
    check_size("the labeled box in voxels", MAX_BOX_VOXELS, box_voxels)?;
    let padded = map_coder::padded_voxels(header.extent).unwrap_or(usize::MAX);
    check_size("the labeled box in voxels, with its margin,", MAX_PADDED_VOXELS, padded)?;
    let is_ascending = header.codes.is_sorted_by(|a, b| a < b);
    if !is_ascending || header.codes.is_empty() != (box_voxels == 0) {
        return Err(ShareError::content("the codes of the box", format!("{:?}", header.codes)));
    }
    check_size("the number of regions", MAX_REGIONS, header.regions.len())?;
    for region in &header.regions {
        check_size("the number of a region's labels", MAX_REGIONS, region.codes.len())?;
        if !region.volume_ml.is_finite() || region.codes.contains(&0) || region.codes.is_empty() {
            let found = format!("{} ml of {:?}", region.volume_ml, region.codes);
            return Err(ShareError::content("a region with a volume and labels", found));
        }
        check_text("a region's name in characters", MAX_NAME_CHARS, &region.name)?;
    }
    check_text("the model's name in characters", MAX_NAME_CHARS, &header.model.name)?;
    check_text("the warning in characters", MAX_TEXT_CHARS, &header.model.warning)?;
    check_text("the tiles in characters", MAX_NAME_CHARS, &header.model.tiles)?;
    if let Some(preparation) = &header.preparation {
        check_size("the number of channels", MAX_REGIONS, preparation.channels.len())?;
        preparation.check().map_err(|e| ShareError::content("a preparation in words", e))?;
    }
    if header.num_edited > header.grid.num_voxels() as u64 {
        let expected = format!("at most {} edited voxels", header.grid.num_voxels());
        return Err(ShareError::content(expected, header.num_edited));
    }
    check_size("the number of measurements", MAX_MEASUREMENTS, header.measurements.len())?;
    for measurement in &header.measurements {
        check_text("a measurement's name in characters", MAX_NAME_CHARS, &measurement.name)?;
        let is_near = |x: &f64| x.abs() <= MAX_POSITION_MM;
        if !measurement.shape.points().as_flattened().iter().all(is_near) {
            let expected = format!("points within {MAX_POSITION_MM} mm");
            return Err(ShareError::content(expected, measurement.shape.text()));
        }
    }
    let hash = &header.model.hash;
    if hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
        let found = format!("{} characters", hash.len());
        return Err(ShareError::content("the model's SHA-256 in hexadecimal", found));
    }
    Ok(())
}

/// Errors if no voxel has one of the codes, or if a region's volume differs from its voxels' volume.
fn check_labels(
    codes: &[u8],
    regions: &[SharedRegion],
    labels: &LabelMap,
) -> Result<(), ShareError> {
    // The voxels are counted once, not per region: a link may hold hundreds of regions.
    let mut counts = [0u64; 256];
    labels.labels().iter().for_each(|&code| counts[usize::from(code)] += 1);
    if let Some(code) = codes.iter().find(|&&code| counts[usize::from(code)] == 0) {
        return Err(ShareError::content("codes of labels that the map has", code));
    }
    let voxel_ml = labels.grid().world_from_voxel.voxel_volume_mm3() / 1000.0;
    for region in regions {
        let region_codes = (0..=255).filter(|code| region.codes.contains(code));
        let num_voxels: u64 = region_codes.map(|code| counts[usize::from(code)]).sum();
        let volume_ml = num_voxels as f64 * voxel_ml;
        if (volume_ml - region.volume_ml).abs() > 0.001 + 1e-6 * volume_ml {
            let expected = format!("{:?} to fill the {volume_ml:.3} ml of its map", region.name);
            return Err(ShareError::content(expected, format!("{:.3} ml", region.volume_ml)));
        }
    }
    Ok(())
}

fn check_size(what: &'static str, limit: usize, found: usize) -> Result<(), ShareError> {
    if found <= limit {
        return Ok(());
    }
    Err(ShareError::TooLarge { what, limit: limit as u64, found: found as u64 })
}

fn check_text(what: &'static str, limit: usize, text: &str) -> Result<(), ShareError> {
    check_size(what, limit, text.chars().count())?;
    match text_fault("texts", text) {
        None => Ok(()),
        Some((expected, found)) => Err(ShareError::content(expected, found)),
    }
}

/// Returns the smallest box that contains every labeled voxel. An empty map has the box of no voxels
/// at the first voxel.
fn labeled_box(map: &LabelMap) -> VoxelBox {
    match VoxelBox::bounding(map.labels(), map.grid().dims, |label| *label != 0) {
        VoxelBox::EMPTY => VoxelBox::new([0; 3], [0; 3]),
        labeled => labeled,
    }
}

/// Replaces non-finite numbers of the header's transforms by 0. Unused fields of a NIfTI header may
/// hold any bytes, but JSON cannot represent NaN.
fn without_nan(grid: &Grid) -> Grid {
    let mut grid = grid.clone();
    let transforms = &mut grid.transforms;
    let numbers = (transforms.quaternion.iter_mut())
        .chain(&mut transforms.offset_mm)
        .chain(&mut transforms.spacing_mm)
        .chain(transforms.rows.as_flattened_mut())
        .chain([&mut transforms.qfac]);
    numbers.filter(|x| !x.is_finite()).for_each(|x| *x = 0.0);
    grid
}

/// Rounds a measurement's points to a hundredth of a millimeter.
fn rounded_points(measurement: &Measurement) -> Measurement {
    let mut rounded = measurement.clone();
    for (n, point) in measurement.shape.points().iter().enumerate() {
        rounded.shape.move_point(n, point.map(|x| (x * 100.0).round() / 100.0));
    }
    rounded
}

/// Rounds to a thousandth of a milliliter, less than a voxel's volume.
fn rounded(volume_ml: f64) -> f64 {
    (volume_ml * 1000.0).round() / 1000.0
}
