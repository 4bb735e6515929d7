//! Joins the header and the voxels of `.hdr`/`.img` pairs by their names.

use super::contents::{EXPECTED, ScanFile, ScanKind, plain};
use crate::Error;
use crate::task::strip_ending;

/// The size of a header of NIfTI-1 or Analyze, and of NIfTI-2, in a file of its own. An extension
/// may follow.
const MAX_HEADER_BYTES: usize = 1 << 16;

/// Returns the scans, with each pair in one. Files of unknown content that belong to no header are
/// refused.
pub fn join(files: Vec<ScanFile>, refused: &mut Vec<(String, Error)>) -> Vec<ScanFile> {
    let (mut scans, mut voxels): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|file| file.kind != ScanKind::Unknown);
    for scan in &mut scans {
        let Some(stem) = stem(&scan.path, "hdr") else { continue };
        if scan.kind != ScanKind::Nifti || scan.bytes.len() > MAX_HEADER_BYTES {
            continue;
        }
        let partner = voxels.iter().position(|file| self::stem(&file.path, "img") == Some(stem));
        scan.voxels = partner.map(|at| voxels.swap_remove(at).bytes);
    }
    for file in voxels {
        let found = match stem(&file.path, "img").is_some() {
            true => "the voxels of a pair without their header (.hdr)",
            false => "bytes of no known format",
        };
        let error = Error::scan(EXPECTED, found).in_file(&file.path);
        refused.push((file.path, error));
    }
    scans
}

/// Returns a path without `.hdr` or `.img`, each compressed or not.
fn stem<'a>(path: &'a str, ending: &str) -> Option<&'a str> {
    strip_ending(plain(path), &format!(".{ending}"))
}
