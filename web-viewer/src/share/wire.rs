//! A result as bytes: a deflated JSON card, then the labels of the box that holds them all.

use std::io::Read;

use flate2::Compression;
use flate2::read::{DeflateDecoder, DeflateEncoder};
use model_core::texts::{MAX_NAME_CHARS, MAX_TEXT_CHARS, text_fault};
use model_core::{Grid, LabelMap};
use serde::{Deserialize, Serialize};

use super::{
    MAX_AXIS, MAX_BOX_VOXELS, MAX_PADDED_VOXELS, MAX_VOXELS, ShareError, Shared, SharedModel,
    SharedRegion, map_coder, saved,
};
use crate::slice::Convention;

/// The longest card, inflated: hundreds of regions with names.
const MAX_CARD_BYTES: usize = 64 << 10;
const MAX_REGIONS: usize = 255;

/// Everything but the labels themselves.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShareHeader {
    convention: Convention,
    grid: Grid,
    /// First voxel and extent of the box outside of which all is background.
    start: [usize; 3],
    extent: [usize; 3],
    /// The label codes inside the box, rising.
    codes: Vec<u8>,
    regions: Vec<SharedRegion>,
    model: SharedModel,
}

pub(super) fn write(shared: &Shared) -> Result<Vec<u8>, ShareError> {
    let (grid, labels) = (shared.labels.grid(), shared.labels.labels());
    let stated = finite(grid);
    check_grid(&stated)?;
    let (start, extent) = bounding_box(&shared.labels);
    let inside: Vec<u8> = voxels_of(grid, start, extent).map(|n| labels[n]).collect();
    let mut present = [false; 256];
    inside.iter().for_each(|&code| present[usize::from(code)] = true);
    let codes: Vec<u8> = (0..=255).filter(|&code| present[usize::from(code)]).collect();
    let mut index_of = [0u8; 256];
    codes.iter().enumerate().for_each(|(n, &code)| index_of[usize::from(code)] = n as u8);
    let indices: Vec<u8> = inside.iter().map(|&code| index_of[usize::from(code)]).collect();

    let mut card = ShareHeader {
        convention: shared.convention,
        grid: stated,
        start,
        extent,
        codes,
        regions: shared.regions.clone(),
        model: shared.model.clone(),
    };
    card.regions.iter_mut().for_each(|r| r.volume_ml = rounded(r.volume_ml));
    check_card(&card)?;
    check_map(&card.codes, &card.regions, &shared.labels)?;
    let json = serde_json::to_vec(&card).expect("a card is plain data");
    check_size("the card in bytes", MAX_CARD_BYTES, json.len())?;
    let mut deflated = Vec::new();
    let mut encoder = DeflateEncoder::new(&json[..], Compression::best());
    encoder.read_to_end(&mut deflated).expect("deflating memory cannot fail");
    let mut body = (deflated.len() as u32).to_le_bytes().to_vec();
    body.extend(deflated);
    if !card.codes.is_empty() {
        body.extend(map_coder::encode(&indices, extent, card.codes.len()));
    }
    Ok(body)
}

pub(super) fn read(body: &[u8]) -> Result<Shared, ShareError> {
    let (length, rest) = body.split_first_chunk::<4>().ok_or(ShareError::Damaged)?;
    let length = u32::from_le_bytes(*length) as usize;
    let (deflated, coded) = rest.split_at_checked(length).ok_or(ShareError::Damaged)?;
    let mut json = Vec::new();
    let mut decoder = DeflateDecoder::new(deflated).take(MAX_CARD_BYTES as u64 + 1);
    decoder.read_to_end(&mut json).map_err(|_| ShareError::Damaged)?;
    check_size("the card in bytes", MAX_CARD_BYTES, json.len())?;
    let mut card: ShareHeader = serde_json::from_slice(&json)
        .map_err(|e| ShareError::content("a card as this version writes it", e))?;
    let num_voxels = check_grid(&card.grid)?;
    check_card(&card)?;
    card.grid.world_from_voxel = saved::world_from_voxel(&card.grid)?;

    let labels = match card.codes.len() {
        0 if coded.is_empty() => vec![0; num_voxels],
        0 => return Err(ShareError::content("no labels of an empty box", coded.len())),
        num_labels => {
            let indices = map_coder::decode(coded, card.extent, num_labels);
            spread(&card, num_voxels, &indices.ok_or_else(|| wrong_length(&card, coded))?)
        }
    };
    let labels = LabelMap::new(card.grid, labels).expect("a label for each voxel");
    if bounding_box(&labels) != (card.start, card.extent) {
        let found = format!("{:?} from {:?}", card.extent, card.start);
        return Err(ShareError::content("the smallest box that holds every label", found));
    }
    check_map(&card.codes, &card.regions, &labels)?;
    let ShareHeader { convention, regions, model, .. } = card;
    Ok(Shared { convention, labels, regions, model })
}

/// The labels of the grid, from those of the box as indices of its codes.
fn spread(card: &ShareHeader, num_voxels: usize, indices: &[u8]) -> Vec<u8> {
    let mut labels = vec![0; num_voxels];
    let places = voxels_of(&card.grid, card.start, card.extent);
    for (place, &index) in places.zip(indices) {
        labels[place] = card.codes[usize::from(index)];
    }
    labels
}

fn wrong_length(card: &ShareHeader, coded: &[u8]) -> ShareError {
    let [i, j, k] = card.extent;
    let expected = format!("the coded labels of {i} × {j} × {k} voxels");
    ShareError::content(expected, format!("{} bytes", coded.len()))
}

/// Refuses grids that cannot be, that are too large to be allocated for a link, or whose label map
/// cannot be saved; else their voxels.
fn check_grid(grid: &Grid) -> Result<usize, ShareError> {
    let [i, j, k] = grid.dims;
    let num_voxels = i.checked_mul(j).and_then(|n| n.checked_mul(k)).unwrap_or(usize::MAX);
    if num_voxels == 0 {
        return Err(ShareError::content("a grid with voxels", format!("{i} × {j} × {k}")));
    }
    check_size("the grid in voxels", MAX_VOXELS, num_voxels)?;
    check_size("the grid's longest axis in voxels", MAX_AXIS, i.max(j).max(k))?;
    let geometry = |e| ShareError::content("a grid that spans space", e);
    grid.world_from_voxel.check().map_err(geometry)?;
    saved::world_from_voxel(grid)?;
    Ok(num_voxels)
}

fn check_card(card: &ShareHeader) -> Result<(), ShareError> {
    let ends = std::array::from_fn::<_, 3, _>(|a| card.start[a].checked_add(card.extent[a]));
    if (0..3).any(|a| ends[a].is_none_or(|end| end > card.grid.dims[a])) {
        let found = format!("{:?} from {:?}", card.extent, card.start);
        return Err(ShareError::content("a box inside the grid", found));
    }
    // Inside the grid, so no product overflows.
    let box_voxels = card.extent.iter().product();
    check_size("the labelled part in voxels", MAX_BOX_VOXELS, box_voxels)?;
    let padded = map_coder::working_voxels(card.extent).unwrap_or(usize::MAX);
    check_size("the labelled part in voxels, with its margin,", MAX_PADDED_VOXELS, padded)?;
    let rising = card.codes.is_sorted_by(|a, b| a < b);
    if !rising || card.codes.is_empty() != (box_voxels == 0) {
        return Err(ShareError::content("the codes of the box", format!("{:?}", card.codes)));
    }
    check_size("the number of regions", MAX_REGIONS, card.regions.len())?;
    for region in &card.regions {
        check_size("the number of a region's labels", MAX_REGIONS, region.codes.len())?;
        if !region.volume_ml.is_finite() || region.codes.contains(&0) || region.codes.is_empty() {
            let found = format!("{} ml of {:?}", region.volume_ml, region.codes);
            return Err(ShareError::content("a region with a volume and labels", found));
        }
        check_text("a region's name in characters", MAX_NAME_CHARS, &region.name)?;
    }
    check_text("the model's name in characters", MAX_NAME_CHARS, &card.model.name)?;
    check_text("the warning in characters", MAX_TEXT_CHARS, &card.model.warning)?;
    check_text("the windows in characters", MAX_NAME_CHARS, &card.model.windows)?;
    let hash = &card.model.hash;
    if hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
        let found = format!("{} characters", hash.len());
        return Err(ShareError::content("the model's SHA-256 in hexadecimal", found));
    }
    Ok(())
}

/// Refuses codes that no voxel has, and regions of another volume than that of their voxels.
fn check_map(codes: &[u8], regions: &[SharedRegion], labels: &LabelMap) -> Result<(), ShareError> {
    // Counted once: a link may hold hundreds of regions.
    let mut counts = [0u64; 256];
    labels.labels().iter().for_each(|&code| counts[usize::from(code)] += 1);
    if let Some(code) = codes.iter().find(|&&code| counts[usize::from(code)] == 0) {
        return Err(ShareError::content("codes of labels that the map has", code));
    }
    let voxel_ml = labels.grid().world_from_voxel.voxel_volume_mm3() / 1000.0;
    for region in regions {
        let united = (0..=255).filter(|code| region.codes.contains(code));
        let num_voxels: u64 = united.map(|code| counts[usize::from(code)]).sum();
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

/// First voxel and extent of the smallest box that holds every label; nothing for an empty map.
fn bounding_box(map: &LabelMap) -> ([usize; 3], [usize; 3]) {
    let [di, dj, dk] = map.grid().dims;
    let (mut low, mut high) = ([usize::MAX; 3], [0; 3]);
    for (row, labels) in map.labels().chunks_exact(di).enumerate() {
        let Some(first) = labels.iter().position(|&l| l != 0) else { continue };
        let last = labels.iter().rposition(|&l| l != 0).unwrap_or(first);
        let (j, k) = (row % dj, row / dj);
        low = [low[0].min(first), low[1].min(j), low[2].min(k)];
        high = [high[0].max(last + 1), high[1].max(j + 1), high[2].max(k + 1)];
    }
    debug_assert!(high[2] <= dk);
    if high[0] == 0 {
        return ([0; 3], [0; 3]);
    }
    (low, std::array::from_fn(|a| high[a] - low[a]))
}

/// The places of a box's voxels, i fastest.
fn voxels_of(grid: &Grid, start: [usize; 3], extent: [usize; 3]) -> impl Iterator<Item = usize> {
    let [di, dj, _] = grid.dims;
    let (ends, rows) = (std::array::from_fn::<_, 3, _>(|a| start[a] + extent[a]), start);
    (rows[2]..ends[2]).flat_map(move |k| {
        (rows[1]..ends[1]).flat_map(move |j| (rows[0]..ends[0]).map(move |i| i + di * (j + dj * k)))
    })
}

/// Header fields that mean nothing may hold anything, but JSON has no word for NaN.
fn finite(grid: &Grid) -> Grid {
    let mut grid = grid.clone();
    let forms = &mut grid.transforms;
    let numbers = (forms.quaternion.iter_mut())
        .chain(&mut forms.offset_mm)
        .chain(&mut forms.spacing_mm)
        .chain(forms.rows.as_flattened_mut())
        .chain([&mut forms.qfac]);
    numbers.filter(|x| !x.is_finite()).for_each(|x| *x = 0.0);
    grid
}

/// To a thousandth of a milliliter, finer than a voxel.
fn rounded(volume_ml: f64) -> f64 {
    (volume_ml * 1000.0).round() / 1000.0
}
