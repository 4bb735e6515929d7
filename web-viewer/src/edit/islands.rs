//! Islands: the connected parts of a region.

use model_core::metrics::{Components, Connectivity, components};

use super::RegionMask;

fn islands(mask: &RegionMask) -> Components {
    components(mask.inside(), mask.dims(), Connectivity::Corner)
}

fn select(islands: &Components, keeps: impl Fn(usize) -> bool) -> Vec<bool> {
    islands.labels.iter().map(|&island| island != 0 && keeps(island as usize - 1)).collect()
}

/// Returns the mask without its islands of fewer than `min_voxels` voxels.
pub fn remove_small(mask: &RegionMask, min_voxels: usize) -> Vec<bool> {
    let islands = islands(mask);
    select(&islands, |n| islands.sizes[n] >= min_voxels)
}

/// Returns the largest island alone.
pub fn keep_largest(mask: &RegionMask) -> Vec<bool> {
    let islands = islands(mask);
    let largest = islands.largest().map_or(0, |island| island as usize - 1);
    select(&islands, |n| n == largest)
}

/// Returns the mask without the island that has a voxel of the grid, or that island alone if `keeps`;
/// `None` if the voxel is outside the region.
pub fn keep_island(mask: &RegionMask, voxel: [usize; 3], keeps: bool) -> Option<Vec<bool>> {
    let islands = islands(mask);
    let island = islands.labels[mask.index(voxel)?].checked_sub(1)? as usize;
    Some(select(&islands, |n| (n == island) == keeps))
}

#[cfg(test)]
mod tests {
    use super::super::region_mask::tests::map_of;
    use super::*;

    fn count(mask: &[bool]) -> usize {
        mask.iter().filter(|&&inside| inside).count()
    }

    #[test]
    fn islands_are_removed_by_size_or_place() {
        // A block of 2 × 2 × 2, a line of 3, a single voxel that touches the block at a corner.
        let map = map_of([12, 8, 8], |[i, j, k]| {
            let block = (1..3).contains(&i) && (1..3).contains(&j) && (1..3).contains(&k);
            let line = (6..9).contains(&i) && j == 5 && k == 5;
            u8::from(block || line || [i, j, k] == [3, 3, 3])
        });
        let mask = RegionMask::new(&map, &[1], 0).unwrap();
        assert_eq!(count(&remove_small(&mask, 3)), 12);
        assert_eq!(count(&remove_small(&mask, 4)), 9);
        assert_eq!(count(&remove_small(&mask, 10)), 0);
        assert_eq!(count(&keep_largest(&mask)), 9);
        assert_eq!(keep_island(&mask, [7, 5, 5], true).map(|mask| count(&mask)), Some(3));
        assert_eq!(keep_island(&mask, [7, 5, 5], false).map(|mask| count(&mask)), Some(9));
        assert_eq!(keep_island(&mask, [5, 5, 5], true), None);
        assert_eq!(keep_island(&mask, [11, 7, 7], true), None);
    }
}
