//! The moving scan at one resolution, laid out for linear interpolation at many places.

use glam::{DAffine3, Vec3};

use super::pyramid::Level;

/// A scan in which a place is looked up with two loads.
pub(super) struct MovingImage {
    /// For each voxel, the values at (i, j), (i + 1, j), (i, j + 1), (i + 1, j + 1). Beyond the
    /// last voxel it is repeated; one more plane repeats the last.
    cells: Vec<[f32; 4]>,
    /// The number of cells in a row and in a plane.
    strides: [usize; 2],
    /// The largest coordinate along each axis.
    last: Vec3,
    pub voxel_from_world: DAffine3,
}

impl MovingImage {
    pub fn new(level: &Level) -> Self {
        let [ni, nj, nk] = level.dims;
        let mut cells = Vec::with_capacity(ni * nj * (nk + 1));
        for k in 0..=nk {
            let plane = &level.values[ni * nj * k.min(nk - 1)..][..ni * nj];
            for j in 0..nj {
                let near = &plane[ni * j..][..ni];
                let far = &plane[ni * (j + 1).min(nj - 1)..][..ni];
                let pairs = near.windows(2).zip(far.windows(2));
                cells.extend(pairs.map(|(near, far)| [near[0], near[1], far[0], far[1]]));
                cells.push([near[ni - 1], near[ni - 1], far[ni - 1], far[ni - 1]]);
            }
        }
        MovingImage {
            cells,
            strides: [ni, ni * nj],
            last: Vec3::from_array(level.dims.map(|dim| (dim - 1) as f32)),
            voxel_from_world: level.world_from_voxel.inverse(),
        }
    }

    /// Returns the value at a voxel coordinate and its gradient, or `None` outside the field of
    /// view, which ends half a voxel beyond the outermost centers.
    #[inline]
    pub fn at(&self, at: Vec3) -> Option<(f32, Vec3)> {
        let is_inside = (at.cmpge(Vec3::splat(-0.5)) & at.cmple(self.last + 0.5)).all();
        let inner = at.max(Vec3::ZERO).min(self.last);
        let [i, j, k] = [inner.x as usize, inner.y as usize, inner.z as usize];
        let index = i + self.strides[0] * j + self.strides[1] * k;
        let near = self.cells.get(index).filter(|_| is_inside)?;
        let far = self.cells.get(index + self.strides[1])?;
        let f = inner - Vec3::new(i as f32, j as f32, k as f32);
        let steps: [f32; 4] = std::array::from_fn(|n| far[n] - near[n]);
        let v: [f32; 4] = std::array::from_fn(|n| near[n] + f.z * steps[n]);
        let mix = |[a, b, c, d]: [f32; 4]| {
            let (front, back) = (a + f.x * (b - a), c + f.x * (d - c));
            front + f.y * (back - front)
        };
        let along_i = (v[1] - v[0]) * (1.0 - f.y) + (v[3] - v[2]) * f.y;
        let along_j = (v[2] - v[0]) * (1.0 - f.x) + (v[3] - v[1]) * f.x;
        Some((mix(v), Vec3::new(along_i, along_j, mix(steps))))
    }
}
