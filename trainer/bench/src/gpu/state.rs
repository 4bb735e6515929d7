//! The run folder of a training that was cut short, packed in one file.

use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use trainer_run::files;
use trainer_train::checkpoint::{LAST, PREVIOUS};

/// The largest packed state that is read.
const MAX_BYTES: u64 = 64 << 20;
/// Says which item a folder is of.
const ITEM: &str = "item";

/// A folder that is removed when it is dropped.
pub struct Folder(std::path::PathBuf);

impl Folder {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A new folder with the state of an item, or an empty one where the file has none of it.
///
/// # Errors
/// When no folder can be made, or the file is none that [`pack`] wrote.
pub fn unpack(file: &Path, item: &str) -> Result<Folder> {
    let folder = std::env::temp_dir().join(format!("rewind-bench-gpu-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let folder = Folder(folder);
    if file.exists() {
        let bytes = files::read(file, MAX_BYTES)?;
        // The archive's own names cannot lead out of the folder: the crate refuses those that would.
        tar::Archive::new(GzDecoder::new(&bytes[..]).take(4 * MAX_BYTES))
            .unpack(folder.path())
            .with_context(|| format!("expected the state of a training in {}", file.display()))?;
        if fs::read_to_string(folder.path().join(ITEM)).is_ok_and(|found| found != item) {
            fs::remove_dir_all(folder.path())?;
            fs::create_dir_all(folder.path())?;
        }
    }
    Ok(folder)
}

/// How far a training has come whose state was unpacked into a folder, as a hash of its last checkpoint,
/// where it has one; none where no state was.
pub fn reached(folder: &Path) -> Option<Option<[u8; 32]>> {
    let last = || fs::read(folder.join("run").join(LAST)).ok();
    folder.join(ITEM).exists().then(|| last().map(|bytes| Sha256::digest(bytes).into()))
}

/// Packs the folder of an item.
///
/// # Errors
/// When it cannot be read, or the file not be written.
pub fn pack(folder: &Path, file: &Path, item: &str) -> Result<()> {
    fs::write(folder.join(ITEM), item)?;
    // The checkpoint before the last is there for a kill between two renames, which is past.
    let run = folder.join("run");
    if run.join(LAST).exists() {
        let _ = fs::remove_file(run.join(PREVIOUS));
    }
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    archive.append_dir_all(".", folder)?;
    files::write(file, &archive.into_inner()?.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_for_its_own_item_alone() {
        let place = tempfile::tempdir().unwrap();
        let (folder, file) = (place.path().join("folder"), place.path().join("state"));
        fs::create_dir_all(folder.join("run")).unwrap();
        fs::write(folder.join("run/last"), "weights").unwrap();
        pack(&folder, &file, "fold 1").unwrap();
        let back = unpack(&file, "fold 1").unwrap();
        assert_eq!(fs::read_to_string(back.path().join("run/last")).unwrap(), "weights");
        assert_eq!(reached(back.path()), Some(None));
        fs::write(back.path().join("run").join(LAST), "5 steps").unwrap();
        let first = reached(back.path());
        fs::write(back.path().join("run").join(LAST), "6 steps").unwrap();
        assert!(first != Some(None) && reached(back.path()) != first);
        drop(back);
        let other = unpack(&file, "fold 2").unwrap();
        assert!(!other.path().join("run").exists() && reached(other.path()).is_none());
        drop(other);
        fs::write(&file, "no archive").unwrap();
        assert!(unpack(&file, "fold 1").is_err());
    }
}
