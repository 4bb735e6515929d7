//! Boxes of voxels, such as the bounding box of a region.

use std::ops::Range;

/// A box of voxels along i, j, k.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoxelBox {
    /// The first voxel.
    pub start: [usize; 3],
    /// The voxel after the last along each axis.
    pub end: [usize; 3],
}

impl VoxelBox {
    /// The box without voxels.
    pub const EMPTY: VoxelBox = VoxelBox { start: [usize::MAX; 3], end: [0; 3] };

    /// Returns the box of `dims` voxels that begins at `start`.
    pub fn new(start: [usize; 3], dims: [usize; 3]) -> VoxelBox {
        VoxelBox { start, end: std::array::from_fn(|axis| start[axis] + dims[axis]) }
    }

    /// Returns the smallest box that contains every voxel that satisfies `is_inside`.
    ///
    /// # Shapes
    /// - voxels: `[k][j][i]` of `dims`
    pub fn bounding<T>(voxels: &[T], dims: [usize; 3], is_inside: impl Fn(&T) -> bool) -> VoxelBox {
        let mut bounds = VoxelBox::EMPTY;
        for (row, voxels) in voxels.chunks_exact(dims[0].max(1)).enumerate() {
            let Some(first) = voxels.iter().position(&is_inside) else { continue };
            let last = voxels.iter().rposition(&is_inside).unwrap_or(first);
            let (j, k) = (row % dims[1], row / dims[1]);
            bounds.unite(&VoxelBox { start: [first, j, k], end: [last + 1, j + 1, k + 1] });
        }
        bounds
    }

    /// Returns whether the box has no voxels.
    pub fn is_empty(&self) -> bool {
        self.dims().contains(&0)
    }

    /// Returns the number of voxels along each axis.
    pub fn dims(&self) -> [usize; 3] {
        std::array::from_fn(|axis| self.end[axis].saturating_sub(self.start[axis]))
    }

    /// Extends the box to contain a voxel.
    pub fn include(&mut self, voxel: [usize; 3]) {
        self.unite(&VoxelBox { start: voxel, end: voxel.map(|x| x + 1) });
    }

    /// Extends the box to contain another box.
    pub fn unite(&mut self, other: &VoxelBox) {
        self.start = std::array::from_fn(|axis| self.start[axis].min(other.start[axis]));
        self.end = std::array::from_fn(|axis| self.end[axis].max(other.end[axis]));
    }

    /// Returns the box extended by `margin` voxels on each side, within a volume of `dims`.
    pub fn grown(&self, margin: usize, dims: [usize; 3]) -> VoxelBox {
        VoxelBox {
            start: self.start.map(|start| start.saturating_sub(margin)),
            end: std::array::from_fn(|axis| (self.end[axis] + margin).min(dims[axis])),
        }
    }

    /// Iterates over the box's rows along i, as ranges of voxel indices in a volume of `dims`.
    pub fn rows(&self, [ni, nj, _]: [usize; 3]) -> impl Iterator<Item = Range<usize>> + use<> {
        let VoxelBox { start, end } = *self;
        let length = self.dims()[0];
        (start[2]..end[2]).flat_map(move |k| {
            (start[1]..end[1]).map(move |j| {
                let first = start[0] + ni * (j + nj * k);
                first..first + length
            })
        })
    }

    /// Returns the box's voxels of a volume of `dims`, each converted by `convert`.
    ///
    /// # Shapes
    /// - voxels: `[k][j][i]` of `dims`
    /// - output: `[k][j][i]` of the box
    pub fn crop<T: Copy, U>(
        &self,
        voxels: &[T],
        dims: [usize; 3],
        mut convert: impl FnMut(T) -> U,
    ) -> Vec<U> {
        let mut cropped = Vec::with_capacity(self.dims().iter().product());
        for row in self.rows(dims) {
            cropped.extend(voxels[row].iter().map(|&voxel| convert(voxel)));
        }
        cropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIMS: [usize; 3] = [4, 3, 2];

    #[test]
    fn the_bounding_box_touches_the_outermost_voxels() {
        let voxels: Vec<u8> = (0..24).map(|n| u8::from([6, 9, 17].contains(&n))).collect();
        let found = VoxelBox::bounding(&voxels, DIMS, |voxel| *voxel != 0);
        assert_eq!(found, VoxelBox::new([1, 1, 0], [2, 2, 2]));
        let mut united = VoxelBox::EMPTY;
        [[2, 1, 0], [1, 2, 0], [1, 1, 1]].into_iter().for_each(|voxel| united.include(voxel));
        assert_eq!(united, found);
        let empty = VoxelBox::bounding(&[0u8; 24], DIMS, |voxel| *voxel != 0);
        assert_eq!((empty, empty.is_empty(), empty.dims()), (VoxelBox::EMPTY, true, [0; 3]));
        assert_eq!(empty.rows(DIMS).count(), 0);
    }

    #[test]
    fn a_crop_has_the_voxels_of_its_box() {
        let voxels: Vec<usize> = (0..24).collect();
        let bounds = VoxelBox::new([1, 1, 0], [2, 2, 2]);
        assert_eq!(bounds.crop(&voxels, DIMS, |n| n), [5, 6, 9, 10, 17, 18, 21, 22]);
        let grown = bounds.grown(1, DIMS);
        assert_eq!(grown, VoxelBox::new([0; 3], DIMS));
        assert_eq!(grown.crop(&voxels, DIMS, |n| n), voxels);
    }
}
