//! Computes distances between the surfaces of two masks, and the scores from them.

use super::Surface;
use super::distance::{Voxel, distances_mm};
use super::region_masks::{RegionMasks, VoxelSpace};
use super::surface_elements::surface_elements;
use crate::LabelMap;

/// The distance beyond a tolerance that still counts as within it. A spacing of 1 mm that is rotated
/// and stored in 32 bits is read as 1.0000001.
const ROUNDING_MM: f32 = 1e-5;

/// An element of a surface.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SurfaceElement {
    /// The distance to the nearest element of the other surface.
    pub distance_mm: f32,
    /// The weight: the element's area in mm², or 1 for a voxel.
    pub weight: f32,
}

/// The distances between the surfaces of a prediction and of a reference, neither empty.
///
/// Distances are between voxel centers, or between points where eight voxels meet, in millimeters, with
/// the axes taken as perpendicular. Voxels beyond the volume are outside. An axis with a single voxel
/// has neither neighbors nor a border, so that a slice is measured in its plane.
#[derive(Debug, Clone, PartialEq)]
pub struct SurfaceDistances {
    surface: Surface,
    /// The elements of the prediction's surface, ordered by distance.
    pub predicted: Vec<SurfaceElement>,
    /// The elements of the reference's surface, ordered by distance.
    pub reference: Vec<SurfaceElement>,
}

impl SurfaceDistances {
    /// Returns the distances between a region's two masks; `None` if one of them is empty.
    pub(super) fn between(masks: &RegionMasks, surface: Surface) -> Option<SurfaceDistances> {
        let RegionMasks { predicted, reference, dims, space, .. } = masks;
        SurfaceDistances::between_masks(predicted, reference, *dims, space, surface)
    }

    /// Returns the distances between two masks of `dims` voxels; `None` if one of them is empty.
    pub(super) fn between_masks(
        predicted: &[bool],
        reference: &[bool],
        dims: [usize; 3],
        space: &VoxelSpace,
        surface: Surface,
    ) -> Option<SurfaceDistances> {
        let [predicted, reference] = [predicted, reference].map(|mask| match surface {
            Surface::Voxels => {
                let voxels = surface_voxels(mask, dims, space.is_flat);
                let weights = vec![1.0; voxels.len()];
                (voxels, weights)
            }
            Surface::Areas => surface_elements(mask, dims, space),
        });
        if predicted.0.is_empty() || reference.0.is_empty() {
            return None;
        }
        let sorted = |(from, weights): &(Vec<Voxel>, Vec<f32>), to: &[Voxel]| {
            let distances = distances_mm(from, to, space.spacing_mm).into_iter().zip(weights);
            let element = |(distance_mm, &weight)| SurfaceElement { distance_mm, weight };
            let mut elements: Vec<SurfaceElement> = distances.map(element).collect();
            elements.sort_unstable_by(|a, b| a.distance_mm.total_cmp(&b.distance_mm));
            elements
        };
        Some(SurfaceDistances {
            surface,
            predicted: sorted(&predicted, &reference.0),
            reference: sorted(&reference, &predicted.0),
        })
    }

    /// Returns the Hausdorff distance: the largest of all distances.
    pub fn hd_mm(&self) -> f64 {
        let last =
            |elements: &[SurfaceElement]| elements.last().map_or(0.0, |e| f64::from(e.distance_mm));
        last(&self.predicted).max(last(&self.reference))
    }

    /// Returns the 95th percentile Hausdorff distance: the larger of the two directed 95th percentiles.
    ///
    /// MedPy and seg-metrics instead take one percentile of both sets together, which lies between the
    /// two.
    pub fn hd95_mm(&self) -> f64 {
        let percentile = match self.surface {
            Surface::Voxels => interpolated_percentile,
            Surface::Areas => weighted_percentile,
        };
        percentile(&self.predicted, 0.95).max(percentile(&self.reference, 0.95))
    }

    /// Returns the normalized surface distance (surface Dice): the share of both surfaces whose distance
    /// to the other surface is at most the tolerance.
    pub fn nsd(&self, tolerance_mm: f64) -> f64 {
        let max_mm = tolerance_mm as f32 + ROUNDING_MM;
        let within = |elements: &[SurfaceElement]| {
            total_weight(&elements[..elements.partition_point(|e| e.distance_mm <= max_mm)])
        };
        let all = total_weight(&self.predicted) + total_weight(&self.reference);
        (within(&self.predicted) + within(&self.reference)) / all
    }
}

/// Returns the surface distances of the region with these label codes; `None` if it is empty in
/// prediction or reference.
///
/// # Panics
/// If the two maps have different dimensions.
pub fn surface_distances(
    predicted: &LabelMap,
    reference: &LabelMap,
    codes: &[u8],
    surface: Surface,
) -> Option<SurfaceDistances> {
    SurfaceDistances::between(&RegionMasks::new(predicted, reference, codes, 0), surface)
}

/// Returns the sum of the elements' weights.
fn total_weight(elements: &[SurfaceElement]) -> f64 {
    elements.iter().map(|element| f64::from(element.weight)).sum()
}

/// Returns a percentile of elements that are ordered by distance, interpolated linearly between two
/// ranks, as in NumPy's default. There must be at least one element.
fn interpolated_percentile(elements: &[SurfaceElement], share: f64) -> f64 {
    let rank = share * (elements.len() - 1) as f64;
    let at = |rank: f64| f64::from(elements[rank as usize].distance_mm);
    let (below, above) = (at(rank.floor()), at(rank.ceil()));
    below + (above - below) * rank.fract()
}

/// Returns a percentile of elements that are ordered by distance: the least distance that covers the
/// share of their weight.
fn weighted_percentile(elements: &[SurfaceElement], share: f64) -> f64 {
    let target = share * total_weight(elements);
    let mut so_far = 0.0;
    let reaches = |element: &&SurfaceElement| {
        so_far += f64::from(element.weight);
        so_far >= target
    };
    let found = elements.iter().find(reaches).or(elements.last());
    found.map_or(0.0, |element| f64::from(element.distance_mm))
}

/// Returns the voxels of a mask that have one of their 6 neighbors outside, ordered by k, then j, then
/// i.
pub(super) fn surface_voxels(mask: &[bool], dims: [usize; 3], is_flat: [bool; 3]) -> Vec<Voxel> {
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
        LabelMap::new(grid, labels).unwrap()
    }

    fn distances_mm(elements: &[SurfaceElement]) -> Vec<f32> {
        elements.iter().map(|element| element.distance_mm).collect()
    }

    #[test]
    fn distances_are_in_millimeters() {
        let one = map([9, 9, 9], [1.0, 2.0, 3.0], &[[1, 1, 1]]);
        let other = map([9, 9, 9], [1.0, 2.0, 3.0], &[[1, 1, 1], [5, 1, 2]]);
        let found = surface_distances(&one, &other, &[1], Surface::Voxels).unwrap();
        assert_eq!((distances_mm(&found.predicted), found.hd_mm()), (vec![0.0], 5.0));
        assert_eq!(distances_mm(&found.reference), [0.0, 5.0]);
        assert!((found.hd95_mm() - 4.75).abs() < 1e-9, "{}", found.hd95_mm());
        assert_eq!((found.nsd(1.0), found.nsd(5.0)), (2.0 / 3.0, 1.0));
        let found = surface_distances(&one, &other, &[1], Surface::Areas).unwrap();
        assert_eq!((found.predicted.len(), found.reference.len()), (8, 16));
        assert_eq!(found.hd95_mm(), 5.0);
        assert!((found.nsd(1.0) - 2.0 / 3.0).abs() < 1e-6, "{}", found.nsd(1.0));
        assert_eq!(surface_distances(&one, &other, &[2], Surface::Voxels), None);
    }

    #[test]
    fn a_slice_is_measured_in_its_plane() {
        let all: Vec<[usize; 3]> = (0..25).map(|n| [n % 5, n / 5, 0]).collect();
        let rim = all.iter().filter(|[i, j, _]| [0, 4].contains(i) || [0, 4].contains(j)).count();
        let slice = map([5, 5, 1], [1.0; 3], &all);
        let found = surface_distances(&slice, &slice, &[1], Surface::Voxels).unwrap();
        assert_eq!(distances_mm(&found.predicted), vec![0.0; rim]);
        let found = surface_distances(&slice, &slice, &[1], Surface::Areas).unwrap();
        // Four corners are cut.
        assert!((total_weight(&found.predicted) - (16.0 + 4.0 * 0.5f64.sqrt())).abs() < 1e-6);
        for surface in Surface::ALL {
            let voxel = map([1, 1, 1], [1.0; 3], &[[0, 0, 0]]);
            let found = surface_distances(&voxel, &voxel, &[1], surface).unwrap();
            assert_eq!((found.hd_mm(), found.hd95_mm(), found.nsd(0.0)), (0.0, 0.0, 1.0));
            assert_eq!(surface.name().parse(), Ok(surface));
        }
        assert!("area".parse::<Surface>().is_err());
    }
}
