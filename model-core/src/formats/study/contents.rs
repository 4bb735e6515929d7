//! Sorts files by their kind, and opens archives.

use super::archive;
use super::source_file::SourceFile;
use crate::formats::dicom::{DicomFile, is_dicom};
use crate::formats::{file_kind, mgh, nrrd};
use crate::task::strip_ending;
use crate::{Error, Result};

/// The deepest archive within archives that is opened.
const MAX_ARCHIVE_DEPTH: usize = 2;

/// The number of other files that a note names.
const MAX_NAMED: usize = 3;

/// The formats that are read, for errors.
pub const EXPECTED: &str = "a scan in DICOM, NIfTI, NRRD, MGH or Analyze";

/// A file that holds a scan of another format than DICOM, or one half of a pair.
#[derive(Debug)]
pub struct ScanFile {
    pub path: String,
    pub bytes: Vec<u8>,
    /// The voxels' file of a pair, whose header is `bytes`.
    pub voxels: Option<Vec<u8>>,
    pub kind: ScanKind,
}

/// The format of a file that is not DICOM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanKind {
    /// NIfTI in one file, or the header of a pair.
    Nifti,
    Nrrd,
    Mgh,
    /// Unknown bytes: the voxels of a pair, or no scan.
    Unknown,
}

/// The files by their kind.
#[derive(Debug, Default)]
pub struct Contents {
    pub dicom: Vec<DicomFile>,
    pub scans: Vec<ScanFile>,
    pub notes: Vec<String>,
    pub refused: Vec<(String, Error)>,
    /// Paths and kinds of files that are no scans.
    others: Vec<(String, String)>,
}

impl Contents {
    /// Sorts files by their bytes.
    pub fn sort(mut files: Vec<SourceFile>) -> Contents {
        let mut contents = Contents::default();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files.into_iter().for_each(|file| contents.add(file, 0));
        contents.note_others();
        contents
    }

    fn add(&mut self, SourceFile { path, bytes }: SourceFile, depth: usize) {
        if is_made_by_system(&path) {
            return;
        }
        if archive::is_zip(&bytes) {
            let opened = match depth < MAX_ARCHIVE_DEPTH {
                true => archive::open(&path, &bytes),
                false => {
                    Err(Error::format("ZIP archive", "two archives within each other", "more"))
                }
            };
            return match opened {
                Ok(opened) => {
                    drop(bytes);
                    self.refused.extend(opened.refused);
                    opened.files.into_iter().for_each(|file| self.add(file, depth + 1));
                }
                Err(error) => self.refused.push((path.clone(), error.in_file(path))),
            };
        }
        if is_dicom(&bytes) {
            return match DicomFile::open(path.clone(), bytes) {
                Ok(file) => self.dicom.push(file),
                Err(error) => self.refused.push((path.clone(), error.in_file(path))),
            };
        }
        match kind(&bytes) {
            Ok(kind) => self.scans.push(ScanFile { path, bytes, voxels: None, kind }),
            // The voxels of a pair may look like anything.
            Err(_) if strip_ending(plain(&path), ".img").is_some() => {
                let kind = ScanKind::Unknown;
                self.scans.push(ScanFile { path, bytes, voxels: None, kind });
            }
            // The header is damaged; its reader states where.
            Err(other) if other.contains("FreeSurfer") => {
                self.scans.push(ScanFile { path, bytes, voxels: None, kind: ScanKind::Mgh });
            }
            Err(other) if other.contains(" scan") => {
                let error = Error::scan(EXPECTED, other).in_file(&path);
                self.refused.push((path, error));
            }
            Err(other) => self.others.push((path, other)),
        }
    }

    fn note_others(&mut self) {
        let named: Vec<String> = self
            .others
            .iter()
            .take(MAX_NAMED)
            .map(|(path, kind)| format!("{path} ({kind})"))
            .collect();
        let further = self.others.len().saturating_sub(MAX_NAMED);
        if !named.is_empty() {
            let further = if further > 0 { format!(" and {further} more") } else { String::new() };
            self.notes.push(format!("Not a scan, ignored: {}{further}.", named.join(", ")));
        }
    }
}

/// Returns whether a file was made by an operating system beside the user's files.
fn is_made_by_system(path: &str) -> bool {
    let mut parts = path.split(['/', '\\']);
    let name = parts.next_back().unwrap_or_default().to_lowercase();
    matches!(name.as_str(), "" | ".ds_store" | "thumbs.db" | "desktop.ini")
        || name.starts_with("._")
        || parts.any(|folder| folder == "__MACOSX")
}

/// Returns a path without `.gz`.
pub fn plain(path: &str) -> &str {
    strip_ending(path, ".gz").unwrap_or(path)
}

/// Returns the kind of a file, or the noun of a file that is no scan.
fn kind(bytes: &[u8]) -> Result<ScanKind, String> {
    let start = archive::unpacked_start(bytes);
    let start = start.as_slice();
    let size: [u8; 4] = start.first_chunk().copied().unwrap_or_default();
    let size = [i32::from_le_bytes(size), i32::from_be_bytes(size)];
    if size.iter().any(|size| matches!(size, 348 | 540)) {
        return Ok(ScanKind::Nifti);
    }
    if nrrd::is_nrrd(start) {
        return Ok(ScanKind::Nrrd);
    }
    if mgh::is_mgh(start) {
        return Ok(ScanKind::Mgh);
    }
    match file_kind(start) {
        // The voxels of a pair may be zeros, or look like text.
        Some(kind) if kind.contains("zeros") => Ok(ScanKind::Unknown),
        Some(kind) => Err(kind.to_string()),
        None => Ok(ScanKind::Unknown),
    }
}
