//! Reading files with a size limit, and writing them whole or not at all.

pub mod links;
pub mod lock;
pub mod outputs;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::NamedTempFile;

/// The largest scan or label file that is read, twice four channels of 512³ voxels in f32.
pub const MAX_SCAN_BYTES: u64 = 4 << 30;

/// The largest bundle that is read. model-core has the same limit.
pub const MAX_BUNDLE_BYTES: u64 = 1 << 30;

/// Reads a file after checking its size.
///
/// # Errors
/// Errors with the name of a file that is missing, unreadable, a folder, or larger than `max_bytes`.
pub fn read(file: &Path, max_bytes: u64) -> Result<Vec<u8>> {
    let about = || format!("cannot read {}", file.display());
    let metadata = fs::metadata(file).map_err(|e| links::explained(e, file)).with_context(about)?;
    ensure!(metadata.is_file(), "cannot read {}: expected a file, found a folder", file.display());
    ensure!(
        metadata.len() <= max_bytes,
        "cannot read {}: expected at most {max_bytes} bytes, found {}",
        file.display(),
        metadata.len()
    );
    fs::read(file).with_context(about)
}

/// Returns a file's first 64 KiB, and its length.
///
/// # Errors
/// Errors with the file's name.
pub fn start(file: &Path) -> Result<(Vec<u8>, u64)> {
    let about = || format!("cannot read {}", file.display());
    let source = File::open(file).map_err(|e| links::explained(e, file)).with_context(about)?;
    let length = source.metadata().with_context(about)?.len();
    let mut start = Vec::new();
    source.take(1 << 16).read_to_end(&mut start).with_context(about)?;
    Ok((start, length))
}

/// The prefix and the suffix of an unfinished file's name. No other program uses such names, so no
/// other file is touched.
const PART: [&str; 2] = [".rewind-", "-part"];

/// The age from which an unfinished file in a shared folder is taken for that of a killed process.
pub const LEFT_OVER: Duration = Duration::from_secs(24 * 3600);

/// Writes a file under a temporary name and renames it, so that a kill at any moment leaves the old
/// file or the new one. A pipe or a device, such as `/dev/stdout`, is written directly.
///
/// Replaces any file of the name. [`crate::files::outputs`] checks whether it may be replaced.
///
/// # Errors
/// Errors with the file's name; the old file is then unchanged.
pub fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    let about = || format!("cannot write {}", file.display());
    if fs::metadata(file).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir()) {
        return fs::write(file, bytes).with_context(about);
    }
    let mut part = part(folder_of(file)).with_context(about)?;
    let out = part.as_file_mut();
    out.write_all(bytes).and_then(|()| out.sync_all()).with_context(about)?;
    part.persist(file).map_err(|error| error.error).with_context(about)?;
    sync_folder(file)
}

/// Creates a file with a temporary name and the usual permissions. The file is removed unless it is
/// renamed.
///
/// # Errors
/// Errors if the folder cannot be written to.
pub fn part(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PART[0]).suffix(PART[1]);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// Returns whether a name is that of an unfinished file.
pub fn is_part(name: &str) -> bool {
    name.starts_with(PART[0]) && name.ends_with(PART[1])
}

/// Removes the unfinished files of at least this age from a folder. The age is zero for a folder that
/// no other process writes into.
pub fn remove_parts(folder: &Path, age: Duration) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        let is_old =
            || age.is_zero() || changed.is_ok_and(|at| at.elapsed().is_ok_and(|a| a > age));
        if is_part(&entry.file_name().to_string_lossy()) && is_old() {
            // A leftover that cannot be removed does no harm.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Returns the folder of a file.
pub fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Checks that the disk of a folder has enough free space.
///
/// # Errors
/// Errors with the folder and both numbers.
pub fn check_space(folder: &Path, needed_bytes: u64, what: &str) -> Result<()> {
    // Some file systems do not report their free space. A full disk is then found on writing.
    let Ok(free_bytes) = fs4::available_space(folder) else { return Ok(()) };
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    ensure!(
        free_bytes >= needed_bytes,
        "expected {} MiB of free disk space for {what}, found {} (in {})",
        mib(needed_bytes),
        free_bytes >> 20,
        folder.display()
    );
    Ok(())
}

/// Returns whether an error is due to a full disk or quota.
pub fn is_full(error: &anyhow::Error) -> bool {
    let kinds = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge];
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|error| kinds.contains(&error.kind()))
}

/// Writes a checkpoint to the disk under a temporary name, the first step of [`write()`].
///
/// # Errors
/// Errors with the file's name. The unfinished file is removed, because a full disk needs the space.
pub fn write_part(file: &Path, bytes: &[u8]) -> Result<PathBuf> {
    let mut name = file.file_name().unwrap_or_default().to_os_string();
    name.push(".part");
    let part = file.with_file_name(name);
    let written = File::create(&part).and_then(|mut out| {
        out.write_all(bytes)?;
        out.sync_all()
    });
    if let Err(error) = written {
        // The error of writing matters more than that of removing.
        let _ = fs::remove_file(&part);
        return Err(error).with_context(|| format!("cannot write {}", file.display()));
    }
    Ok(part)
}

/// Renames the file of [`write_part`], and makes the name survive a loss of power.
///
/// # Errors
/// Errors with the file's name.
pub fn name_part(part: &Path, file: &Path) -> Result<()> {
    fs::rename(part, file).with_context(|| format!("cannot write {}", file.display()))?;
    sync_folder(file)
}

/// Makes renames in a file's folder survive a loss of power.
///
/// # Errors
/// Errors with the file's name.
pub fn sync_folder(file: &Path) -> Result<()> {
    // Only Unix can open a folder to sync it. Elsewhere the file system's journal must suffice.
    if cfg!(unix) {
        let synced = File::open(folder_of(file)).and_then(|folder| folder.sync_all());
        synced.with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// Creates a folder for output. An existing folder may hold only unfinished files and the `ignored`
/// ones.
///
/// # Errors
/// Errors with the folder's name.
pub fn new_folder(folder: &Path, ignored: &[&str]) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let about = || format!("cannot read {}", folder.display());
    for entry in fs::read_dir(folder).with_context(about)? {
        let name = entry.with_context(about)?.file_name();
        let name = name.to_string_lossy();
        ensure!(
            is_part(&name) || ignored.contains(&&*name),
            "expected --out to name a new or empty folder, found {name} in {}",
            folder.display()
        );
    }
    Ok(())
}

/// Returns a scan's name without folder and without `.nii` or `.nii.gz`.
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

    #[test]
    fn writing_a_file_touches_no_other_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["a.csv.part", ".a.csv.part", "a.csv~"] {
            fs::write(path(name), "another's").unwrap();
        }
        write(&path("a.csv"), b"ours").unwrap();
        assert_eq!(fs::read(path("a.csv")).unwrap(), b"ours");
        for name in ["a.csv.part", ".a.csv.part", "a.csv~"] {
            assert_eq!(fs::read(path(name)).unwrap(), b"another's", "{name}");
        }
        // With the permissions of any file, and nothing left where it cannot be written.
        let [found, usual] =
            ["a.csv", "a.csv~"].map(|n| fs::metadata(path(n)).unwrap().permissions());
        assert_eq!(found, usual);
        fs::create_dir_all(path("folder/full")).unwrap();
        assert!(write(&path("folder"), b"ours").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 5);
    }

    #[test]
    fn a_disk_with_too_little_space_is_refused_with_both_numbers() {
        let folder = tempfile::tempdir().unwrap();
        check_space(folder.path(), 0, "nothing").unwrap();
        let error = check_space(folder.path(), u64::MAX, "it").unwrap_err().to_string();
        assert!(error.contains("17592186044416 MiB of free disk space for it, found "), "{error}");
    }
}
