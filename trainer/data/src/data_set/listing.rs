//! Lists the files of a folder: sorted, without hidden files, and limited in number and depth.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::UnusedFiles;
use trainer_run::reporter::Reporter;

pub use model_core::nifti_stem as stem;

/// The largest number of files: 100,000 BraTS cases in the folders of 2018 are 600,000.
const MAX_NAMES: u64 = 1_000_000;

/// The largest depth of folders: UPENN-GBM has NIfTI-files/images_structural/ID/file, often within
/// one more folder after unpacking.
const MAX_DEPTH: usize = 4;

/// The content of a folder and its subfolders.
#[derive(Debug, Default)]
pub struct Listing {
    /// Files that are named as scans, including links to missing files.
    pub scans: Vec<PathBuf>,
    /// All other files.
    pub unused_files: UnusedFiles,
}

/// Returns the names and paths in a folder, sorted by name. Hidden files are left out, such as the
/// `._case.nii.gz` that macOS writes.
///
/// # Errors
/// Errors if the folder cannot be read or holds too many files.
pub fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let about = || format!("cannot read {}", folder.display());
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).with_context(about)? {
        let path = entry.with_context(about)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            entries.push((name, path));
        }
        let count = entries.len() as u64;
        ensure!(count <= MAX_NAMES, "expected at most {MAX_NAMES} files in {}", folder.display());
    }
    entries.sort();
    Ok(entries)
}

/// Lists the scans and the other files in a folder and its subfolders.
///
/// # Errors
/// Errors if a folder cannot be read or if there are too many files.
pub fn list_recursively(folder: &Path, reporter: &dyn Reporter) -> Result<Listing> {
    let task = reporter.start_task("looking for scans", None);
    let mut count = 0;
    let mut listing = Listing::default();
    let mut folders = vec![(folder.to_path_buf(), 0)];
    while let Some((inner, depth)) = folders.pop() {
        for (name, path) in entries(&inner)? {
            task.advance();
            count += 1;
            ensure!(
                count <= MAX_NAMES,
                "expected at most {MAX_NAMES} files below {}",
                folder.display()
            );
            // Links are followed. The limit on the depth ends cycles.
            match path.is_dir() {
                true if depth < MAX_DEPTH => folders.push((path, depth + 1)),
                true => {
                    let kind = format!("folders more than {MAX_DEPTH} deep");
                    listing.unused_files.add(kind, &path);
                }
                false if stem(&name).is_some() => listing.scans.push(path),
                false => listing.unused_files.add_other(&path),
            }
        }
    }
    listing.scans.sort();
    Ok(listing)
}

/// Returns a path's file name.
pub fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Returns the name of a folder, also for a path such as `.`.
pub fn folder_name(folder: &Path) -> String {
    let resolved = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    file_name(&resolved)
}
