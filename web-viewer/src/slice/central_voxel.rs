//! The voxel on which the crosshair is placed when a result is shown.

use model_core::LabelMap;

/// Returns the labeled voxel nearest to the centroid of all labeled voxels, or `None` for an empty map.
///
/// The centroid itself may lie outside the labels.
pub fn central_labeled_voxel(map: &LabelMap) -> Option<[usize; 3]> {
    let [di, dj, _] = map.grid().dims;
    let labeled_voxels = || {
        let rows = map.labels().chunks_exact(di).enumerate();
        rows.flat_map(move |(row, labels)| {
            let voxels = labels.iter().enumerate().filter(|(_, label)| **label != 0);
            voxels.map(move |(i, _)| [i, row % dj, row / dj])
        })
    };
    let (mut sum, mut count) = ([0u64; 3], 0u64);
    for voxel in labeled_voxels() {
        (0..3).for_each(|a| sum[a] += voxel[a] as u64);
        count += 1;
    }
    let centroid = sum.map(|s| s.checked_div(count).unwrap_or(0) as usize);
    let squared_distance = |voxel: &[usize; 3]| -> usize {
        (0..3).map(|a| voxel[a].abs_diff(centroid[a]).pow(2)).sum()
    };
    labeled_voxels().min_by_key(squared_distance)
}

#[cfg(test)]
mod tests {
    use model_core::{Affine, Grid};

    use super::*;

    #[test]
    fn the_central_voxel_is_labeled() {
        let grid = Grid::new([5, 4, 3], Affine::IDENTITY);
        let mut map = LabelMap::background(grid);
        assert_eq!(central_labeled_voxel(&map), None);
        let ends = [[0, 1, 2], [4, 1, 2]];
        for voxel in ends {
            let index = map.grid().index(voxel);
            map.labels_mut()[index] = 1;
        }
        let central = central_labeled_voxel(&map).unwrap();
        assert!(ends.contains(&central), "the centroid is background");
        let index = map.grid().index([2, 1, 2]);
        map.labels_mut()[index] = 9;
        assert_eq!(central_labeled_voxel(&map), Some([2, 1, 2]));
    }
}
