//! Smoothing of a region's surface, and filling of its holes.

use model_core::metrics::{Connectivity, components};

use super::RegionMask;

/// Returns the median of the mask in boxes of 2 · reach + 1 voxels: a voxel is inside if more than half of
/// its box is. Beyond the grid's edge there are no voxels.
///
/// The mask's margin must be at least the largest reach.
///
/// # Shapes
/// - reach: along i, j, k
pub fn smooth(mask: &RegionMask, reach: [usize; 3]) -> Vec<bool> {
    let dims = mask.dims();
    let mut sums: Vec<u32> = mask.inside().iter().map(|&inside| u32::from(inside)).collect();
    let strides = [1, dims[0], dims[0] * dims[1]];
    for axis in 0..3 {
        sum_along(&mut sums, dims[axis], strides[axis], reach[axis]);
    }
    let num_in_box = |axis: usize| -> Vec<u32> {
        (0..dims[axis]).map(|at| mask.num_in_grid(axis, at, reach[axis]) as u32).collect()
    };
    let [in_i, in_j, in_k] = [0, 1, 2].map(num_in_box);
    let is_inside = |(n, &sum): (usize, &u32)| {
        let [i, j, k] = [n % dims[0], n / dims[0] % dims[1], n / dims[0] / dims[1]];
        2 * u64::from(sum) > u64::from(in_i[i]) * u64::from(in_j[j]) * u64::from(in_k[k])
    };
    sums.iter().enumerate().map(is_inside).collect()
}

/// Replaces each value by the sum of those up to `reach` before and behind it, along an axis of `length`
/// values that are `stride` apart.
fn sum_along(values: &mut [u32], length: usize, stride: usize, reach: usize) {
    let mut line = vec![0u32; length + 1];
    for start in (0..values.len()).filter(|n| (n / stride).is_multiple_of(length)) {
        for at in 0..length {
            line[at + 1] = line[at] + values[start + at * stride];
        }
        for at in 0..length {
            let end = (at + reach + 1).min(length);
            values[start + at * stride] = line[end] - line[at.saturating_sub(reach)];
        }
    }
}

/// Returns the mask with the background that it encloses.
///
/// The mask needs a margin of a voxel, except at the grid's edge: what is open there is no hole.
pub fn fill_holes(mask: &RegionMask) -> Vec<bool> {
    let dims = mask.dims();
    let outside: Vec<bool> = mask.inside().iter().map(|inside| !inside).collect();
    let parts = components(&outside, dims, Connectivity::Face);
    let mut is_open = vec![false; parts.count()];
    for (n, &part) in parts.labels.iter().enumerate().filter(|(_, part)| **part != 0) {
        let voxel = [n % dims[0], n / dims[0] % dims[1], n / dims[0] / dims[1]];
        if (0..3).any(|axis| voxel[axis] == 0 || voxel[axis] + 1 == dims[axis]) {
            is_open[part as usize - 1] = true;
        }
    }
    parts.labels.iter().map(|&part| part == 0 || !is_open[part as usize - 1]).collect()
}

#[cfg(test)]
mod tests {
    use super::super::region_mask::tests::map_of;
    use super::*;

    fn count(mask: &[bool]) -> usize {
        mask.iter().filter(|&&inside| inside).count()
    }

    /// A block of 8³ with a spike of a voxel on top and a notch of a voxel in a side.
    fn is_block(voxel: [usize; 3]) -> bool {
        let inside = voxel.iter().all(|x| (3..11).contains(x));
        (inside && voxel != [3, 6, 6]) || voxel == [6, 6, 11]
    }

    #[test]
    fn spikes_vanish_and_notches_close() {
        let map = map_of([16, 16, 16], |voxel| u8::from(is_block(voxel)));
        let mask = RegionMask::new(&map, &[1], 1).unwrap();
        let smoothed = smooth(&mask, [1; 3]);
        let inside = |voxel| smoothed[mask.index(voxel).unwrap()];
        assert!(!inside([6, 6, 11]), "the spike");
        assert!(inside([3, 6, 6]), "the notch");
        assert!(inside([6, 6, 10]) && inside([5, 3, 5]), "the faces stay");
        assert!(!inside([3, 3, 3]), "a corner is rounded");
        assert_eq!(smooth(&mask, [0; 3]), mask.inside());
    }

    #[test]
    fn the_grids_edge_is_not_eaten() {
        // The whole grid of one slice, as a scan of few slices may be filled.
        let map = map_of([9, 9, 1], |_| 1);
        let mask = RegionMask::new(&map, &[1], 2).unwrap();
        assert_eq!(count(&smooth(&mask, [2, 2, 0])), 81);
    }

    #[test]
    fn enclosed_background_is_filled_and_open_background_is_not() {
        let shell = |[i, j, k]: [usize; 3]| {
            let on_shell = [i, j, k].iter().all(|x| (1..6).contains(x))
                && [i, j, k].iter().any(|&x| x == 1 || x == 5);
            u8::from(on_shell)
        };
        let map = map_of([8, 8, 8], shell);
        let mask = RegionMask::new(&map, &[1], 1).unwrap();
        assert_eq!((count(mask.inside()), count(&fill_holes(&mask))), (98, 125));
        let open = map_of([8, 8, 8], |voxel| if voxel == [1, 3, 3] { 0 } else { shell(voxel) });
        let mask = RegionMask::new(&open, &[1], 1).unwrap();
        assert_eq!(count(&fill_holes(&mask)), 97);
    }
}
