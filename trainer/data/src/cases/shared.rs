//! The state that loading and filling the cache share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail, ensure};
use model_core::{LabelMap, PreprocessConfig, UNetConfig, working_bytes};

use super::case_cache::CaseCache;
use super::folder::CacheFolder;
use super::prepared_case::{MAX_CENTERS, PreparedCase, prepare_case};
use crate::data_set::{DataSet, LoadedCase, ScanBytes, WarningCounts};
use trainer_run::reporter::Reporter;

/// Memory for writing a case, besides the case and its patch centers: a buffer and the description.
const WRITING_BYTES: u64 = 1 << 20;

/// Memory for the patch centers of one label: once as they are found, once as they are written.
const CENTERS_BYTES: u64 = 8 * MAX_CENTERS as u64;

pub struct Shared {
    pub data_set: DataSet,
    pub preprocess: PreprocessConfig,
    pub network: UNetConfig,
    pub folder: CacheFolder,
    pub cached: Vec<Cached>,
    pub case_cache: Arc<CaseCache<PreparedCase>>,
    /// Warnings about the files that were read.
    pub warnings: WarningCounts,
    /// Whether a message has reported that the cache can no longer be written.
    pub is_unwritable: AtomicBool,
    pub reporter: Arc<dyn Reporter>,
}

/// A case in the cache.
pub struct Cached {
    pub digest: [u8; 32],
    pub file: PathBuf,
    /// Memory that the loaded case takes.
    pub bytes: u64,
}

impl Shared {
    /// Reads and preprocesses a case. Errors if its files do not have the `expected` digest.
    pub fn make(&self, number: usize, expected: &[u8; 32]) -> Result<(PreparedCase, LabelMap)> {
        let case_files = &self.data_set.cases[number];
        let LoadedCase { case, digest, warnings } = self.data_set.read(number)?;
        warnings.iter().for_each(|(text, file)| self.warnings.add(text, file));
        if digest != *expected {
            // The remembered digest could be that of the previous files with the same stamp.
            self.folder.forget(case_files);
            bail!(
                "expected files that stay as they are, found files that changed since they were first \
                 read (in {})",
                case_files.name
            );
        }
        prepare_case(case, &self.preprocess, &self.network)
            .with_context(|| format!("in the case {}", case_files.name))
    }

    /// Preprocesses a case again during a run, because its cache file is lost, and writes that
    /// file. If the cache cannot be written any more, the run goes on without it.
    pub fn preprocess_again(
        &self,
        number: usize,
        file: &Path,
        digest: &[u8; 32],
    ) -> Result<(PreparedCase, LabelMap)> {
        let (prepared, reference) = self.make(number, digest)?;
        let written = self.folder.write(file, &prepared, &reference);
        if let Err(error) = written
            && !self.is_unwritable.swap(true, Ordering::Relaxed)
        {
            let text = format!("{error}; continuing without the cache, which takes longer");
            self.reporter.message(&text);
        }
        Ok((prepared, reference))
    }

    /// Returns the memory that preprocessing a case takes, from its headers. Errors if the memory
    /// limit is lower.
    pub fn working_bytes(&self, number: usize) -> Result<u64> {
        let case_files = &self.data_set.cases[number];
        let (mut largest, mut channels, mut grid) = (0, 0, None);
        for image in &case_files.images {
            let (header, length) = ScanBytes::read_header(image)?;
            largest = length.max(largest);
            // Reading the file reports what is wrong with its header.
            if let Some((found, count)) = header {
                channels += count;
                grid.get_or_insert(found);
            }
        }
        if let Some(label) = &case_files.label {
            largest = ScanBytes::working_bytes(label, |voxels, _| voxels)?.max(largest);
        }
        let bytes = match grid {
            // While the last file is read, the other channels are decoded, but not copied yet.
            Some(grid) => {
                let decoded = (4 * channels as u64).saturating_mul(grid.num_voxels() as u64);
                working_bytes(&grid, channels, &self.preprocess, &self.network)
                    .max(decoded.saturating_add(largest))
            }
            // Reading refuses the file at its header.
            None => largest,
        };
        let num_labels = self.data_set.task.labels.len() as u64 + 1;
        let bytes = bytes.saturating_add(WRITING_BYTES + CENTERS_BYTES * num_labels);
        self.check_memory_limit(number, bytes)?;
        Ok(bytes)
    }

    pub fn check_memory_limit(&self, number: usize, bytes: u64) -> Result<()> {
        let name = &self.data_set.cases[number].name;
        let fits = bytes <= self.case_cache.max_bytes();
        ensure!(
            fits,
            MemoryLimitTooSmall {
                needed_bytes: bytes,
                max_bytes: self.case_cache.max_bytes(),
                name: name.clone()
            }
        );
        Ok(())
    }
}

/// The memory limit is too small for a case.
#[derive(Debug, thiserror::Error)]
#[error(
    "expected memory_gib of at least {}, found {} (for {name})",
    gib(.needed_bytes.div_ceil(1 << 20)), gib(.max_bytes >> 20)
)]
pub struct MemoryLimitTooSmall {
    pub needed_bytes: u64,
    pub max_bytes: u64,
    pub name: String,
}

/// Converts MiB to GiB, rounded up to thousandths.
fn gib(mib: u64) -> f64 {
    (mib as f64 / 1.024).ceil() / 1000.0
}
