//! Where the crosshair goes when a result is shown.

use model_core::LabelMap;

/// The labelled voxel nearest to the center of all: the center itself may lie outside. None in an empty
/// map.
pub fn middle_of(map: &LabelMap) -> Option<[usize; 3]> {
    let [di, dj, _] = map.grid().dims;
    let labelled = || {
        let rows = map.labels().chunks_exact(di).enumerate();
        rows.flat_map(move |(row, labels)| {
            let voxels = labels.iter().enumerate().filter(|(_, label)| **label != 0);
            voxels.map(move |(i, _)| [i, row % dj, row / dj])
        })
    };
    let (mut sum, mut count) = ([0u64; 3], 0u64);
    for voxel in labelled() {
        (0..3).for_each(|a| sum[a] += voxel[a] as u64);
        count += 1;
    }
    let center = sum.map(|s| s.checked_div(count).unwrap_or(0) as usize);
    labelled()
        .min_by_key(|voxel| -> usize { (0..3).map(|a| voxel[a].abs_diff(center[a]).pow(2)).sum() })
}

#[cfg(test)]
mod tests {
    use model_core::{Affine, Grid};

    use super::*;

    #[test]
    fn the_middle_is_a_labelled_voxel() {
        let grid = Grid::new([5, 4, 3], Affine::IDENTITY);
        let mut map = LabelMap::background(grid);
        assert_eq!(middle_of(&map), None);
        let ends = [[0, 1, 2], [4, 1, 2]];
        for voxel in ends {
            let at = map.grid().index(voxel);
            map.labels_mut()[at] = 1;
        }
        assert!(ends.contains(&middle_of(&map).unwrap()), "the center is background");
        let at = map.grid().index([2, 1, 2]);
        map.labels_mut()[at] = 9;
        assert_eq!(middle_of(&map), Some([2, 1, 2]));
    }
}
