//! Which files lie in a folder: sorted, without hidden ones, and no more than a person has.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::progress;

/// The most names that are looked at: 100,000 cases of BraTS in 2018's folders are 600,000.
const MAX_NAMES: u64 = 1_000_000;

/// How deep scans may lie: HGG/ID/file below a folder that was unpacked into another.
const MAX_DEPTH: usize = 3;

/// A file's or a folder's name and path, sorted by name. Hidden ones, such as the `._case.nii.gz`
/// of a file system, are left out.
pub(crate) fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
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

/// Every scan in a folder and the folders in it.
pub(super) fn scans_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let bar = progress::bar("looking for scans", 0);
    let mut scans = Vec::new();
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
            if stem(&name).is_some() && !path.is_dir() {
                scans.push(path);
            } else if depth < MAX_DEPTH && path.is_dir() {
                folders.push((path, depth + 1));
            }
        }
    }
    bar.finish_and_clear();
    scans.sort();
    Ok(scans)
}

/// The endings of scans; the `.img` of a pair is found by its `.hdr`.
const ENDINGS: [&str; 4] = [".nii.gz", ".nii", ".hdr.gz", ".hdr"];

/// A scan's name without its ending; none where it ends otherwise.
pub(crate) fn stem(name: &str) -> Option<&str> {
    ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)).filter(|stem| !stem.is_empty())
}

/// A path's last part.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// What a data set is called that does not say it: its folder's name.
pub(crate) fn folder_name(folder: &Path) -> String {
    let resolved = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    file_name(&resolved)
}
