//! Paints a mask with a ball.

use model_core::LabelMap;

/// A ball that paints a mask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Brush {
    /// Whether the ball adds to the mask or removes from it.
    pub adds: bool,
    /// The radius of the ball.
    pub radius_mm: f64,
}

/// Sets all voxels whose centers lie in a ball around a voxel to `label`, or to 0 if the brush removes.
/// Returns whether a voxel changed.
pub fn paint(mask: &mut LabelMap, center: [usize; 3], brush: Brush, label: u8) -> bool {
    let grid = mask.grid().clone();
    let label = if brush.adds { label } else { 0 };
    let spacing_mm = grid.world_from_voxel.spacing_mm();
    let range = |axis: usize| {
        let reach = (brush.radius_mm / spacing_mm[axis]).floor() as usize;
        let end = center[axis].saturating_add(reach).saturating_add(1).min(grid.dims[axis]);
        center[axis].saturating_sub(reach)..end
    };
    let world = |voxel: [f64; 3]| grid.world_from_voxel.apply(voxel);
    let center_mm = world(center.map(|index| index as f64));
    let squared_mm = brush.radius_mm * brush.radius_mm;
    let mut is_changed = false;
    for k in range(2) {
        for j in range(1) {
            for i in range(0) {
                let at_mm = world([i, j, k].map(|index| index as f64));
                let distances = [0, 1, 2].map(|axis| at_mm[axis] - center_mm[axis]);
                let is_inside = distances.iter().map(|d| d * d).sum::<f64>() <= squared_mm;
                let voxel = &mut mask.labels_mut()[grid.index([i, j, k])];
                if is_inside && *voxel != label {
                    (*voxel, is_changed) = (label, true);
                }
            }
        }
    }
    is_changed
}

#[cfg(test)]
mod tests {
    use model_core::{Affine, Grid};

    use super::*;

    #[test]
    fn a_ball_is_round_in_millimeters_and_stays_in_the_grid() {
        let grid = Grid::new([9, 9, 3], Affine::from_spacing([1.0, 1.0, 3.0]));
        let mut mask = LabelMap::background(grid);
        let brush = Brush { adds: true, radius_mm: 3.0 };
        assert!(paint(&mut mask, [4, 4, 1], brush, 1));
        let labels = mask.labels();
        let at = |voxel: [usize; 3]| labels[mask.grid().index(voxel)];
        // One slice up is 3 mm away, as three voxels to the side are.
        assert_eq!([at([4, 4, 0]), at([7, 4, 1]), at([5, 4, 0]), at([8, 4, 1])], [1, 1, 0, 0]);
        assert!(!paint(&mut mask, [4, 4, 1], brush, 1), "nothing changes");
        assert!(paint(&mut mask, [0, 8, 2], Brush { adds: true, radius_mm: 1e9 }, 1));
        assert!(mask.labels().iter().all(|&label| label == 1));
        assert!(paint(&mut mask, [4, 4, 1], Brush { adds: false, radius_mm: 0.0 }, 1));
        assert_eq!(mask.labels().iter().filter(|&&label| label == 0).count(), 1);
    }
}
