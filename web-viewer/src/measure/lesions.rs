//! The diameters of each lesion of a region.

use model_core::LabelMap;
use model_core::metrics::{Connectivity, components};

use super::diameters::largest_diameters;
use super::measurement::Shape;
use crate::edit::RegionMask;
use crate::slice::RasFrame;

/// The most lesions that are measured, the largest first.
const MAX_LESIONS: usize = 10;

/// The diameters of a lesion on its largest axial slice.
#[derive(Debug, Clone, PartialEq)]
pub struct LesionDiameters {
    /// The volume of the lesion.
    pub volume_ml: f64,
    /// The diameters.
    pub shape: Shape,
    /// The voxel of the map in the middle of the longest diameter.
    pub voxel: [usize; 3],
}

/// Returns the diameters of a region's lesions, the largest lesion first, at most ten. Voxels that share a
/// corner are one lesion.
///
/// The slice with the most voxels of the lesion is measured, of oblique scans the one that is nearest to
/// axial. Of several parts in that slice the largest is.
pub fn lesion_diameters(map: &LabelMap, codes: &[u8]) -> Vec<LesionDiameters> {
    let frame = RasFrame::new(map.grid());
    let Some(mask) = RegionMask::new(map, codes, 0) else { return Vec::new() };
    let lesions = components(mask.inside(), mask.dims(), Connectivity::Corner);
    let mut order: Vec<usize> = (0..lesions.count()).collect();
    order.sort_by_key(|&n| std::cmp::Reverse(lesions.sizes[n]));
    order.truncate(MAX_LESIONS);
    let voxel_ml = map.grid().world_from_voxel.voxel_volume_mm3() / 1000.0;
    let is_lesion = |ras_voxel: [usize; 3], lesion: usize| {
        let index = mask.index(frame.source_from_ras(ras_voxel));
        index.is_some_and(|index| lesions.labels[index] as usize == lesion + 1)
    };
    let measure = |lesion: usize| {
        let (slice, inside) = largest_slice(&frame, |voxel| is_lesion(voxel, lesion))?;
        let [width, height, _] = frame.dims;
        let spacing_mm = [frame.spacing_mm[0], frame.spacing_mm[1]];
        let diameters = largest_diameters(&inside, [width, height], spacing_mm)?;
        let ras = |[x, y]: [f64; 2]| [x, y, slice as f64];
        let world = |point: [f64; 2]| {
            map.grid().world_from_voxel.apply(frame.source_point_from_ras(ras(point)))
        };
        let [[a, b], [c, d]] = [diameters.long, diameters.short];
        let middle = [0, 1].map(|n| ((a[n] + b[n]) / 2.0).round().max(0.0) as usize);
        let middle = [middle[0].min(width - 1), middle[1].min(height - 1), slice];
        Some(LesionDiameters {
            volume_ml: lesions.sizes[lesion] as f64 * voxel_ml,
            shape: Shape::Diameters([a, b, c, d].map(world)),
            voxel: frame.source_from_ras(middle),
        })
    };
    order.into_iter().filter_map(measure).collect()
}

/// Returns the axial slice with the most voxels, and the largest part in it, `[height][width]` of RAS voxels.
fn largest_slice(
    frame: &RasFrame,
    is_inside: impl Fn([usize; 3]) -> bool,
) -> Option<(usize, Vec<bool>)> {
    let [width, height, num_slices] = frame.dims;
    let slice_mask = |slice: usize| -> Vec<bool> {
        (0..width * height).map(|n| is_inside([n % width, n / width, slice])).collect()
    };
    let count = |slice: &usize| slice_mask(*slice).iter().filter(|&&inside| inside).count();
    let largest = (0..num_slices).max_by_key(|slice| (count(slice), num_slices - slice))?;
    let inside = slice_mask(largest);
    let parts = components(&inside, [width, height, 1], Connectivity::Corner);
    let part = parts.largest()?;
    Some((largest, parts.labels.iter().map(|&label| label == part).collect()))
}

#[cfg(test)]
mod tests {
    use model_core::{Affine, Grid};

    use super::*;
    use crate::measure::distance_mm;

    #[test]
    fn each_lesion_is_measured_on_its_largest_axial_slice() {
        // LPS with axes in the order k = left, i = anterior, j = superior: 1 × 2 × 1 mm.
        let rows = [[0., 0., -1., 50.], [1., 0., 0., 0.], [0., 2., 0., 0.]];
        let grid = Grid::new([40, 20, 40], Affine::from_rows(rows));
        let ball = |at: [f64; 3], center: [f64; 3], radius: f64| distance_mm(at, center) <= radius;
        let labels = (0..grid.num_voxels()).map(|n| {
            let voxel = [n % 40, n / 40 % 20, n / 800].map(|x| x as f64);
            let at = grid.world_from_voxel.apply(voxel);
            match ball(at, [25.0, 15.0, 20.0], 8.0) {
                true => 2,
                false => u8::from(ball(at, [40.0, 32.0, 10.0], 4.0)),
            }
        });
        let map = LabelMap::new(grid.clone(), labels.collect()).unwrap();
        assert!(lesion_diameters(&map, &[9]).is_empty());
        let found = lesion_diameters(&map, &[1, 2]);
        assert_eq!(found.len(), 2);
        for (lesion, (radius, superior)) in found.iter().zip([(8.0, 20.0), (4.0, 10.0)]) {
            let Shape::Diameters([a, b, c, d]) = lesion.shape else { panic!("diameters") };
            for length in [distance_mm(a, b), distance_mm(c, d)] {
                assert!((length - 2.0 * radius).abs() < 1.5, "{length}");
            }
            assert!([a, b, c, d].iter().all(|point| (point[2] - superior).abs() < 1e-9));
            let ml = 4.0 / 3.0 * std::f64::consts::PI * radius.powi(3) / 1000.0;
            assert!((lesion.volume_ml / ml - 1.0).abs() < 0.1);
            assert_ne!(map.labels()[grid.index(lesion.voxel)], 0);
        }
        assert_eq!(lesion_diameters(&map, &[1]).len(), 1);
    }
}
