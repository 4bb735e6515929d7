//! The axes of DICOM and ITK.

use glam::DVec3;

/// Returns a point or a direction in RAS+, as NIfTI has it, from LPS+, as DICOM and ITK have it: x
/// and y change their signs.
pub fn ras_from_lps(lps: DVec3) -> DVec3 {
    DVec3::new(-lps.x, -lps.y, lps.z)
}

/// Returns a point or a direction in LPS+ from RAS+.
pub fn lps_from_ras(ras: DVec3) -> DVec3 {
    // The same change of signs, without a negative zero.
    DVec3::new(0.0 - ras.x, 0.0 - ras.y, ras.z)
}
