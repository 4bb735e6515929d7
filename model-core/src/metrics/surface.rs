//! Distances between the surfaces of two masks, and what is measured by them.

use super::distance::{Voxel, distances_mm};
use super::pair::{Pair, Space};
use crate::LabelMap;

/// How much further than the tolerance still counts as within it: a spacing of 1 mm, rotated and
/// stored in 32 bits, comes back as 1.0000001.
const ROUNDING_MM: f32 = 1e-5;

/// The distances between the surface voxels of a prediction and of a reference, neither empty.
///
/// A surface voxel lies in the mask and has one of its 6 neighbors outside; beyond the volume is
/// outside (SciPy's `mask ^ binary_erosion(mask)`, as MONAI and MedPy take it). Along an axis with a
/// single voxel there is neither neighbor nor border, so that a slice is measured in its plane. A
/// distance is that of voxel centers in millimetres, along axes taken as perpendicular.
///
/// DeepMind's surface-distance, which BraTS 2023 uses, puts the surface between voxels and weights
/// it by area: its numbers differ by parts of a voxel.
#[derive(Debug, Clone, PartialEq)]
pub struct SurfaceDistances {
    /// From each surface voxel of the prediction to the nearest of the reference, ascending.
    pub predicted_mm: Vec<f32>,
    /// From each surface voxel of the reference to the nearest of the prediction, ascending.
    pub reference_mm: Vec<f32>,
}

impl SurfaceDistances {
    /// Between two masks of `dims` voxels; none where one of them is empty.
    pub(super) fn between(
        predicted: &[bool],
        reference: &[bool],
        dims: [usize; 3],
        space: &Space,
    ) -> Option<SurfaceDistances> {
        let [predicted, reference] =
            [predicted, reference].map(|mask| surface(mask, dims, space.is_flat));
        if predicted.is_empty() || reference.is_empty() {
            return None;
        }
        let sorted = |from: &[Voxel], to: &[Voxel]| {
            let mut distances = distances_mm(from, to, space.spacing_mm);
            distances.sort_unstable_by(f32::total_cmp);
            distances
        };
        Some(SurfaceDistances {
            predicted_mm: sorted(&predicted, &reference),
            reference_mm: sorted(&reference, &predicted),
        })
    }

    /// The Hausdorff distance: the largest of all.
    pub fn hd_mm(&self) -> f64 {
        let last = |distances: &[f32]| distances.last().copied().map_or(f64::NAN, f64::from);
        last(&self.predicted_mm).max(last(&self.reference_mm))
    }

    /// The 95th percentile Hausdorff distance: the larger of the two directed 95th percentiles, each
    /// interpolated linearly between ranks. (MedPy and seg-metrics take one percentile of both sets
    /// together, which lies between the two.)
    pub fn hd95_mm(&self) -> f64 {
        percentile(&self.predicted_mm, 0.95).max(percentile(&self.reference_mm, 0.95))
    }

    /// Normalized surface distance (surface Dice): the share of the surface voxels of both that lie
    /// no further than the tolerance from the other's.
    pub fn nsd(&self, tolerance_mm: f64) -> f64 {
        let most = tolerance_mm as f32 + ROUNDING_MM;
        let within = |distances: &[f32]| distances.partition_point(|&distance| distance <= most);
        let all = self.predicted_mm.len() + self.reference_mm.len();
        (within(&self.predicted_mm) + within(&self.reference_mm)) as f64 / all as f64
    }
}

/// The distances of the region that unites `codes`; none where prediction or reference is empty.
///
/// # Panics
/// When the two have not the same dimensions.
pub fn surface_distances(
    predicted: &LabelMap,
    reference: &LabelMap,
    codes: &[u8],
) -> Option<SurfaceDistances> {
    let pair = Pair::new(predicted, reference, codes, 0);
    SurfaceDistances::between(&pair.predicted, &pair.reference, pair.dims, &pair.space)
}

/// Of ascending numbers, at least one; between two ranks linearly, as NumPy's default.
fn percentile(ascending: &[f32], share: f64) -> f64 {
    let rank = share * (ascending.len() - 1) as f64;
    let at = |rank: f64| f64::from(ascending[rank as usize]);
    let (below, above) = (at(rank.floor()), at(rank.ceil()));
    below + (above - below) * rank.fract()
}

/// The voxels of a mask that have one of their 6 neighbors outside, ordered by k, then j, then i.
pub(super) fn surface(mask: &[bool], dims: [usize; 3], is_flat: [bool; 3]) -> Vec<Voxel> {
    let [ni, nj, _] = dims;
    let strides = [1, ni, ni * nj];
    let mut voxels = Vec::new();
    for (row, inside) in mask.chunks_exact(ni.max(1)).enumerate() {
        let (j, k) = (row % nj, row / nj);
        for i in (0..ni).filter(|&i| inside[i]) {
            let at = row * ni + i;
            let is_border = |axis: usize| {
                let x = [i, j, k][axis];
                x == 0
                    || x + 1 == dims[axis]
                    || !mask[at - strides[axis]]
                    || !mask[at + strides[axis]]
            };
            if (0..3).any(|axis| !is_flat[axis] && is_border(axis)) {
                voxels.push([i, j, k].map(|x| x as u32));
            }
        }
    }
    voxels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Affine, Grid};

    fn map(dims: [usize; 3], spacing_mm: [f64; 3], inside: &[[usize; 3]]) -> LabelMap {
        let grid = Grid::new(dims, Affine::from_spacing(spacing_mm));
        let mut labels = vec![0; grid.num_voxels()];
        inside.iter().for_each(|&voxel| labels[grid.index(voxel)] = 1);
        LabelMap { grid, labels }
    }

    #[test]
    fn distances_are_in_millimetres() {
        let one = map([9, 9, 9], [1.0, 2.0, 3.0], &[[1, 1, 1]]);
        let other = map([9, 9, 9], [1.0, 2.0, 3.0], &[[1, 1, 1], [5, 1, 2]]);
        let found = surface_distances(&one, &other, &[1]).unwrap();
        assert_eq!((found.predicted_mm.clone(), found.hd_mm()), (vec![0.0], 5.0));
        assert_eq!(found.reference_mm, [0.0, 5.0]);
        assert!((found.hd95_mm() - 4.75).abs() < 1e-9, "{}", found.hd95_mm());
        assert_eq!((found.nsd(1.0), found.nsd(5.0)), (2.0 / 3.0, 1.0));
        assert_eq!(surface_distances(&one, &other, &[2]), None);
    }

    #[test]
    fn a_slice_is_measured_in_its_plane() {
        let all: Vec<[usize; 3]> = (0..25).map(|n| [n % 5, n / 5, 0]).collect();
        let rim = all.iter().filter(|[i, j, _]| [0, 4].contains(i) || [0, 4].contains(j)).count();
        let slice = map([5, 5, 1], [1.0; 3], &all);
        let found = surface_distances(&slice, &slice, &[1]).unwrap();
        assert_eq!(found.predicted_mm, vec![0.0; rim]);
        let voxel = map([1, 1, 1], [1.0; 3], &[[0, 0, 0]]);
        assert_eq!(surface_distances(&voxel, &voxel, &[1]).unwrap().hd_mm(), 0.0);
    }
}
