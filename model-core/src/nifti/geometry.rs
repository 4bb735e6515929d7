//! Where a header says its voxels lie: sform before qform before spacing.

use std::ops::RangeInclusive;

use glam::{DMat3, DQuat, DVec3};

use crate::{AFFINE_TOLERANCE, Affine, Error, Forms, Result};

/// Microscopes and satellites are outside; a header with such numbers is damaged.
const SPACINGS_MM: RangeInclusive<f64> = 1e-4..=1e4;

/// The geometry fields of a header as numbers, unchecked.
pub(super) struct StoredForms {
    pub qfac: f64,
    pub spacing: [f64; 3],
    pub qform_code: i32,
    pub quaternion: [f64; 3],
    pub offset: [f64; 3],
    pub sform_code: i32,
    pub rows: [[f64; 4]; 3],
    pub units: u8,
}

impl StoredForms {
    /// The forms as they will be kept. A form that the header switches off and that holds no finite
    /// numbers is kept as zeros.
    pub fn checked(&self, num_axes: usize) -> Result<Forms> {
        let mut spacing = self.spacing;
        if num_axes == 2 && spacing[2] == 0.0 {
            spacing[2] = 1.0; // a single slice has no distance to the next
        }
        if !spacing.iter().all(|s| s.is_finite() && *s != 0.0) {
            return Err(Error::geometry(
                "a spacing that is finite and not zero",
                format!("{spacing:?}"),
            ));
        }
        let code = |name: &str, code: i32| {
            i16::try_from(code).map_err(|_| Error::geometry(format!("a {name} of 16 bits"), code))
        };
        let (qform_code, sform_code) =
            (code("qform_code", self.qform_code)?, code("sform_code", self.sform_code)?);
        let mut forms = Forms {
            qform_code,
            quaternion: self.quaternion.map(|x| x as f32),
            offset_mm: self.offset.map(|x| x as f32),
            qfac: self.qfac as f32,
            spacing_mm: spacing.map(|x| x as f32),
            sform_code,
            rows: self.rows.map(|row| row.map(|x| x as f32)),
            units: self.units,
        };
        if !forms.spacing_mm.iter().all(|s| s.is_normal()) {
            return Err(Error::geometry("a spacing of usual size", format!("{spacing:?}")));
        }
        let q_finite = forms.quaternion.iter().chain(&forms.offset_mm).all(|x| x.is_finite());
        let s_finite = forms.rows.as_flattened().iter().all(|x| x.is_finite());
        if (qform_code > 0 && !q_finite) || (sform_code > 0 && !s_finite) {
            let found = format!("{:?} {:?} {:?}", forms.quaternion, forms.offset_mm, forms.rows);
            return Err(Error::geometry("a position and direction in finite numbers", found));
        }
        if !q_finite {
            (forms.quaternion, forms.offset_mm) = ([0.0; 3], [0.0; 3]);
        }
        if !s_finite {
            forms.rows = [[0.0; 4]; 3];
        }
        if !forms.qfac.is_finite() {
            forms.qfac = 1.0; // what every value but −1 means
        }
        Ok(forms)
    }

    /// The map that is used, in millimetres: the sform if it is set, else the qform if it is set,
    /// else the spacing alone.
    pub fn world_from_voxel(&self, forms: &Forms) -> Result<Affine> {
        let map = if forms.sform_code > 0 {
            Affine::from_rows(self.rows)
        } else if forms.qform_code > 0 {
            let spacing = self.spacing.map(|s| if s == 0.0 { 1.0 } else { s });
            from_qform(self.quaternion, self.offset, self.qfac, spacing)?
        } else {
            Affine::from_spacing(forms.spacing_mm.map(|s| f64::from(s).abs()))
        };
        let map = in_millimetres(map, forms.units);
        map.check()?;
        match map.spacing_mm().iter().all(|s| SPACINGS_MM.contains(s)) {
            true => Ok(map),
            false => {
                let found = format!("{:?}", map.spacing_mm());
                Err(Error::geometry("voxels of 0.0001 to 10000 mm", found))
            }
        }
    }
}

/// Scales a map given in metres or micrometres (the low three bits of `xyzt_units`), as ITK does.
fn in_millimetres(map: Affine, units: u8) -> Affine {
    let factor = match units & 7 {
        1 => 1000.0,
        3 => 0.001,
        _ => return map,
    };
    Affine::from_rows(map.rows().map(|row| row.map(|x| x * factor)))
}

/// The map of a qform (nifti1.h, "METHOD 2").
fn from_qform(
    [b, c, d]: [f64; 3],
    offset: [f64; 3],
    qfac: f64,
    spacing: [f64; 3],
) -> Result<Affine> {
    let squares = b * b + c * c + d * d;
    // Rounding to f32 takes a rotation by 180° a little above 1.
    if squares.is_nan() || squares > 1.001 {
        return Err(Error::geometry("a quaternion of length 1", format!("{:?}", [b, c, d])));
    }
    let a = (1.0 - squares).max(0.0).sqrt();
    let rotation = DMat3::from_quat(DQuat::from_xyzw(b, c, d, a).normalize());
    let [i, j, k] = spacing.map(f64::abs);
    let k = if qfac < 0.0 { -k } else { k };
    let mut map = Affine::IDENTITY;
    map.0.matrix3 = rotation * DMat3::from_diagonal(DVec3::new(i, j, k));
    map.0.translation = DVec3::from_array(offset);
    Ok(map)
}

/// What a reader should be told about a scan's geometry: nothing states where it lies, or its two
/// statements differ by more than [`AFFINE_TOLERANCE`].
pub fn warnings(forms: &Forms) -> Vec<String> {
    match (forms.sform_code > 0, forms.qform_code > 0) {
        (false, false) => vec![
            "The file does not say how the scan lies in space; its axes are taken as right, \
             front, top."
                .to_string(),
        ],
        (true, true) => {
            let sform = Affine::from_rows(forms.rows.map(|row| row.map(f64::from)));
            let qform = from_qform(
                forms.quaternion.map(f64::from),
                forms.offset_mm.map(f64::from),
                f64::from(forms.qfac),
                forms.spacing_mm.map(f64::from),
            );
            match qform.map(|qform| qform.max_abs_difference(&sform)) {
                Ok(difference) if difference <= AFFINE_TOLERANCE => Vec::new(),
                Ok(difference) => vec![format!(
                    "The file states its position twice (sform and qform), {difference:.3} \
                     apart; the sform is used."
                )],
                Err(_) => vec!["The file's qform means nothing; the sform is used.".to_string()],
            }
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quaternion_becomes_its_rotation() {
        // 90° about the third axis: i points to the front, j to the left.
        let half = std::f64::consts::FRAC_1_SQRT_2;
        let map = from_qform([0.0, 0.0, half], [1.0, 2.0, 3.0], -1.0, [1.0, 2.0, 4.0]).unwrap();
        let wanted = [[0., -2., 0., 1.], [1., 0., 0., 2.], [0., 0., -4., 3.]];
        assert!(map.max_abs_difference(&Affine::from_rows(wanted)) < 1e-12, "{map:?}");
    }

    #[test]
    fn a_scan_that_states_nothing_or_two_things_is_warned_of() {
        assert_eq!(warnings(&Forms::default()).len(), 1);
        let mut forms = crate::Grid::new([2; 3], Affine::from_spacing([1.0; 3])).forms;
        assert!(warnings(&forms).is_empty());
        forms.qform_code = 1;
        assert!(warnings(&forms).is_empty());
        forms.offset_mm = [0.0, 5.0, 0.0];
        assert!(warnings(&forms)[0].contains("5.000 apart"));
    }
}
