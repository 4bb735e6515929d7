//! Cuts a patch from a case. Without spatial augmentation the voxels are copied. Otherwise all
//! spatial augmentations are applied in one interpolation.

use crate::augment::Augmentation;
use crate::cases::PreparedCase;

use super::PatchDraw;

/// Cuts a patch and augments it, as [`cut_voxels`] and the changes of intensities do.
///
/// # Shapes
/// - returns: values `[channel, k, j, i]` and labels `[k, j, i]`
pub fn cut_patch(case: &PreparedCase, draw: &PatchDraw, patch: [usize; 3]) -> (Vec<f32>, Vec<u8>) {
    let (mut values, labels) = cut_voxels(case, draw, patch);
    draw.augmentation.change_intensities(&mut values, patch);
    (values, labels)
}

/// Cuts a patch with its spatial augmentations alone. Outside the case, values are 0, the mean of the
/// foreground, and labels are background.
///
/// # Shapes
/// - returns: values `[channel, k, j, i]` and labels `[k, j, i]`
pub fn cut_voxels(case: &PreparedCase, draw: &PatchDraw, patch: [usize; 3]) -> (Vec<f32>, Vec<u8>) {
    let num_voxels: usize = patch.iter().product();
    let mut values = vec![0.0; case.input.channels * num_voxels];
    let mut labels = vec![0; num_voxels];
    let Augmentation { flip, scan_from_patch, elastic, .. } = &draw.augmentation;
    match scan_from_patch.is_some() || elastic.is_some() {
        false => copy(case, draw.start, patch, &mut values, &mut labels),
        true => interpolate(case, draw, patch, &mut values, &mut labels),
    }
    for values in values.chunks_exact_mut(num_voxels) {
        mirror(values, patch, *flip);
    }
    mirror(&mut labels, patch, *flip);
    (values, labels)
}

/// Mirrors a patch along some of its axes.
fn mirror<T>(values: &mut [T], [ni, nj, nk]: [usize; 3], flip: [bool; 3]) {
    if flip[0] {
        values.chunks_exact_mut(ni).for_each(|row| row.reverse());
    }
    let mut swap = |row: usize, other: usize| {
        let (before, after) = values.split_at_mut(ni * other);
        before[ni * row..ni * (row + 1)].swap_with_slice(&mut after[..ni]);
    };
    if flip[1] {
        for k in 0..nk {
            (0..nj / 2).for_each(|j| swap(nj * k + j, nj * k + nj - 1 - j));
        }
    }
    if flip[2] {
        for k in 0..nk / 2 {
            (0..nj).for_each(|j| swap(nj * k + j, nj * (nk - 1 - k) + j));
        }
    }
}

fn copy(
    case: &PreparedCase,
    start: [isize; 3],
    patch: [usize; 3],
    values: &mut [f32],
    labels: &mut [u8],
) {
    let dims = case.input.dims;
    // The range along each axis of the patch that lies in the case.
    let inside = |axis: usize| {
        let from = (-start[axis]).clamp(0, patch[axis] as isize) as usize;
        let to = (dims[axis] as isize - start[axis]).clamp(0, patch[axis] as isize) as usize;
        from..to.max(from)
    };
    let row = inside(0);
    for k in inside(2) {
        for j in inside(1) {
            let in_case = [row.start, j, k];
            let [i0, j0, k0]: [usize; 3] =
                std::array::from_fn(|a| (start[a] + in_case[a] as isize) as usize);
            let from = i0 + dims[0] * (j0 + dims[1] * k0);
            let to = row.start + patch[0] * (j + patch[1] * k);
            labels[to..to + row.len()].copy_from_slice(&case.labels[from..from + row.len()]);
            let scans = case.input.values.chunks_exact(case.labels.len());
            for (scan, values) in scans.zip(values.chunks_exact_mut(patch.iter().product())) {
                values[to..to + row.len()].copy_from_slice(&scan[from..from + row.len()]);
            }
        }
    }
}

/// The eight voxels around a point and their trilinear weights. All channels share them.
#[derive(Clone, Copy, Default)]
struct Corners {
    at: [u32; 8],
    weights: [f32; 8],
}

/// Interpolates intensities trilinearly and takes labels from the nearest voxel.
fn interpolate(
    case: &PreparedCase,
    draw: &PatchDraw,
    patch: [usize; 3],
    values: &mut [f32],
    labels: &mut [u8],
) {
    const IDENTITY: [[f32; 3]; 3] = [[1., 0., 0.], [0., 1., 0.], [0., 0., 1.]];
    let map = draw.augmentation.scan_from_patch.unwrap_or(IDENTITY);
    let mut elastic = draw.augmentation.elastic.as_ref().map(|elastic| elastic.rows_over(patch));
    let center = patch.map(|n| (n as f32 - 1.0) / 2.0);
    let num_voxels = labels.len();
    let mut places = [(); 3].map(|()| vec![0.0f32; patch[0]]);
    let mut displacements = vec![0.0; patch[0]];
    let mut corners = vec![Corners::default(); patch[0]];
    for (row, labels) in labels.chunks_exact_mut(patch[0]).enumerate() {
        let (j, k) = (row % patch[1], row / patch[1]);
        let offset = [j as f32 - center[1], k as f32 - center[2]];
        for axis in 0..3 {
            let [by_i, by_j, by_k] = map[axis];
            let base = draw.start[axis] as f32 + center[axis] + by_j * offset[0] + by_k * offset[1];
            for (i, place) in places[axis].iter_mut().enumerate() {
                *place = base + by_i * (i as f32 - center[0]);
            }
            if let Some(Some(elastic)) = elastic.as_mut().map(|elastic| &mut elastic[axis]) {
                elastic.row(j, k, &mut displacements);
                places[axis].iter_mut().zip(&displacements).for_each(|(place, d)| *place += d);
            }
        }
        for (i, (corners, label)) in corners.iter_mut().zip(labels).enumerate() {
            let place = [places[0][i], places[1][i], places[2][i]];
            *corners = Corners::around(place, case.input.dims);
            *label = nearest(place, case.input.dims).map_or(0, |at| case.labels[at]);
        }
        let scans = case.input.values.chunks_exact(case.labels.len());
        for (scan, values) in scans.zip(values.chunks_exact_mut(num_voxels)) {
            let values = &mut values[row * patch[0]..(row + 1) * patch[0]];
            for (value, corners) in values.iter_mut().zip(&corners) {
                *value = corners.weighted_sum(scan);
            }
        }
    }
}

impl Corners {
    /// Returns the corners around a point. Voxels outside the case have the weight 0.
    fn around(place: [f32; 3], dims: [usize; 3]) -> Corners {
        let low = place.map(floor);
        let high: [f32; 3] = std::array::from_fn(|axis| place[axis] - low[axis] as f32);
        let [ni, nj, _] = dims.map(|n| n as u32);
        if (0..3).all(|axis| low[axis] >= 0 && low[axis] + 1 < dims[axis] as i32) {
            let at = low[0] as u32 + ni * (low[1] as u32 + nj * low[2] as u32);
            let shares = high.map(|share| [1.0 - share, share]);
            let steps = [0, 1, ni, ni + 1].map(|step| [at + step, at + step + ni * nj]);
            return Corners::new(|n| steps[n & 3][n >> 2], shares);
        }
        let mut ends = [[0u32; 2]; 3];
        let mut shares = [[0.0f32; 2]; 3];
        for axis in 0..3 {
            let both = [(low[axis], 1.0 - high[axis]), (low[axis].saturating_add(1), high[axis])];
            for (n, (at, share)) in both.into_iter().enumerate() {
                if at >= 0 && at < dims[axis] as i32 {
                    ends[axis][n] = at as u32;
                    shares[axis][n] = share;
                }
            }
        }
        let at = |n: usize| ends[0][n & 1] + ni * (ends[1][n >> 1 & 1] + nj * ends[2][n >> 2]);
        Corners::new(at, shares)
    }

    fn new(at: impl Fn(usize) -> u32, [i, j, k]: [[f32; 2]; 3]) -> Corners {
        Corners {
            at: std::array::from_fn(at),
            weights: std::array::from_fn(|n| i[n & 1] * (j[n >> 1 & 1] * k[n >> 2])),
        }
    }

    fn weighted_sum(&self, scan: &[f32]) -> f32 {
        let value = |n: usize| self.weights[n] * scan[self.at[n] as usize];
        // Summed in pairs, which the processor can add in parallel.
        ((value(0) + value(1)) + (value(2) + value(3)))
            + ((value(4) + value(5)) + (value(6) + value(7)))
    }
}

/// Returns the largest integer not above `x`, saturated to the range of i32.
fn floor(x: f32) -> i32 {
    // `f32::floor` is a function call for targets without a rounding instruction.
    let truncated = x as i32;
    truncated.saturating_sub(i32::from(x < truncated as f32))
}

/// Returns the index of the nearest voxel, or `None` outside the case.
fn nearest(place: [f32; 3], dims: [usize; 3]) -> Option<usize> {
    let [i, j, k] = place.map(|x| floor(x + 0.5));
    let inside = [i, j, k].iter().zip(dims).all(|(&at, n)| at >= 0 && (at as usize) < n);
    inside.then(|| i as usize + dims[0] * (j as usize + dims[1] * k as usize))
}

#[cfg(test)]
mod tests;
