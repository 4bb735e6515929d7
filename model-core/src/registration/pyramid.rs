//! The scans at the resolutions of registration, with intensities as positions in a histogram.

use glam::{DAffine3, DVec3};

use super::bias;
use crate::geometry::resample;
use crate::{Error, Grid, Result, Volume};

/// The intensities that the joint histogram distinguishes in each scan.
pub(super) const BINS: usize = 64;

/// The spacing of the finest resolution. Coarser ones double it.
pub(super) const FINEST_MM: f64 = 2.0;

/// The number of resolutions: 8, 4 and 2 mm.
pub(super) const NUM_LEVELS: usize = 3;

/// The intensity between air and head, as a fraction of the robust range (BET; Smith 2002, section
/// 2.1).
pub(super) const HEAD_THRESHOLD: f32 = 0.1;

/// The largest number of voxels of a level, which bounds its memory.
const MAX_VOXELS: f64 = (1 << 24) as f64;

/// A scan at one resolution.
///
/// An axis that is coarser than the level, as that of thick slices, keeps its own voxels.
pub(super) struct Level {
    pub dims: [usize; 3],
    pub world_from_voxel: DAffine3,
    /// Intensities between 0 and `BINS − 1`, i fastest.
    pub values: Vec<f32>,
}

/// Returns the levels of a scan, the coarsest first.
pub(super) fn pyramid(scan: &Volume) -> Result<Vec<Level>> {
    scan.grid().world_from_voxel.check()?;
    if scan.grid().dims.contains(&0) {
        return Err(Error::scan("voxels", "none"));
    }
    let mut levels = Vec::with_capacity(NUM_LEVELS);
    let mut finer = downsample(scan.values(), scan.grid(), FINEST_MM);
    for n in 1..NUM_LEVELS {
        let coarser = downsample(&finer.1, &finer.0, FINEST_MM * f64::from(1 << n));
        levels.push(std::mem::replace(&mut finer, coarser));
    }
    levels.push(finer);
    let range = robust_range(&levels[1].1)?;
    correct_bias(&mut levels, range);
    let range = robust_range(&levels[1].1)?;
    let level = |(grid, values): (Grid, Vec<f32>)| Level {
        dims: grid.dims,
        world_from_voxel: grid.world_from_voxel.0,
        values: to_bins(values, range),
    };
    Ok(levels.into_iter().rev().map(level).collect())
}

/// Corrects the bias field of all levels, as it is in the coarsest.
fn correct_bias(levels: &mut [(Grid, Vec<f32>)], [low, high]: [f32; 2]) {
    let Some((grid, values)) = levels.last() else { return };
    let (dims, spacing_mm) = (grid.dims, grid.world_from_voxel.spacing_mm());
    let threshold = low + HEAD_THRESHOLD * (high - low);
    let factors = bias::correction(values, dims, spacing_mm, [low, threshold]);
    for (grid, values) in levels {
        let factors = resample::image(&factors, dims, grid.dims);
        values.iter_mut().zip(factors).for_each(|(v, factor)| *v = low + (*v - low) * factor);
    }
}

/// Returns a grid of about `spacing_mm` over the same extent, and the anti-aliased intensities.
fn downsample(values: &[f32], grid: &Grid, spacing_mm: f64) -> (Grid, Vec<f32>) {
    let own_mm = grid.world_from_voxel.spacing_mm();
    let dims_at = |spacing_mm: f64| -> [usize; 3] {
        std::array::from_fn(|axis| {
            let dim = grid.dims[axis];
            // An axis that is finer by less than a fifth is not worth the smoothing.
            match own_mm[axis] < 0.8 * spacing_mm {
                true => ((dim as f64 * own_mm[axis] / spacing_mm).round() as usize).max(1),
                false => dim,
            }
        })
    };
    let (mut spacing_mm, mut dims) = (spacing_mm, dims_at(spacing_mm));
    while dims.iter().map(|&dim| dim as f64).product::<f64>() > MAX_VOXELS {
        spacing_mm *= 1.25;
        dims = dims_at(spacing_mm);
    }
    let ratio = DVec3::from_array(std::array::from_fn(|a| grid.dims[a] as f64 / dims[a] as f64));
    let own_from_level =
        DAffine3 { translation: 0.5 * ratio - DVec3::splat(0.5), ..DAffine3::from_scale(ratio) };
    let mut level = grid.clone();
    level.dims = dims;
    level.world_from_voxel.0 *= own_from_level;
    (level, resample::image(values, grid.dims, dims))
}

/// The fraction of intensities that is cut off at each end: vessels, fat and spikes.
const CUT_OFF: f64 = 0.005;

/// Returns the range of a scan's intensities without outliers.
///
/// # Errors
/// [`Error::Scan`] if all intensities are the same.
fn robust_range(values: &[f32]) -> Result<[f32; 2]> {
    let mut sorted: Vec<f32> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_unstable_by(f32::total_cmp);
    // The background is most of many scans, and would hide that 1 % of the head is bright.
    let background = sorted.first().copied().unwrap_or_default();
    let head = &sorted[sorted.partition_point(|&value| value <= background)..];
    let at = |fraction: f64| head.get(((head.len() as f64 - 1.0) * fraction) as usize).copied();
    let low = if head.len() < sorted.len() / 2 { Some(background) } else { at(CUT_OFF) };
    match (low, at(1.0 - CUT_OFF)) {
        (Some(low), Some(high)) if high > low && (high - low).is_finite() => Ok([low, high]),
        _ => Err(Error::scan("several intensities", format!("only {background}"))),
    }
}

/// Maps intensities to positions in the histogram; non-finite ones become 0.
fn to_bins(mut values: Vec<f32>, [low, high]: [f32; 2]) -> Vec<f32> {
    let scale = (BINS - 1) as f32 / (high - low);
    // The order of `max` and `min` turns NaN to 0.
    values.iter_mut().for_each(|v| *v = ((*v - low) * scale).max(0.0).min((BINS - 1) as f32));
    values
}
