//! The axes of DICOM and ITK.

use glam::DVec3;

/// Returns a point or a direction in RAS+, as NIfTI has it, from LPS+, as DICOM and ITK have it: x
/// and y change their signs.
pub fn ras_from_lps(lps: DVec3) -> DVec3 {
    DVec3::new(-lps.x, -lps.y, lps.z)
}
