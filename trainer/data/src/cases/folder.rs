//! The folder of the cache on disk.
//!
//! `cases/` holds one file a case. `digests/` remembers the SHA-256 of the scans' files by their
//! path, size and times, so that unchanged scans are not read again.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result, ensure};
use model_core::{LabelMap, PreprocessConfig, Task, UNetConfig};
use sha2::{Digest, Sha256};

use super::cache_format;
use super::prepared_case::PreparedCase;
use crate::data_set::CaseFiles;
use trainer_run::files;
use trainer_run::files::links;

/// The environment variable that names the folder if the settings do not.
const VARIABLE: &str = "REWIND_CACHE";

/// Part of every cache key. It must change with every change of the preprocessing or of the file
/// format, so that no outdated case is used.
const VERSION: u32 = 2;

/// Extension of a case's file. Files with other names are temporary.
const ENDING: &str = "safetensors";

/// Marks the folder as a cache for backup programs (<https://bford.info/cachedir/>).
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # Scans that rewind has preprocessed, so that training need not wait for them. Removing this\n\
    # folder is always safe; what is needed of it is made again.\n";

/// Name of the tag file.
const TAG_FILE: &str = "CACHEDIR.TAG";

/// The options that choose another folder, for error texts.
const SETTING: &str = "--set cache=FOLDER, or $REWIND_CACHE,";

/// The cache cannot be written. No case is at fault.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the cache: {why}; {SETTING} chooses another folder (in {})", .folder.display())]
pub(super) struct CacheError {
    why: String,
    folder: PathBuf,
}

impl CacheError {
    fn new(folder: &Path, error: io::Error) -> CacheError {
        let advice = match error.kind() {
            ErrorKind::StorageFull => "its disk is full: ",
            ErrorKind::QuotaExceeded => "the user's quota is used up: ",
            ErrorKind::PermissionDenied => "it may belong to another user: ",
            ErrorKind::ReadOnlyFilesystem => "its disk is read-only: ",
            _ => "",
        };
        CacheError { why: format!("{advice}{error}"), folder: folder.to_path_buf() }
    }
}

/// The cache's folder.
pub(super) struct CacheFolder(PathBuf);

impl CacheFolder {
    /// Opens the `given` folder, else `$REWIND_CACHE`, else the user's cache folder. Creates it if
    /// it does not exist.
    ///
    /// # Errors
    /// Errors if no folder is known, if it cannot be created, or if it holds other files.
    pub fn open(given: Option<&Path>) -> Result<CacheFolder> {
        let own = || dirs::cache_dir().map(|folder| folder.join("rewind"));
        let variable = || std::env::var_os(VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from);
        let folder =
            given.map(PathBuf::from).or_else(variable).or_else(own).with_context(|| {
                format!("expected a folder for preprocessed cases: set cache, or ${VARIABLE}")
            })?;
        let folder = CacheFolder(folder);
        folder.refuse_foreign_folder()?;
        folder.make()?;
        files::remove_parts(&folder.0.join("cases"), files::LEFT_OVER);
        Ok(folder)
    }

    /// Refuses a folder that holds other files. The cache is called safe to remove, backup programs
    /// skip it, and its temporary files are deleted.
    fn refuse_foreign_folder(&self) -> Result<()> {
        let is_tagged = || {
            let tag = fs::read_to_string(self.0.join(TAG_FILE)).unwrap_or_default();
            tag.starts_with(&TAG[..43]) && tag.contains("rewind")
        };
        if is_tagged() {
            return Ok(());
        }
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(|error| CacheError::new(&self.0, error))?,
        };
        for entry in entries {
            let name = entry.map_err(|error| CacheError::new(&self.0, error))?.file_name();
            let name = name.to_string_lossy();
            ensure!(
                // Another run may have created the cache meanwhile.
                files::is_part(&name) || is_tagged(),
                "expected a new or empty folder for the cache, or one that Rewind made, found {name} in \
                 it; {SETTING} chooses another (in {})",
                self.0.display()
            );
        }
        Ok(())
    }

    /// Creates the folder, also if it was removed since it was opened.
    fn make(&self) -> Result<(), CacheError> {
        let made = || -> io::Result<()> {
            fs::create_dir_all(&self.0)?;
            let tag = self.0.join(TAG_FILE);
            if !tag.exists() {
                // Before anything else, and atomically: the tag must be there before other files.
                let mut part = files::part(&self.0)?;
                part.write_all(TAG.as_bytes())?;
                part.persist(tag)?;
            }
            fs::create_dir_all(self.0.join("cases"))?;
            fs::create_dir_all(self.0.join("digests"))
        };
        made().map_err(|error| CacheError::new(&self.0, error))
    }

    /// Returns the folder's path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the number of cached cases and their bytes.
    pub fn size(&self) -> [u64; 2] {
        let whole = self.files().filter(|file| is_case(file));
        let sizes = whole.map(|file| file.metadata().map_or(0, |metadata| metadata.len()));
        sizes.fold([0, 0], |[count, bytes], size| [count + 1, bytes + size])
    }

    fn files(&self) -> impl Iterator<Item = PathBuf> {
        let entries = fs::read_dir(self.0.join("cases"));
        entries.into_iter().flatten().flatten().map(|entry| entry.path())
    }

    /// Returns the path of a case's file. Its name is a hash of everything that decides its
    /// content.
    pub fn case_file(
        &self,
        digest: &[u8; 32],
        task: &Task,
        preprocess: &PreprocessConfig,
        network: &UNetConfig,
    ) -> PathBuf {
        let sizes = (network.in_channels(), network.size_multiple(), network.min_size());
        let key = serde_json::to_vec(&(VERSION, digest, task, preprocess, sizes));
        let key = Sha256::digest(key.expect("settings are plain values"));
        self.0.join("cases").join(format!("{}.{ENDING}", hex::encode(key)))
    }

    /// Writes a case, also if the folder was removed since it was opened.
    ///
    /// The file is not synced: checksums detect what a power failure leaves.
    ///
    /// # Errors
    /// Errors if the cache cannot be written.
    pub fn write(
        &self,
        file: &Path,
        prepared: &PreparedCase,
        reference: &LabelMap,
    ) -> Result<(), CacheError> {
        let write = || cache_format::write(file, prepared, reference);
        match write() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.make()?;
                write()
            }
            written => written,
        }
        .map_err(|error| CacheError::new(&self.0, error))
    }

    /// Returns the SHA-256 over a case's files. It is remembered as long as their stamp is the
    /// same.
    ///
    /// # Errors
    /// Errors with the name of a file that cannot be read.
    pub fn digest(&self, case: &CaseFiles) -> Result<[u8; 32]> {
        let stamp = stamp(case)?;
        let file = self.digest_file(&stamp);
        let check =
            |digest: &[u8]| Sha256::new().chain_update(stamp).chain_update(digest).finalize();
        if let Ok(bytes) = fs::read(&file)
            && let Some((digest, sum)) = bytes.split_first_chunk::<32>()
            && check(digest)[..] == *sum
        {
            return Ok(*digest);
        }
        let digest = hash_content(case)?;
        // Errors do no harm: a partial file fails its checksum, and a missing one means that the
        // scans are read again next time.
        let _ = fs::write(&file, [&digest[..], &check(&digest)].concat());
        Ok(digest)
    }

    /// Forgets the remembered digest of a case's files.
    pub fn forget(&self, case: &CaseFiles) {
        if let Ok(stamp) = stamp(case) {
            // A missing file is forgotten already.
            let _ = fs::remove_file(self.digest_file(&stamp));
        }
    }

    fn digest_file(&self, stamp: &[u8; 32]) -> PathBuf {
        self.0.join("digests").join(hex::encode(stamp))
    }
}

fn is_case(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == ENDING)
}

/// Hashes the paths, sizes and times of a case's files. The hash hides the names.
///
/// A copy that keeps the modification time is recognized by its inode and change time on Unix.
///
/// # Errors
/// Errors with the name of a missing file.
fn stamp(case: &CaseFiles) -> Result<[u8; 32]> {
    let mut all = Sha256::new();
    for file in case.files() {
        let about = || format!("cannot read {}", file.display());
        let metadata = fs::metadata(&file).map_err(|error| links::explained(error, &file));
        let metadata = metadata.with_context(about)?;
        let changed = metadata.modified().with_context(about)?;
        let changed = changed.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let path = std::path::absolute(&file).with_context(about)?;
        let path = path.as_os_str().as_encoded_bytes();
        all.update((path.len() as u64).to_le_bytes());
        all.update(path);
        all.update(metadata.len().to_le_bytes());
        all.update(changed.to_le_bytes());
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            all.update(metadata.ino().to_le_bytes());
            all.update(metadata.ctime().to_le_bytes());
            all.update(metadata.ctime_nsec().to_le_bytes());
        }
    }
    Ok(all.finalize().into())
}

/// Returns the SHA-256 over the concatenated contents of the files.
fn hash_content(case: &CaseFiles) -> Result<[u8; 32]> {
    let mut all = Sha256::new();
    let mut chunk = vec![0; 1 << 16];
    for file in case.files() {
        let about = || format!("cannot read {}", file.display());
        let mut source = File::open(&file).with_context(about)?;
        loop {
            match source.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => all.update(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).with_context(about),
            }
        }
    }
    Ok(all.finalize().into())
}
