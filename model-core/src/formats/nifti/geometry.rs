//! Where a header says its voxels lie: sform before qform before spacing.

use std::ops::RangeInclusive;

use glam::{DMat3, DQuat, DVec3};

use crate::{Affine, Error, NiftiTransforms, Result};

/// Microscopes and satellites are outside; a header with such numbers is damaged.
const SPACINGS_MM: RangeInclusive<f64> = 1e-4..=1e4;

/// How far from the world's origin a scan may lie, in millimeters: a thousand kilometers. NIfTI-2
/// can state more than the 32-bit floats of what is written hold.
const MAX_POSITION_MM: f64 = 1e9;

/// How far the elements of sform and qform may differ: files that state both differ by rounding
/// (about 1e-8).
const FORM_TOLERANCE: f64 = 1e-3;

/// How far the voxel sizes of sform and `pixdim` may differ, relative.
const SIZE_TOLERANCE: f64 = 1e-3;

/// The geometry fields of a header as numbers, unchecked.
pub(super) struct StoredTransforms {
    pub qfac: f64,
    pub spacing: [f64; 3],
    pub qform_code: i32,
    pub quaternion: [f64; 3],
    pub offset: [f64; 3],
    pub sform_code: i32,
    pub rows: [[f64; 4]; 3],
    pub units: u8,
}

impl From<&NiftiTransforms> for StoredTransforms {
    fn from(forms: &NiftiTransforms) -> Self {
        StoredTransforms {
            qfac: forms.qfac.into(),
            spacing: forms.spacing_mm.map(f64::from),
            qform_code: forms.qform_code.into(),
            quaternion: forms.quaternion.map(f64::from),
            offset: forms.offset_mm.map(f64::from),
            sform_code: forms.sform_code.into(),
            rows: forms.rows.map(|row| row.map(f64::from)),
            units: forms.units,
        }
    }
}

impl StoredTransforms {
    /// The forms as they will be kept, and the map that is used, in millimeters: the sform where it
    /// is set and can be used, else the qform, else the spacing alone. What another field makes
    /// needless need not be valid: it is kept as zeros where it holds no finite numbers.
    ///
    /// # Errors
    /// [`Error::Geometry`] where a form is set and neither can be used.
    pub fn read(&self, dims: [usize; 3]) -> Result<(NiftiTransforms, Affine)> {
        let code = |name: &str, code: i32| {
            i16::try_from(code).map_err(|_| Error::geometry(format!("a {name} of 16 bits"), code))
        };
        let world_from_voxel = self.world_from_voxel(dims)?;
        let known_mm = world_from_voxel.spacing_mm();
        // A needless number may be one that only NIfTI-2 can hold.
        let finite = |x: f64| Some(x as f32).filter(|x| x.is_finite()).unwrap_or(0.0);
        let spacing_mm: [f32; 3] = std::array::from_fn(|a| match self.spacing[a] as f32 {
            spacing if spacing.is_normal() => spacing,
            _ => (known_mm[a] / millimeters(self.units)) as f32,
        });
        let forms = NiftiTransforms {
            qform_code: code("qform_code", self.qform_code)?,
            quaternion: self.quaternion.map(finite),
            offset_mm: self.offset.map(finite),
            // Every value that is not negative means 1.
            qfac: Some(self.qfac as f32).filter(|x| x.is_finite()).unwrap_or(1.0),
            spacing_mm,
            sform_code: code("sform_code", self.sform_code)?,
            rows: self.rows.map(|row| row.map(finite)),
            units: self.units,
        };
        Ok((forms, world_from_voxel))
    }

    /// The map that is used, in millimeters.
    fn world_from_voxel(&self, dims: [usize; 3]) -> Result<Affine> {
        let sform = (self.sform_code > 0).then(|| self.sform(dims));
        let qform = (self.qform_code > 0).then(|| self.qform());
        match (sform, qform) {
            (Some(Ok(map)), _) | (Some(Err(_)) | None, Some(Ok(map))) => Ok(map),
            (Some(Err(error)), _) | (None, Some(Err(error))) => Err(error),
            (None, None) => self.unstated(dims),
        }
    }

    /// The map of the sform.
    fn sform(&self, dims: [usize; 3]) -> Result<Affine> {
        let mut map = Affine::from_rows(self.rows);
        // A single slice may leave out where the next would be.
        let m = &mut map.0.matrix3;
        if dims[2] == 1 && m.z_axis == DVec3::ZERO {
            let thickness = self.spacing[2].abs();
            let thickness = if thickness.is_normal() { thickness } else { 1.0 };
            m.z_axis = m.x_axis.cross(m.y_axis).normalize_or_zero() * thickness;
        }
        in_millimeters(map, self.units)
    }

    /// The map of the qform (nifti1.h, "METHOD 2").
    fn qform(&self) -> Result<Affine> {
        let [b, c, d] = self.quaternion;
        let squares = b * b + c * c + d * d;
        // Rounding to f32 takes a rotation by 180° a little above 1.
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

    /// The map of a file that states no orientation: i to the left, j to the front, k to the top,
    /// the center of the volume at 0. nibabel, FSL and SPM read it so, after Analyze 7.5; ITK too
    /// takes i to the left.
    fn unstated(&self, dims: [usize; 3]) -> Result<Affine> {
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

/// A spacing's size. nibabel and ITK take 0 for 1; NaN and infinity remain, and are refused.
fn spacing_or_1(spacing: f64) -> f64 {
    if spacing == 0.0 { 1.0 } else { spacing.abs() }
}

/// Millimeters in the unit of length of `xyzt_units` (its low three bits), as ITK takes it.
fn millimeters(units: u8) -> f64 {
    match units & 7 {
        1 => 1000.0,
        3 => 0.001,
        _ => 1.0,
    }
}

/// Scales a map to millimeters, and refuses one that does not span space.
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
    /// The map that a file with these forms has, in millimeters: the sform where it is set and can
    /// be used, else the qform, else the spacing alone.
    ///
    /// # Errors
    /// [`Error::Geometry`] where a form is set and neither can be used.
    pub fn world_from_voxel(&self, dims: [usize; 3]) -> Result<Affine> {
        StoredTransforms::from(self).world_from_voxel(dims)
    }
}

/// What a user should know about a scan's geometry, a sentence each: nothing states where it lies,
/// its two statements differ by more than 0.001 in an element, one of them cannot be used, or its
/// voxel sizes differ by more than a thousandth.
pub fn warnings(forms: &NiftiTransforms) -> Vec<String> {
    let stored = StoredTransforms::from(forms);
    // Only a single slice's thickness depends on the dimensions.
    let sform = (forms.sform_code > 0).then(|| stored.sform([1; 3]).ok());
    let qform = (forms.qform_code > 0).then(|| stored.qform().ok());
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
            let mut warnings: Vec<String> = sizes_differ(forms, &sform).into_iter().collect();
            match qform {
                Some(None) => {
                    warnings.push("The file's qform cannot be used; the sform is used.".to_string())
                }
                Some(Some(qform)) if warnings.is_empty() => {
                    let difference = qform.max_abs_difference(&sform);
                    if difference > FORM_TOLERANCE {
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

/// A sentence where the voxels of the sform have another size than those of `pixdim`.
fn sizes_differ(forms: &NiftiTransforms, sform: &Affine) -> Option<String> {
    let of_sform = sform.spacing_mm();
    let factor = millimeters(forms.units);
    let of_pixdim = forms.spacing_mm.map(|s| f64::from(s).abs() * factor);
    let differ = |(a, b): (f64, f64)| (a - b).abs() > SIZE_TOLERANCE * a.max(b);
    of_sform.into_iter().zip(of_pixdim).any(differ).then(|| {
        let text = |[i, j, k]: [f64; 3]| {
            let [i, j, k] = [i, j, k].map(|s| (s * 1e4).round() / 1e4);
            format!("{i} × {j} × {k} mm")
        };
        let volumes = sform.voxel_volume_mm3() / of_pixdim.iter().product::<f64>();
        format!(
            "The file states two voxel sizes: {} (sform) and {} (pixdim). The sform is used; by \
             pixdim every volume would be {:.3} times as large.",
            text(of_sform),
            text(of_pixdim),
            1.0 / volumes
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Grid;

    fn stored(forms: NiftiTransforms) -> StoredTransforms {
        StoredTransforms::from(&forms)
    }

    fn forms() -> NiftiTransforms {
        Grid::new([2; 3], Affine::from_spacing([1.0, 2.0, 3.0])).forms
    }

    #[test]
    fn a_quaternion_becomes_its_rotation() {
        // 90° about the third axis: i points to the front, j to the left.
        let half = std::f32::consts::FRAC_1_SQRT_2;
        let qform = stored(NiftiTransforms {
            sform_code: 0,
            qform_code: 1,
            quaternion: [0.0, 0.0, half],
            offset_mm: [1.0, 2.0, 3.0],
            qfac: -1.0,
            spacing_mm: [1.0, 2.0, 4.0],
            ..forms()
        });
        let wanted = [[0., -2., 0., 1.], [1., 0., 0., 2.], [0., 0., -4., 3.]];
        let map = qform.world_from_voxel([4; 3]).unwrap();
        assert!(map.max_abs_difference(&Affine::from_rows(wanted)) < 1e-6, "{map:?}");
    }

    /// nibabel 5.4.2: `Nifti1Image(zeros((4, 5, 6)), None)` with zooms 1, 2, 3 and both codes 0.
    #[test]
    fn a_file_that_states_no_orientation_is_read_as_nibabel_does() {
        let map = NiftiTransforms { sform_code: 0, ..forms() }.world_from_voxel([4, 5, 6]).unwrap();
        let nibabel = [[-1., 0., 0., 1.5], [0., 2., 0., -4.], [0., 0., 3., -7.5]];
        assert_eq!(map.rows(), nibabel);
    }

    #[test]
    fn a_form_that_cannot_be_used_gives_way_to_one_that_can() {
        let zero = NiftiTransforms { rows: [[0.0; 4]; 3], qform_code: 1, qfac: 1.0, ..forms() };
        assert_eq!(zero.world_from_voxel([2; 3]).unwrap().spacing_mm(), [1.0, 2.0, 3.0]);
        assert!(warnings(&zero)[0].contains("qform is used"));
        assert!(NiftiTransforms { qform_code: 0, ..zero }.world_from_voxel([2; 3]).is_err());
        let bad_qform = NiftiTransforms { qform_code: 1, quaternion: [1.0; 3], ..forms() };
        assert!(bad_qform.world_from_voxel([2; 3]).is_ok());
        assert!(warnings(&bad_qform)[0].contains("sform is used"));
        assert!(NiftiTransforms { sform_code: 0, ..bad_qform }.world_from_voxel([2; 3]).is_err());
    }

    #[test]
    fn a_slice_without_a_third_axis_gets_its_normal() {
        let mut flat = forms();
        flat.rows[2][2] = 0.0;
        assert!(flat.world_from_voxel([2; 3]).is_err());
        let map = flat.world_from_voxel([2, 2, 1]).unwrap();
        assert_eq!(map.rows()[2], [0.0, 0.0, 3.0, 0.0]);
    }

    #[test]
    fn a_needless_spacing_is_taken_from_the_form_that_is_used() {
        for spacing in [0.0, f64::NAN, f64::INFINITY] {
            let mut header = stored(forms());
            header.spacing[1] = spacing;
            let (kept, map) = header.read([2; 3]).unwrap();
            assert_eq!((kept.spacing_mm, map.spacing_mm()), ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]));
            assert!(warnings(&kept).is_empty());
            header.sform_code = 0;
            assert_eq!(header.read([2; 3]).is_ok(), spacing == 0.0, "{spacing}");
        }
    }

    #[test]
    fn a_position_that_no_written_file_could_hold_is_refused() {
        let mut header = stored(forms());
        header.rows[2][3] = 1e300;
        assert!(header.read([2; 3]).unwrap_err().to_string().contains("1000 km"));
        // Of a form that is not used it does not matter.
        header.sform_code = 0;
        assert_eq!(header.read([2; 3]).unwrap().0.rows[2][3], 0.0);
    }

    #[test]
    fn a_scan_that_states_nothing_or_two_things_is_warned_of() {
        assert!(warnings(&NiftiTransforms::default())[0].contains("left and right may be swapped"));
        assert!(warnings(&forms()).is_empty());
        let mut both = NiftiTransforms { qform_code: 1, ..forms() };
        assert!(warnings(&both).is_empty());
        both.offset_mm = [0.0, 5.0, 0.0];
        assert!(warnings(&both)[0].contains("5.000 apart"));
        // As in ACDC: the sform says 2 mm, pixdim 1 mm.
        let twice = Grid::new([2; 3], Affine::from_spacing([2.0; 3])).forms;
        let sizes = NiftiTransforms { spacing_mm: [1.0; 3], ..twice };
        let warning = &warnings(&sizes)[0];
        assert!(warning.contains("2 × 2 × 2 mm (sform) and 1 × 1 × 1 mm (pixdim)"), "{warning}");
        assert!(warning.contains("0.125 times as large"), "{warning}");
    }
}
