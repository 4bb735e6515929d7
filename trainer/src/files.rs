//! Reading and writing files: whole, checked and never half written.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::links;

/// The largest scan or label file that is read: four channels of 512³ in f32 are half of it.
pub const MAX_SCAN_BYTES: u64 = 4 << 30;

/// The largest bundle that is read; model-core refuses larger ones too.
pub const MAX_BUNDLE_BYTES: u64 = 1 << 30;

/// A file's bytes, after its size was found acceptable.
///
/// # Errors
/// With the file's name: missing, unreadable, no file, or larger than `most_bytes`.
pub fn read(file: &Path, most_bytes: u64) -> Result<Vec<u8>> {
    let about = || format!("cannot read {}", file.display());
    let metadata = fs::metadata(file).map_err(|e| links::explained(e, file)).with_context(about)?;
    ensure!(metadata.is_file(), "cannot read {}: expected a file, found a folder", file.display());
    ensure!(
        metadata.len() <= most_bytes,
        "cannot read {}: expected at most {most_bytes} bytes, found {}",
        file.display(),
        metadata.len()
    );
    fs::read(file).with_context(about)
}

/// A file's first 64 KiB, and its length.
///
/// # Errors
/// With the file's name.
pub fn start(file: &Path) -> Result<(Vec<u8>, u64)> {
    let about = || format!("cannot read {}", file.display());
    let source = File::open(file).map_err(|e| links::explained(e, file)).with_context(about)?;
    let length = source.metadata().with_context(about)?.len();
    let mut start = Vec::new();
    source.take(1 << 16).read_to_end(&mut start).with_context(about)?;
    Ok((start, length))
}

/// Writes a file so that a kill at any moment leaves the old one or the new one: to a temporary
/// name, to the disk, then renamed.
///
/// # Errors
/// With the file's name.
pub fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    let part = write_part(file, bytes)?;
    name_part(&part, file)
}

/// The first half of [`write()`]: the file lies whole on the disk, under a temporary name.
///
/// # Errors
/// With the file's name; what was written of it is removed again, since a full disk needs the room.
pub fn write_part(file: &Path, bytes: &[u8]) -> Result<PathBuf> {
    let mut name = file.file_name().unwrap_or_default().to_os_string();
    name.push(".part");
    let part = file.with_file_name(name);
    let written = File::create(&part).and_then(|mut out| {
        out.write_all(bytes)?;
        out.sync_all()
    });
    if let Err(error) = written {
        // That it stays is no reason to hide why it could not be written.
        let _ = fs::remove_file(&part);
        return Err(error).with_context(|| format!("cannot write {}", file.display()));
    }
    Ok(part)
}

/// The second half of [`write()`]: gives the file its name, for good.
///
/// # Errors
/// With the file's name.
pub fn name_part(part: &Path, file: &Path) -> Result<()> {
    fs::rename(part, file).with_context(|| format!("cannot write {}", file.display()))?;
    sync_folder(file)
}

/// Makes renames in a file's folder last through a loss of power.
///
/// # Errors
/// With the file's name.
pub fn sync_folder(file: &Path) -> Result<()> {
    // Only Unix can open a folder to sync it; elsewhere the file system's journal has to do.
    if cfg!(unix)
        && let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty())
    {
        let folder = File::open(folder)?;
        folder.sync_all().with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// Makes a folder for output, refusing one that holds something already; `besides` are files that
/// do not matter.
///
/// # Errors
/// With the folder's name.
pub fn new_folder(folder: &Path, besides: &[&str]) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let about = || format!("cannot read {}", folder.display());
    for entry in fs::read_dir(folder).with_context(about)? {
        let name = entry.with_context(about)?.file_name();
        let name = name.to_string_lossy();
        ensure!(
            besides.contains(&name.strip_suffix(".part").unwrap_or(&name)),
            "expected --out to name a new or empty folder, found {name} in {}",
            folder.display()
        );
    }
    Ok(())
}

/// A digest as text.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A scan's name without folder and without `.nii` or `.nii.gz`.
pub fn case_name(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.strip_suffix(".nii").unwrap_or(name).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_names_have_no_ending() {
        assert_eq!(case_name(Path::new("a/b/case.01.nii.gz")), "case.01");
        assert_eq!(case_name(Path::new("case.nii")), "case");
    }
}
