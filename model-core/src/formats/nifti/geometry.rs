//! Finds where voxels lie from a header: by the sform, else by the qform, else by the spacing.

use std::ops::RangeInclusive;

use glam::{DMat3, DQuat, DVec3};

use crate::{Affine, Error, NiftiTransforms, Result};

/// The accepted voxel sizes. A header with other sizes is damaged.
const SPACINGS_MM: RangeInclusive<f64> = 1e-4..=1e4;

/// The largest distance of a scan from the world's origin: a thousand kilometers. NIfTI-2 can state
/// distances that the 32-bit floats of a written NIfTI-1 file cannot hold.
const MAX_POSITION_MM: f64 = 1e9;

/// The largest difference between elements of sform and qform. Files that state both differ by
/// rounding (about 1e-8).
const TRANSFORM_TOLERANCE: f64 = 1e-3;

/// The largest relative difference between the voxel sizes of sform and `pixdim`.
const SIZE_TOLERANCE: f64 = 1e-3;

/// The geometry fields of a header, unchecked.
pub(super) struct HeaderTransforms {
    pub qfac: f64,
    pub spacing: [f64; 3],
    pub qform_code: i32,
    pub quaternion: [f64; 3],
    pub offset: [f64; 3],
    pub sform_code: i32,
    pub rows: [[f64; 4]; 3],
    pub units: u8,
}

impl From<&NiftiTransforms> for HeaderTransforms {
    fn from(transforms: &NiftiTransforms) -> Self {
        HeaderTransforms {
            qfac: transforms.qfac.into(),
            spacing: transforms.spacing_mm.map(f64::from),
            qform_code: transforms.qform_code.into(),
            quaternion: transforms.quaternion.map(f64::from),
            offset: transforms.offset_mm.map(f64::from),
            sform_code: transforms.sform_code.into(),
            rows: transforms.rows.map(|row| row.map(f64::from)),
            units: transforms.units,
        }
    }
}

impl HeaderTransforms {
    /// Returns the fields to be stored, and the map in millimeters.
    ///
    /// The map is the sform if it is set and valid, else the qform, else the spacing alone. A field
    /// that the map does not need may be invalid: its numbers that are not finite become 0.
    ///
    /// # Errors
    /// [`Error::Geometry`] if sform or qform is set and no valid one is.
    pub fn resolve(&self, dims: [usize; 3]) -> Result<(NiftiTransforms, Affine)> {
        let code = |name: &str, code: i32| {
            i16::try_from(code).map_err(|_| Error::geometry(format!("a {name} of 16 bits"), code))
        };
        let world_from_voxel = self.world_from_voxel(dims)?;
        let map_spacing_mm = world_from_voxel.spacing_mm();
        // A number that is not needed may be too large for f32.
        let finite = |x: f64| Some(x as f32).filter(|x| x.is_finite()).unwrap_or(0.0);
        let spacing_mm: [f32; 3] = std::array::from_fn(|a| match self.spacing[a] as f32 {
            spacing if spacing.is_normal() => spacing,
            _ => (map_spacing_mm[a] / millimeters(self.units)) as f32,
        });
        let transforms = NiftiTransforms {
            qform_code: code("qform_code", self.qform_code)?,
            quaternion: self.quaternion.map(finite),
            offset_mm: self.offset.map(finite),
            // Every value that is not negative means 1 (nifti1.h).
            qfac: Some(self.qfac as f32).filter(|x| x.is_finite()).unwrap_or(1.0),
            spacing_mm,
            sform_code: code("sform_code", self.sform_code)?,
            rows: self.rows.map(|row| row.map(finite)),
            units: self.units,
        };
        Ok((transforms, world_from_voxel))
    }

    /// Returns the map in millimeters; see [`Self::resolve`].
    fn world_from_voxel(&self, dims: [usize; 3]) -> Result<Affine> {
        let sform = (self.sform_code > 0).then(|| self.sform(dims));
        let qform = (self.qform_code > 0).then(|| self.qform());
        match (sform, qform) {
            (Some(Ok(map)), _) | (Some(Err(_)) | None, Some(Ok(map))) => Ok(map),
            (Some(Err(error)), _) | (None, Some(Err(error))) => Err(error),
            (None, None) => self.default_map(dims),
        }
    }

    /// Returns the map of the sform.
    fn sform(&self, dims: [usize; 3]) -> Result<Affine> {
        let mut map = Affine::from_rows(self.rows);
        // A single slice may omit the direction to the next slice.
        let m = &mut map.0.matrix3;
        if dims[2] == 1 && m.z_axis == DVec3::ZERO {
            let thickness = self.spacing[2].abs();
            let thickness = if thickness.is_normal() { thickness } else { 1.0 };
            m.z_axis = m.x_axis.cross(m.y_axis).normalize_or_zero() * thickness;
        }
        in_millimeters(map, self.units)
    }

    /// Returns the map of the qform (nifti1.h, "METHOD 2").
    fn qform(&self) -> Result<Affine> {
        let [b, c, d] = self.quaternion;
        let squares = b * b + c * c + d * d;
        // Rounding to f32 lifts a rotation by 180° slightly above 1.
        if squares.is_nan() || squares > 1.001 {
            return Err(Error::geometry("a quaternion of length 1", format!("{:?}", [b, c, d])));
        }
        let a = (1.0 - squares).max(0.0).sqrt();
        let rotation = DMat3::from_quat(DQuat::from_xyzw(b, c, d, a).normalize());
        let [i, j, k] = self.spacing.map(spacing_or_1);
        let k = if self.qfac < 0.0 { -k } else { k };
        let mut map = Affine::IDENTITY;
        map.0.matrix3 = rotation * DMat3::from_diagonal(DVec3::new(i, j, k));
        map.0.translation = DVec3::from_array(self.offset);
        in_millimeters(map, self.units)
    }

    /// Returns the map of a file that states no orientation: i to the left, j to the front, k to the
    /// top, and the center of the volume at 0. nibabel, FSL and SPM do the same, after Analyze 7.5;
    /// ITK takes i to the left too.
    fn default_map(&self, dims: [usize; 3]) -> Result<Affine> {
        let [i, j, k] = self.spacing.map(spacing_or_1);
        let middle = |n: usize| (n as f64 - 1.0) / 2.0;
        let [ci, cj, ck] = dims.map(middle);
        in_millimeters(
            Affine::from_rows([
                [-i, 0.0, 0.0, i * ci],
                [0.0, j, 0.0, -j * cj],
                [0.0, 0.0, k, -k * ck],
            ]),
            self.units,
        )
    }
}

/// Returns a spacing's magnitude, and 1 for 0 as in nibabel and ITK. NaN and infinity are returned
/// unchanged and refused later.
fn spacing_or_1(spacing: f64) -> f64 {
    if spacing == 0.0 { 1.0 } else { spacing.abs() }
}

/// Returns the millimeters in the unit of length of `xyzt_units` (its low three bits), as in ITK.
fn millimeters(units: u8) -> f64 {
    match units & 7 {
        1 => 1000.0,
        3 => 0.001,
        _ => 1.0,
    }
}

/// Scales a map to millimeters. Errors if the map is singular or out of range.
fn in_millimeters(map: Affine, units: u8) -> Result<Affine> {
    let factor = millimeters(units);
    let map = match factor {
        1.0 => map,
        factor => Affine::from_rows(map.rows().map(|row| row.map(|x| x * factor))),
    };
    map.check()?;
    if map.0.translation.abs().max_element() > MAX_POSITION_MM {
        let found = format!("{:?}", map.0.translation.to_array());
        return Err(Error::geometry("a position within 1000 km of the origin", found));
    }
    match map.spacing_mm().iter().all(|s| SPACINGS_MM.contains(s)) {
        true => Ok(map),
        false => {
            let found = format!("{:?}", map.spacing_mm());
            Err(Error::geometry("voxels of 0.0001 to 10000 mm", found))
        }
    }
}

impl NiftiTransforms {
    /// Returns the map in millimeters of a file with these fields: the sform if it is set and valid,
    /// else the qform, else the spacing alone.
    ///
    /// # Errors
    /// [`Error::Geometry`] if sform or qform is set and no valid one is.
    pub fn world_from_voxel(&self, dims: [usize; 3]) -> Result<Affine> {
        HeaderTransforms::from(self).world_from_voxel(dims)
    }
}

/// Returns sentences for the user about a scan's geometry.
///
/// Warns if the file states no orientation, if sform or qform is invalid, if an element of sform
/// and qform differs by more than 0.001, or if voxel sizes differ by more than a thousandth.
pub fn warnings(transforms: &NiftiTransforms) -> Vec<String> {
    let stored = HeaderTransforms::from(transforms);
    // The dimensions only affect the thickness of a single slice.
    let sform = (transforms.sform_code > 0).then(|| stored.sform([1; 3]).ok());
    let qform = (transforms.qform_code > 0).then(|| stored.qform().ok());
    match (sform, qform) {
        (None, None) => vec![
            "The file does not state how the scan lies in space. Its axes are taken as left, \
             front, top, as nibabel does; left and right may be swapped."
                .to_string(),
        ],
        (Some(None), _) => {
            vec!["The file's sform cannot be used; the qform is used.".to_string()]
        }
        (Some(Some(sform)), qform) => {
            let mut warnings: Vec<String> = size_warning(transforms, &sform).into_iter().collect();
            match qform {
                Some(None) => {
                    warnings.push("The file's qform cannot be used; the sform is used.".to_string())
                }
                Some(Some(qform)) if warnings.is_empty() => {
                    let difference = qform.max_abs_difference(&sform);
                    if difference > TRANSFORM_TOLERANCE {
                        warnings.push(format!(
                            "The file states its position twice (sform and qform), {difference:.3} \
                             apart; the sform is used."
                        ));
                    }
                }
                _ => {}
            }
            warnings
        }
        (None, Some(_)) => Vec::new(),
    }
}

/// Returns a warning if the voxel sizes of sform and `pixdim` differ.
fn size_warning(transforms: &NiftiTransforms, sform: &Affine) -> Option<String> {
    let sform_mm = sform.spacing_mm();
    let factor = millimeters(transforms.units);
    let pixdim_mm = transforms.spacing_mm.map(|s| f64::from(s).abs() * factor);
    let differ = |(a, b): (f64, f64)| (a - b).abs() > SIZE_TOLERANCE * a.max(b);
    sform_mm.into_iter().zip(pixdim_mm).any(differ).then(|| {
        let text = |[i, j, k]: [f64; 3]| {
            let [i, j, k] = [i, j, k].map(|s| (s * 1e4).round() / 1e4);
            format!("{i} × {j} × {k} mm")
        };
        let volume_ratio = sform.voxel_volume_mm3() / pixdim_mm.iter().product::<f64>();
        format!(
            "The file states two voxel sizes: {} (sform) and {} (pixdim). The sform is used; by \
             pixdim every volume would be {:.3} times as large.",
            text(sform_mm),
            text(pixdim_mm),
            1.0 / volume_ratio
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Grid;

    fn header(transforms: NiftiTransforms) -> HeaderTransforms {
        HeaderTransforms::from(&transforms)
    }

    fn transforms() -> NiftiTransforms {
        Grid::new([2; 3], Affine::from_spacing([1.0, 2.0, 3.0])).transforms
    }

    #[test]
    fn a_quaternion_becomes_its_rotation() {
        // 90° about the third axis: i points to the front, j to the left.
        let half = std::f32::consts::FRAC_1_SQRT_2;
        let qform = header(NiftiTransforms {
            sform_code: 0,
            qform_code: 1,
            quaternion: [0.0, 0.0, half],
            offset_mm: [1.0, 2.0, 3.0],
            qfac: -1.0,
            spacing_mm: [1.0, 2.0, 4.0],
            ..transforms()
        });
        let wanted = [[0., -2., 0., 1.], [1., 0., 0., 2.], [0., 0., -4., 3.]];
        let map = qform.world_from_voxel([4; 3]).unwrap();
        assert!(map.max_abs_difference(&Affine::from_rows(wanted)) < 1e-6, "{map:?}");
    }

    /// nibabel 5.4.2: `Nifti1Image(zeros((4, 5, 6)), None)` with zooms 1, 2, 3 and both codes 0.
    #[test]
    fn a_file_that_states_no_orientation_is_read_as_nibabel_does() {
        let map =
            NiftiTransforms { sform_code: 0, ..transforms() }.world_from_voxel([4, 5, 6]).unwrap();
        let nibabel = [[-1., 0., 0., 1.5], [0., 2., 0., -4.], [0., 0., 3., -7.5]];
        assert_eq!(map.rows(), nibabel);
    }

    #[test]
    fn an_invalid_transform_gives_way_to_a_valid_one() {
        let zero =
            NiftiTransforms { rows: [[0.0; 4]; 3], qform_code: 1, qfac: 1.0, ..transforms() };
        assert_eq!(zero.world_from_voxel([2; 3]).unwrap().spacing_mm(), [1.0, 2.0, 3.0]);
        assert!(warnings(&zero)[0].contains("qform is used"));
        assert!(NiftiTransforms { qform_code: 0, ..zero }.world_from_voxel([2; 3]).is_err());
        let bad_qform = NiftiTransforms { qform_code: 1, quaternion: [1.0; 3], ..transforms() };
        assert!(bad_qform.world_from_voxel([2; 3]).is_ok());
        assert!(warnings(&bad_qform)[0].contains("sform is used"));
        assert!(NiftiTransforms { sform_code: 0, ..bad_qform }.world_from_voxel([2; 3]).is_err());
    }

    #[test]
    fn the_third_axis_of_a_slice_defaults_to_its_normal() {
        let mut flat = transforms();
        flat.rows[2][2] = 0.0;
        assert!(flat.world_from_voxel([2; 3]).is_err());
        let map = flat.world_from_voxel([2, 2, 1]).unwrap();
        assert_eq!(map.rows()[2], [0.0, 0.0, 3.0, 0.0]);
    }

    #[test]
    fn an_invalid_spacing_that_is_not_needed_is_taken_from_the_sform() {
        for spacing in [0.0, f64::NAN, f64::INFINITY] {
            let mut header = header(transforms());
            header.spacing[1] = spacing;
            let (stored, map) = header.resolve([2; 3]).unwrap();
            assert_eq!((stored.spacing_mm, map.spacing_mm()), ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]));
            assert!(warnings(&stored).is_empty());
            header.sform_code = 0;
            assert_eq!(header.resolve([2; 3]).is_ok(), spacing == 0.0, "{spacing}");
        }
    }

    #[test]
    fn a_position_that_a_written_file_cannot_hold_is_refused() {
        let mut header = header(transforms());
        header.rows[2][3] = 1e300;
        assert!(header.resolve([2; 3]).unwrap_err().to_string().contains("1000 km"));
        // The position in an sform that is not set does not matter.
        header.sform_code = 0;
        assert_eq!(header.resolve([2; 3]).unwrap().0.rows[2][3], 0.0);
    }

    #[test]
    fn missing_and_contradicting_positions_are_warned_about() {
        assert!(warnings(&NiftiTransforms::default())[0].contains("left and right may be swapped"));
        assert!(warnings(&transforms()).is_empty());
        let mut both = NiftiTransforms { qform_code: 1, ..transforms() };
        assert!(warnings(&both).is_empty());
        both.offset_mm = [0.0, 5.0, 0.0];
        assert!(warnings(&both)[0].contains("5.000 apart"));
        // As in ACDC: the sform says 2 mm, pixdim 1 mm.
        let twice = Grid::new([2; 3], Affine::from_spacing([2.0; 3])).transforms;
        let sizes = NiftiTransforms { spacing_mm: [1.0; 3], ..twice };
        let warning = &warnings(&sizes)[0];
        assert!(warning.contains("2 × 2 × 2 mm (sform) and 1 × 1 × 1 mm (pixdim)"), "{warning}");
        assert!(warning.contains("0.125 times as large"), "{warning}");
    }
}
