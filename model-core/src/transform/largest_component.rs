//! Removes all connected components but the largest, for subjects with one lesion or one organ.
//! Voxels that share a corner are connected (26 neighbors).

use crate::metrics::{Connectivity, components};
use crate::{LabelMap, Task};

/// Keeps the foreground's connected component with the most voxels, or the first of several. The
/// rest becomes background.
pub fn keep_largest_of_foreground(map: &mut LabelMap) {
    let mut mask: Vec<bool> = map.labels().iter().map(|label| *label != 0).collect();
    keep_largest(&mut mask, map.grid().dims);
    map.labels_mut().iter_mut().zip(mask).for_each(|(label, is_kept)| *label *= u8::from(is_kept));
}

/// Keeps the largest connected component of every region. Nested regions stay nested: a region is
/// restricted to the kept components of the regions that contain it. A voxel that leaves a region
/// takes the code of the last region, in the task's order, that still contains it, else background.
pub fn keep_largest_of_regions(map: &mut LabelMap, task: &Task) {
    let regions = &task.regions;
    let is_in = |label: u8, region: usize| regions[region].labels.contains(&label);
    let contains = |outer: usize, inner: usize| {
        let inner = &regions[inner].labels;
        inner.len() < regions[outer].labels.len() && inner.iter().all(|code| is_in(*code, outer))
    };
    let mut order: Vec<usize> = (0..regions.len()).collect();
    order.sort_by_key(|&region| std::cmp::Reverse(regions[region].labels.len()));
    let mut kept_masks: Vec<Vec<bool>> = vec![Vec::new(); regions.len()];
    for region in order {
        let outer: Vec<usize> = (0..regions.len()).filter(|&o| contains(o, region)).collect();
        let voxels = map.labels().iter().enumerate();
        let mut mask: Vec<bool> = voxels
            .map(|(at, label)| is_in(*label, region) && outer.iter().all(|&o| kept_masks[o][at]))
            .collect();
        keep_largest(&mut mask, map.grid().dims);
        kept_masks[region] = mask;
    }
    for (at, label) in map.labels_mut().iter_mut().enumerate() {
        let was = |region: usize| is_in(*label, region);
        if (0..regions.len()).any(|region| was(region) && !kept_masks[region][at]) {
            let last = (0..regions.len()).rev().find(|&region| kept_masks[region][at]);
            *label = last.map_or(0, |region| regions[region].writes);
        }
    }
}

/// Keeps the largest component of a mask of `dims` voxels (i fastest).
fn keep_largest(mask: &mut [bool], dims: [usize; 3]) {
    let found = components(mask, dims, Connectivity::Corner);
    let Some(largest) = found.largest() else { return };
    mask.iter_mut().zip(found.labels).for_each(|(voxel, label)| *voxel = label == largest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Affine, Grid};

    fn map(dims: [usize; 3], labels: &[u8]) -> LabelMap {
        LabelMap::new(Grid::new(dims, Affine::IDENTITY), labels.to_vec()).unwrap()
    }

    #[test]
    fn voxels_that_share_a_corner_are_one_part() {
        let mut mask = vec![false; 27];
        [0, 13, 26, 2].iter().for_each(|&at| mask[at] = true);
        keep_largest(&mut mask, [3; 3]);
        let kept: Vec<usize> = (0..27).filter(|&at| mask[at]).collect();
        assert_eq!(kept, [0, 2, 13, 26]);
        // A row's end does not touch the next row's beginning.
        let mut mask = [true, true, false, false, false, true];
        keep_largest(&mut mask, [6, 1, 1]);
        assert_eq!(mask, [true, true, false, false, false, false]);
        let mut mask = [false, false, true, true, false, false];
        keep_largest(&mut mask, [3, 1, 2]);
        assert_eq!(mask, [false, false, true, false, false, false]);
    }

    #[test]
    fn the_foreground_keeps_one_part_whatever_its_labels() {
        let mut found = map([7, 1, 1], &[2, 0, 1, 4, 0, 2, 0]);
        keep_largest_of_foreground(&mut found);
        assert_eq!(found.labels(), [0, 0, 1, 4, 0, 0, 0]);
        let mut empty = map([2, 1, 1], &[0, 0]);
        keep_largest_of_foreground(&mut empty);
        assert_eq!(empty.labels(), [0, 0]);
    }

    /// BraTS 2021: edema 2, core 1, enhancing 4. The second tumor goes whole, though its enhancing
    /// part is the largest; of the first, a piece of the core outside the largest becomes edema and
    /// a piece of enhancing tumor becomes core.
    #[test]
    fn regions_stay_nested() {
        let task = Task::builtin("brats2021").unwrap();
        let mut found = map([13, 1, 1], &[2, 1, 2, 2, 1, 4, 1, 4, 4, 0, 4, 4, 4]);
        keep_largest_of_regions(&mut found, &task);
        assert_eq!(found.labels(), [2, 2, 2, 2, 1, 1, 1, 4, 4, 0, 0, 0, 0]);
    }

    #[test]
    fn exclusive_labels_keep_one_part_each() {
        let labels = vec![(1, "a".to_string()), (2, "b".to_string())];
        let task = Task::exclusive("two", vec!["x".to_string()], labels).unwrap();
        let mut found = map([6, 1, 1], &[1, 2, 1, 1, 2, 2]);
        keep_largest_of_regions(&mut found, &task);
        assert_eq!(found.labels(), [0, 0, 1, 1, 2, 2]);
    }
}
