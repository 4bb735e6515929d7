//! Balls of voxels for tests.
#![cfg(test)]

use model_core::{Affine, Grid, LabelMap};

/// Returns a map with the code 1 in the voxels whose middles are less than `radius` voxels from the
/// middle of voxel (r + 2, r + 2, r + 2) for the whole radius r.
pub fn ball(radius: f64, world_from_voxel: Affine) -> LabelMap {
    let middle = radius.ceil() as usize + 2;
    let side = 2 * middle + 1;
    let mut map = LabelMap::background(Grid::new([side; 3], world_from_voxel));
    for n in 0..side.pow(3) {
        let voxel = [n % side, n / side % side, n / side / side];
        let distance = voxel.map(|x| (x as f64 - middle as f64).powi(2)).iter().sum::<f64>();
        map.labels_mut()[n] = u8::from(distance < radius * radius);
    }
    map
}
