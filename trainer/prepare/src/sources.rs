//! Reads the files of an examination.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use model_core::formats::study::SourceFile;
use trainer_data::data_set::listing;
use trainer_run::files;
use trainer_run::reporter::Reporter;

/// The most bytes of one examination. They are held in memory until its series are decoded.
const MAX_BYTES: u64 = 8 << 30;

/// The most files of one examination.
const MAX_FILES: usize = 50_000;

/// The largest depth of folders: a disc has DICOM/patient/study/series/file.
const MAX_DEPTH: usize = 10;

/// Reads files, and the files in folders. Their paths are relative to the given ones.
///
/// # Errors
/// Errors if a file or a folder cannot be read, or if they are too many or too large.
pub fn read(paths: &[PathBuf], reporter: &dyn Reporter) -> Result<Vec<SourceFile>> {
    let mut found = Vec::new();
    for path in paths {
        list(path, path, 0, &mut found)?;
    }
    let progress = reporter.start_task("reading files", Some(found.len() as u64));
    let mut total_bytes = 0;
    let mut sources = Vec::new();
    for (name, path) in found {
        let bytes = files::read(&path, MAX_BYTES)?;
        total_bytes += bytes.len() as u64;
        ensure!(
            total_bytes <= MAX_BYTES,
            "expected the files of one examination, at most {MAX_BYTES} bytes, found more"
        );
        sources.push(SourceFile { path: name, bytes });
        progress.advance();
    }
    Ok(sources)
}

/// Lists a file, or the files in a folder.
fn list(root: &Path, path: &Path, depth: usize, found: &mut Vec<(String, PathBuf)>) -> Result<()> {
    if !path.is_dir() {
        let relative = path.strip_prefix(root).ok().filter(|p| !p.as_os_str().is_empty());
        let name = match relative {
            Some(relative) => relative.to_string_lossy().into_owned(),
            None => listing::file_name(path),
        };
        found.push((name, path.to_path_buf()));
        ensure!(
            found.len() <= MAX_FILES,
            "expected the files of one examination, at most {MAX_FILES}, found more"
        );
        return Ok(());
    }
    ensure!(
        depth < MAX_DEPTH,
        "expected folders at most {MAX_DEPTH} deep, found more in {}",
        root.display()
    );
    let entries = listing::entries(path).with_context(|| format!("in {}", root.display()))?;
    entries.iter().try_for_each(|(_, path)| list(root, path, depth + 1, found))
}
