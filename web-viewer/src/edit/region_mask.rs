//! The voxels of a region in their bounding box, on which whole-region corrections work.

use model_core::{LabelMap, VoxelBox};

use super::{Change, Recoding};

/// A region's voxels in their bounding box with a margin.
#[derive(Debug, Clone, PartialEq)]
pub struct RegionMask {
    bounds: VoxelBox,
    /// The dimensions of the whole grid.
    grid_dims: [usize; 3],
    /// Whether each voxel of the box is in the region, i fastest.
    inside: Vec<bool>,
}

impl RegionMask {
    /// Returns the mask of a region with a margin of `margin` voxels within the grid; `None` if the region has
    /// no voxel.
    pub fn new(map: &LabelMap, codes: &[u8], margin: usize) -> Option<RegionMask> {
        let is_inside: [bool; 256] =
            std::array::from_fn(|code| code != 0 && codes.contains(&(code as u8)));
        let grid_dims = map.grid().dims;
        let bounds =
            VoxelBox::bounding(map.labels(), grid_dims, |code| is_inside[usize::from(*code)]);
        if bounds.is_empty() {
            return None;
        }
        let bounds = bounds.grown(margin, grid_dims);
        let inside = bounds.crop(map.labels(), grid_dims, |code| is_inside[usize::from(code)]);
        Some(RegionMask { bounds, grid_dims, inside })
    }

    /// Returns the number of voxels of the box along each axis.
    pub fn dims(&self) -> [usize; 3] {
        self.bounds.dims()
    }

    /// Returns whether each voxel of the box is in the region, i fastest.
    pub fn inside(&self) -> &[bool] {
        &self.inside
    }

    /// Returns the index in the box of a voxel of the grid; `None` if it is outside.
    pub fn index(&self, voxel: [usize; 3]) -> Option<usize> {
        let VoxelBox { start, end } = self.bounds;
        let is_inside = (0..3).all(|axis| (start[axis]..end[axis]).contains(&voxel[axis]));
        let [i, j, k] = [0, 1, 2].map(|axis| voxel[axis].wrapping_sub(start[axis]));
        let [ni, nj, _] = self.dims();
        is_inside.then(|| i + ni * (j + nj * k))
    }

    /// Returns how many voxels of the grid a box of `reach` voxels to both sides has along an axis, around
    /// the position `at` of the mask's box.
    pub(super) fn num_in_grid(&self, axis: usize, at: usize, reach: usize) -> usize {
        let center = self.bounds.start[axis] + at;
        let end = (center + reach + 1).min(self.grid_dims[axis]);
        end - center.saturating_sub(reach)
    }

    /// Makes the region equal `new` inside the box, and returns what changed.
    pub fn apply(
        &self,
        new: &[bool],
        map: &mut LabelMap,
        adding: &Recoding,
        erasing: &Recoding,
    ) -> Change {
        let labels = map.labels_mut();
        let mut change = Change::default();
        let rows = self.inside.chunks_exact(self.dims()[0]).zip(new.chunks_exact(self.dims()[0]));
        for (indices, (old, new)) in self.bounds.rows(self.grid_dims).zip(rows) {
            let start = indices.start;
            change.extend(Change::make(labels, indices, |index, code| {
                match (old[index - start], new[index - start]) {
                    (false, true) => adding.code(code),
                    (true, false) => erasing.code(code),
                    _ => code,
                }
            }));
        }
        change
    }
}

#[cfg(test)]
pub(super) mod tests {
    use model_core::{Affine, Grid};

    use super::*;

    /// A map whose voxel (i, j, k) has the code that `code` gives.
    pub fn map_of(dims: [usize; 3], code: impl Fn([usize; 3]) -> u8) -> LabelMap {
        let [ni, nj, nk] = dims;
        let labels = (0..ni * nj * nk).map(|n| code([n % ni, n / ni % nj, n / ni / nj]));
        LabelMap::new(Grid::new(dims, Affine::from_spacing([1.0; 3])), labels.collect()).unwrap()
    }

    #[test]
    fn a_new_mask_changes_the_region_and_keeps_others_nested() {
        let regions: [&[u8]; 2] = [&[1, 2], &[2]];
        let mut map = map_of([6, 3, 3], |[i, j, k]| match [j, k] == [1, 1] {
            true => [0, 1, 2, 2, 1, 0][i],
            false => 0,
        });
        assert_eq!(RegionMask::new(&map, &[7], 1), None);
        let mask = RegionMask::new(&map, regions[1], 1).unwrap();
        assert_eq!(mask.dims(), [4, 3, 3]);
        assert_eq!([mask.index([2, 1, 1]), mask.index([0, 1, 1])], [Some(17), None]);
        // The inner region moves by a voxel.
        let mut new = vec![false; 36];
        (new[18], new[19]) = (true, true);
        let adding = Recoding::adding(&regions, 1);
        let change = mask.apply(&new, &mut map, &adding, &Recoding::erasing(&regions, 1));
        let row: Vec<u8> = (0..6).map(|i| map.labels()[map.grid().index([i, 1, 1])]).collect();
        assert_eq!(row, [0, 1, 1, 2, 2, 0]);
        change.reversed().apply(map.labels_mut());
        assert_eq!(RegionMask::new(&map, regions[1], 1).unwrap(), mask);
    }
}
