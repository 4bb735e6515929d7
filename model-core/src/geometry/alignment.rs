//! Checks whether two grids hold the same voxels, possibly stored in different axis orders.

use crate::{Error, Grid, Orientation, Result};

/// The default of the largest distance, in voxels, between the same voxel in two files of a case.
/// It accepts headers whose numbers a tool rounded, and refuses a shift by a voxel.
pub const DEFAULT_TOLERANCE_VOXELS: f64 = 0.1;

/// The distance in voxels above which grids cause a warning. Rounding to 32-bit floats stays below.
const WARNING_VOXELS: f64 = 0.01;

/// The order of axes and directions that maps another grid's voxels to a grid's, without
/// interpolation.
#[derive(Debug, Clone, PartialEq)]
pub struct Alignment {
    order: Orientation,
    /// The dimensions of the other grid.
    dims: [usize; 3],
    /// The largest distance between two voxels that are matched.
    distance_voxels: f64,
}

impl Alignment {
    /// Returns whether the other grid stores its voxels in the same order.
    pub fn is_same_order(&self) -> bool {
        self.order == Orientation { axes: [0, 1, 2], flips: [false; 3] }
    }

    /// Returns the other grid's values in this grid's order.
    ///
    /// # Panics
    /// If there is not one value for each voxel.
    pub fn reorder<T: Copy>(&self, values: Vec<T>) -> Vec<T> {
        match self.is_same_order() {
            true => values,
            false => self.order.to_canonical(self.dims, &values),
        }
    }

    /// Returns a sentence for the user if the grids differ by more than rounding.
    pub fn warning(&self) -> Option<String> {
        (self.distance_voxels > WARNING_VOXELS).then(|| {
            format!(
                "The file lies {:.3} voxels off the first file of its case, and is taken as on \
                 its grid.",
                self.distance_voxels
            )
        })
    }
}

impl Grid {
    /// Returns whether the file states its voxels' position: a qform or an sform is set.
    pub fn states_orientation(&self) -> bool {
        self.transforms.states_orientation()
    }

    /// Returns the axis order that maps the voxels of `other` to this grid's.
    ///
    /// If one of the grids states no orientation, only the dimensions are compared.
    ///
    /// # Errors
    /// [`Error::Geometry`] if the dimensions differ, or if a voxel lies farther than
    /// `tolerance_voxels` from its counterpart.
    pub fn align(&self, other: &Grid, tolerance_voxels: f64) -> Result<Alignment> {
        let same_order = Orientation { axes: [0, 1, 2], flips: [false; 3] };
        let alignment = |order: Orientation, distance_voxels: f64| Alignment {
            order,
            dims: other.dims,
            distance_voxels,
        };
        if !(self.states_orientation() && other.states_orientation()) {
            check_dims(self.dims, other.dims)?;
            return Ok(alignment(same_order, 0.0));
        }
        let other_from_world = other.world_from_voxel.inverse()?;
        let other_from_self = other_from_world.compose(&self.world_from_voxel);
        // For a single slice, or with shear, the closest order may differ from the stored order.
        let closest = Orientation::from_affine(&other_from_self.inverse()?);
        let candidates = [same_order, closest];
        let fitting = candidates
            .iter()
            .filter(|order| order.canonical_dims(other.dims) == self.dims)
            .map(|order| {
                let exact = order.source_from_canonical(other.dims);
                let distance = |corner: [f64; 3]| {
                    let (a, b) = (other_from_self.apply(corner), exact.apply(corner));
                    (0..3).map(|axis| (a[axis] - b[axis]).abs()).fold(0.0, f64::max)
                };
                (*order, corners(self.dims).map(distance).into_iter().fold(0.0, f64::max))
            })
            .min_by(|a, b| a.1.total_cmp(&b.1));
        let Some((order, distance)) = fitting else {
            return check_dims(self.dims, other.dims).map(|()| alignment(same_order, 0.0));
        };
        match distance <= tolerance_voxels {
            true => Ok(alignment(order, distance)),
            false => Err(Error::geometry(
                format!("the same position and direction within {tolerance_voxels} voxels"),
                format!("voxels that lie {distance:.3} voxels apart"),
            )),
        }
    }

    /// Errors if `other` does not store the same voxels in the same order.
    ///
    /// # Errors
    /// [`Error::Geometry`] if the grids differ by more than [`DEFAULT_TOLERANCE_VOXELS`] or in
    /// their axis order.
    pub fn check_same(&self, other: &Grid) -> Result<()> {
        match self.align(other, DEFAULT_TOLERANCE_VOXELS)?.is_same_order() {
            true => Ok(()),
            false => {
                let letters = |grid: &Grid| grid.orientation().letters().iter().collect::<String>();
                Err(Error::geometry(format!("axes to {}", letters(self)), letters(other)))
            }
        }
    }
}

fn check_dims([i, j, k]: [usize; 3], other: [usize; 3]) -> Result<()> {
    let [oi, oj, ok] = other;
    match [i, j, k] == other {
        true => Ok(()),
        false => {
            Err(Error::geometry(format!("{i} × {j} × {k} voxels"), format!("{oi} × {oj} × {ok}")))
        }
    }
}

/// Returns the centers of the eight outermost voxels.
fn corners(dims: [usize; 3]) -> [[f64; 3]; 8] {
    std::array::from_fn(|n| {
        std::array::from_fn(|axis| {
            if n >> axis & 1 == 1 { dims[axis].saturating_sub(1) as f64 } else { 0.0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Affine;

    fn grid(dims: [usize; 3], rows: [[f64; 4]; 3]) -> Grid {
        Grid::new(dims, Affine::from_rows(rows))
    }

    /// Right, front, top at 1 × 2 × 3 mm.
    fn ras() -> Grid {
        grid([2, 3, 4], [[1., 0., 0., 5.], [0., 2., 0., 6.], [0., 0., 3., 7.]])
    }

    #[test]
    fn grids_of_the_same_voxels_in_different_axis_orders_align() {
        let values: Vec<u8> = (0..24).collect();
        // Top, left, front: voxel (k, 1 − i, j) of `other` is voxel (i, j, k).
        let other = grid([4, 2, 3], [[0., -1., 0., 6.], [0., 0., 2., 6.], [3., 0., 0., 7.]]);
        let stored: Vec<u8> = (0..24)
            .map(|n| {
                let [k, i, j] = [n % 4, 1 - n / 4 % 2, n / 8];
                (i + 2 * (j + 3 * k)) as u8
            })
            .collect();
        let alignment = ras().align(&other, 1e-6).unwrap();
        assert!(!alignment.is_same_order());
        assert_eq!(alignment.reorder(stored), values);
        assert_eq!(alignment.warning(), None);
        assert!(ras().check_same(&other).is_err());
    }

    #[test]
    fn a_shift_warns_below_a_tenth_of_a_voxel_and_errors_above() {
        let mut other = ras();
        other.world_from_voxel.0.translation.y += 0.19;
        let alignment = ras().align(&other, DEFAULT_TOLERANCE_VOXELS).unwrap();
        assert!(alignment.warning().unwrap().contains("0.095 voxels off"));
        assert!(ras().check_same(&other).is_ok());
        other.world_from_voxel.0.translation.y += 0.02;
        assert!(ras().align(&other, DEFAULT_TOLERANCE_VOXELS).is_err());
        assert!(ras().align(&other, 0.2).is_ok());
        // A rotation that only moves the last voxels.
        let mut turned = grid([100, 3, 4], ras().world_from_voxel.rows());
        let straight = turned.clone();
        turned.world_from_voxel.0.matrix3.x_axis.y = 0.003;
        assert!(straight.align(&turned, DEFAULT_TOLERANCE_VOXELS).is_err());
    }

    #[test]
    fn a_grid_without_orientation_aligns_by_its_dimensions() {
        let mut unknown = grid([2, 3, 4], [[-1., 0., 0., 0.], [0., 1., 0., 0.], [0., 0., 1., 0.]]);
        unknown.transforms.sform_code = 0;
        assert!(ras().align(&unknown, 0.0).unwrap().is_same_order());
        assert!(unknown.align(&ras(), 0.0).unwrap().is_same_order());
        unknown.dims = [3, 2, 4];
        assert!(ras().align(&unknown, 0.1).is_err());
    }
}
