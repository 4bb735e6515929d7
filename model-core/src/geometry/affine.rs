//! Affine maps between voxel indices and millimeters, named `a_from_b`.

use glam::{DAffine3, DMat3, DVec3};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// An affine map of three-dimensional space.
///
/// A grid's map leads from voxel indices (i, j, k) to world millimeters in RAS+ (x to the patient's
/// right, y to the front, z to the top).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "[[f64; 4]; 3]", into = "[[f64; 4]; 3]")]
pub struct Affine(pub DAffine3);

impl Affine {
    /// The identity map.
    pub const IDENTITY: Affine = Affine(DAffine3::IDENTITY);

    /// Returns the map with these top three rows of the 4×4 matrix, as NIfTI's `srow_x`, `srow_y`,
    /// `srow_z`.
    pub fn from_rows(rows: [[f64; 4]; 3]) -> Self {
        let column = |c: usize| DVec3::new(rows[0][c], rows[1][c], rows[2][c]);
        Affine(DAffine3 {
            matrix3: DMat3::from_cols(column(0), column(1), column(2)),
            translation: column(3),
        })
    }

    /// Returns the axis-aligned map with this spacing and the origin at voxel (0, 0, 0).
    pub fn from_spacing(spacing_mm: [f64; 3]) -> Self {
        Affine(DAffine3::from_scale(DVec3::from_array(spacing_mm)))
    }

    /// Returns the top three rows of the 4×4 matrix.
    pub fn rows(&self) -> [[f64; 4]; 3] {
        let (m, t) = (self.0.matrix3, self.0.translation);
        std::array::from_fn(|r| [m.x_axis[r], m.y_axis[r], m.z_axis[r], t[r]])
    }

    /// Maps a point.
    pub fn apply(&self, point: [f64; 3]) -> [f64; 3] {
        self.0.transform_point3(DVec3::from_array(point)).to_array()
    }

    /// Returns `self ∘ inner`: `a_from_b.compose(&b_from_c)` is `a_from_c`.
    pub fn compose(&self, inner: &Affine) -> Affine {
        Affine(self.0 * inner.0)
    }

    /// Returns the inverse map.
    ///
    /// # Errors
    /// [`Error::Geometry`] if the map is singular or not finite.
    pub fn inverse(&self) -> Result<Affine> {
        self.check()?;
        Ok(Affine(self.0.inverse()))
    }

    /// Errors if the map is singular or not finite.
    ///
    /// # Errors
    /// [`Error::Geometry`], naming the matrix.
    pub fn check(&self) -> Result<()> {
        let scale: f64 = self.spacing_mm().iter().product();
        let determinant = self.0.matrix3.determinant().abs();
        if self.0.is_finite() && scale > 0.0 && determinant > 1e-6 * scale {
            return Ok(());
        }
        Err(Error::geometry(
            "an affine of finite numbers that can be inverted",
            format!("{:?}", self.rows()),
        ))
    }

    /// Returns the distances between neighboring voxels along i, j, k.
    pub fn spacing_mm(&self) -> [f64; 3] {
        let m = self.0.matrix3;
        [m.x_axis.length(), m.y_axis.length(), m.z_axis.length()]
    }

    /// Returns the volume of one voxel.
    pub fn voxel_volume_mm3(&self) -> f64 {
        self.0.matrix3.determinant().abs()
    }

    /// Returns the largest difference between corresponding elements of two maps.
    pub fn max_abs_difference(&self, other: &Affine) -> f64 {
        let (a, b) = (self.rows(), other.rows());
        let pairs = a.as_flattened().iter().zip(b.as_flattened());
        pairs.map(|(x, y)| (x - y).abs()).fold(0.0, f64::max)
    }
}

impl From<[[f64; 4]; 3]> for Affine {
    fn from(rows: [[f64; 4]; 3]) -> Self {
        Affine::from_rows(rows)
    }
}

impl From<Affine> for [[f64; 4]; 3] {
    fn from(affine: Affine) -> Self {
        affine.rows()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverse_undoes_the_map() {
        let world_from_voxel =
            Affine::from_rows([[0., 2., 0., 5.], [-1., 0., 0.5, 3.], [0., 0., 3., -7.]]);
        let point = world_from_voxel.apply([1.0, 2.0, 3.0]);
        assert_eq!(point, [9.0, 3.5, 2.0]);
        let back = world_from_voxel.inverse().unwrap().apply(point);
        assert!(back.iter().zip([1.0, 2.0, 3.0]).all(|(a, b)| (a - b).abs() < 1e-12), "{back:?}");
    }

    #[test]
    fn singular_maps_are_refused() {
        let flat = Affine::from_rows([[1., 0., 0., 0.], [0., 1., 0., 0.], [0., 1., 0., 0.]]);
        assert!(matches!(flat.inverse(), Err(Error::Geometry { .. })));
        assert!(Affine::from_spacing([1.0, f64::NAN, 1.0]).check().is_err());
    }
}
