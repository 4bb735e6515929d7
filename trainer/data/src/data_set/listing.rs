//! Which files lie in a folder: sorted, without hidden ones, and no more than a person has.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::LeftAside;
use trainer_run::progress;

pub use model_core::scan_stem as stem;

/// The most names that are looked at: 100,000 cases of BraTS in 2018's folders are 600,000.
const MAX_NAMES: u64 = 1_000_000;

/// How deep scans may lie: NIfTI-files/images_structural/ID/file of UPENN-GBM, below a folder that
/// was unpacked into another.
const MAX_DEPTH: usize = 4;

/// What lies in a folder and the folders in it.
#[derive(Debug, Default)]
pub struct Listing {
    /// The scans, by their names; links to what is not here among them.
    pub scans: Vec<PathBuf>,
    /// Everything else.
    pub left: LeftAside,
}

/// A file's or a folder's name and path, sorted by name. Hidden ones, such as the `._case.nii.gz`
/// of a file system, are left out.
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

/// Every scan in a folder and the folders in it, and what else is there.
pub fn below(folder: &Path) -> Result<Listing> {
    let bar = progress::bar("looking for scans", 0);
    let mut listing = Listing::default();
    let mut folders = vec![(folder.to_path_buf(), 0)];
    while let Some((inner, depth)) = folders.pop() {
        for (name, path) in entries(&inner)? {
            bar.inc_length(1);
            bar.inc(1);
            let count = bar.position();
            ensure!(
                count <= MAX_NAMES,
                "expected at most {MAX_NAMES} files below {}",
                folder.display()
            );
            // Links are followed; their depth ends a circle.
            match path.is_dir() {
                true if depth < MAX_DEPTH => folders.push((path, depth + 1)),
                true => {
                    let what = format!("folders more than {MAX_DEPTH} deep");
                    listing.left.add(what, &path);
                }
                false if stem(&name).is_some() => listing.scans.push(path),
                false => listing.left.add_other(&path),
            }
        }
    }
    bar.finish_and_clear();
    listing.scans.sort();
    Ok(listing)
}

/// A path's last part.
pub fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// What a data set is called that does not say it: its folder's name.
pub fn folder_name(folder: &Path) -> String {
    let resolved = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    file_name(&resolved)
}
