//! The directions of a grid's axes, and the reordering of voxels to the canonical order: right,
//! front, top (RAS+).

use crate::{Affine, Grid};

/// The permutation and the flips that map a grid's axes to the patient's, without interpolation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orientation {
    /// For each world axis (right, front, top), the grid axis that is closest to it.
    pub axes: [usize; 3],
    /// For each world axis, whether that grid axis points in the opposite direction.
    pub flips: [bool; 3],
}

const PERMUTATIONS: [[usize; 3]; 6] =
    [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

impl Orientation {
    /// Returns the orientation closest to an affine: the permutation with the largest sum of
    /// cosines, or the first of several.
    pub fn from_affine(world_from_voxel: &Affine) -> Self {
        let (rows, spacing) = (world_from_voxel.rows(), world_from_voxel.spacing_mm());
        let cosine = |world: usize, axis: usize| rows[world][axis] / spacing[axis];
        let sum = |axes: &[usize; 3]| (0..3).map(|w| cosine(w, axes[w]).abs()).sum::<f64>();
        let mut axes = PERMUTATIONS[0];
        for candidate in PERMUTATIONS {
            if sum(&candidate) > sum(&axes) + 1e-9 {
                axes = candidate;
            }
        }
        Orientation { axes, flips: std::array::from_fn(|w| cosine(w, axes[w]) < 0.0) }
    }

    /// Returns the directions of i, j and k as letters of R, L, A, P, S, I.
    pub fn letters(&self) -> [char; 3] {
        let mut letters = ['?'; 3];
        for (world, ends) in [['R', 'L'], ['A', 'P'], ['S', 'I']].into_iter().enumerate() {
            letters[self.axes[world]] = ends[usize::from(self.flips[world])];
        }
        letters
    }

    /// Returns the canonical dimensions of a grid of `dims`.
    pub fn canonical_dims(&self, dims: [usize; 3]) -> [usize; 3] {
        self.axes.map(|axis| dims[axis])
    }

    /// Returns the grid voxel of a canonical voxel.
    pub fn source_voxel(&self, dims: [usize; 3], canonical: [usize; 3]) -> [usize; 3] {
        let mut source = [0; 3];
        for (world, at) in canonical.into_iter().enumerate() {
            let axis = self.axes[world];
            source[axis] = if self.flips[world] { dims[axis] - 1 - at } else { at };
        }
        source
    }

    /// Returns the map from canonical voxel indices to the grid's.
    pub fn source_from_canonical(&self, dims: [usize; 3]) -> Affine {
        let mut rows = [[0.0; 4]; 3];
        for world in 0..3 {
            let (axis, flip) = (self.axes[world], self.flips[world]);
            rows[axis][world] = if flip { -1.0 } else { 1.0 };
            rows[axis][3] = if flip { (dims[axis] - 1) as f64 } else { 0.0 };
        }
        Affine::from_rows(rows)
    }

    /// Returns the grid's values in canonical order.
    ///
    /// # Panics
    /// If there is not one value for each voxel.
    pub fn to_canonical<T: Copy>(&self, dims: [usize; 3], values: &[T]) -> Vec<T> {
        assert_eq!(values.len(), dims.iter().product::<usize>(), "one value for each voxel");
        let mut out = Vec::with_capacity(values.len());
        self.for_each_index(dims, |index| out.push(values[index]));
        out
    }

    /// Returns values in canonical order in the grid's own order; inverts
    /// [`Orientation::to_canonical`].
    ///
    /// # Panics
    /// If there is not one value for each voxel.
    pub fn from_canonical<T: Copy + Default>(&self, dims: [usize; 3], values: &[T]) -> Vec<T> {
        assert_eq!(values.len(), dims.iter().product::<usize>(), "one value for each voxel");
        let mut out = vec![T::default(); values.len()];
        let mut values = values.iter();
        self.for_each_index(dims, |index| {
            out[index] = *values.next().expect("one value for each voxel")
        });
        out
    }

    /// Calls `visit` with the index of each voxel of the grid, in canonical order.
    fn for_each_index(&self, dims: [usize; 3], mut visit: impl FnMut(usize)) {
        let strides = [1, dims[0], dims[0] * dims[1]];
        let [ni, nj, nk] = self.canonical_dims(dims);
        let offset = |world: usize, at: usize, n: usize| {
            strides[self.axes[world]] * if self.flips[world] { n - 1 - at } else { at }
        };
        for k in 0..nk {
            for j in 0..nj {
                let row = offset(1, j, nj) + offset(2, k, nk);
                for i in 0..ni {
                    visit(row + offset(0, i, ni));
                }
            }
        }
    }
}

impl Grid {
    /// Returns the directions of this grid's axes.
    pub fn orientation(&self) -> Orientation {
        Orientation::from_affine(&self.world_from_voxel)
    }

    /// Returns the grid of the same voxels in canonical order (RAS+).
    pub fn canonical(&self) -> Grid {
        let orientation = self.orientation();
        let source_from_canonical = orientation.source_from_canonical(self.dims);
        Grid::new(
            orientation.canonical_dims(self.dims),
            self.world_from_voxel.compose(&source_from_canonical),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Left, back, top, as in BraTS.
    fn lps() -> Grid {
        let rows = [[-1., 0., 0., 10.], [0., -2., 0., 20.], [0., 0., 3., 30.]];
        Grid::new([2, 3, 4], Affine::from_rows(rows))
    }

    #[test]
    fn voxels_keep_their_position_in_the_world() {
        let rows = [[0., 0.1, 3., 10.], [-1., 0., 0., 20.], [0.1, 2., 0., 30.]];
        for grid in [lps(), Grid::new([2, 3, 4], Affine::from_rows(rows))] {
            let (orientation, canonical) = (grid.orientation(), grid.canonical());
            for voxel in [[0, 0, 0], [1, 0, 1], [0, 1, 0]] {
                let source = orientation.source_voxel(grid.dims, voxel);
                let to_f64 = |v: [usize; 3]| v.map(|x| x as f64);
                let (a, b) = (
                    grid.world_from_voxel.apply(to_f64(source)),
                    canonical.world_from_voxel.apply(to_f64(voxel)),
                );
                assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12), "{a:?} {b:?}");
            }
            assert_eq!(canonical.orientation().letters(), ['R', 'A', 'S']);
        }
        assert_eq!(lps().orientation().letters(), ['L', 'P', 'S']);
    }

    #[test]
    fn from_canonical_inverts_to_canonical() {
        let dims = [2, 3, 4];
        let values: Vec<u8> = (0..24).collect();
        for axes in PERMUTATIONS {
            for bits in 0..8 {
                let orientation =
                    Orientation { axes, flips: [0, 1, 2].map(|b| bits >> b & 1 == 1) };
                let canonical = orientation.to_canonical(dims, &values);
                let voxel = [1, 1, 0];
                let [ni, nj, _] = orientation.canonical_dims(dims);
                let [i, j, k] = orientation.source_voxel(dims, voxel);
                assert_eq!(
                    canonical[voxel[0] + ni * (voxel[1] + nj * voxel[2])],
                    values[i + 2 * (j + 3 * k)]
                );
                assert_eq!(orientation.from_canonical(dims, &canonical), values);
            }
        }
    }
}
