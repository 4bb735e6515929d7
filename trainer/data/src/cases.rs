//! The preprocessed cases of a data set.
//!
//! Each case is preprocessed once and stored in a cache on disk, which all runs share. Loaded cases
//! stay in memory up to a limit.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail, ensure};
use model_core::{
    Case, Input, LabelMap, Placement, PreprocessConfig, UNetConfig, preprocess, working_bytes,
};
use sha2::{Digest, Sha256};

use crate::data_set::{DataSet, LoadedCase, ScanBytes, WarningCounts};
use trainer_run::config::TrainConfig;
use trainer_run::reporter::Reporter;

mod cache_format;
mod case_cache;
mod fill;
mod folder;

pub use case_cache::CacheGuard;
use case_cache::CaseCache;
use folder::CacheFolder;

/// The largest number of foreground voxels per label that are stored to center patches on.
const MAX_CENTERS: usize = 20_000;

/// Memory for writing a case, besides the case and its patch centers: a buffer and the description.
const WRITING_BYTES: u64 = 1 << 20;

/// Memory for the patch centers of one label: once as they are found, once as they are written.
const CENTERS_BYTES: u64 = 8 * MAX_CENTERS as u64;

/// A case that is ready for training and validation.
#[derive(Debug, Clone, PartialEq)]
pub struct PreparedCase {
    /// The network's input.
    pub input: Input,
    /// Label codes on the input's grid.
    pub labels: Vec<u8>,
    /// For each label that is present, the indices in `labels` of some of its voxels.
    pub centers_by_label: Vec<Vec<u32>>,
    /// Maps predictions back to the scan's grid.
    pub placement: Placement,
}

/// The preprocessed cases of a data set.
#[derive(Clone)]
pub struct Cases {
    shared: Arc<Shared>,
    /// SHA-256 over the digests of all cases, in the data set's order, in hexadecimal.
    pub fingerprint: String,
}

struct Shared {
    data_set: DataSet,
    preprocess: PreprocessConfig,
    network: UNetConfig,
    folder: CacheFolder,
    cached: Vec<Cached>,
    case_cache: Arc<CaseCache<PreparedCase>>,
    /// Warnings about the files that were read.
    warnings: WarningCounts,
    /// Whether a message has reported that the cache can no longer be written.
    is_unwritable: AtomicBool,
    reporter: Arc<dyn Reporter>,
}

/// A case in the cache.
struct Cached {
    digest: [u8; 32],
    file: PathBuf,
    /// Memory that the loaded case takes.
    bytes: u64,
}

impl Cases {
    /// Preprocesses, in parallel, the cases that the cache lacks.
    ///
    /// This finds every bad file before training starts. Returns `None` if `stop` was set
    /// meanwhile; the cases that were finished by then stay in the cache.
    ///
    /// # Errors
    /// Errors with the names of all bad files, if the cache cannot be used, or if the memory limit
    /// is too small for a case.
    pub fn open(
        data_set: DataSet,
        config: &TrainConfig,
        network: &UNetConfig,
        stop: &AtomicBool,
        reporter: Arc<dyn Reporter>,
    ) -> Result<Option<Cases>> {
        let folder = CacheFolder::open(config.cache.as_deref())?;
        // The conversion of a float saturates at the ends of u64.
        let max_bytes = (config.memory_gib * (1u64 << 30) as f64) as u64;
        let shared = Shared {
            data_set,
            preprocess: config.preprocess.clone(),
            network: network.clone(),
            folder,
            cached: Vec::new(),
            case_cache: CaseCache::new(max_bytes),
            warnings: WarningCounts::default(),
            is_unwritable: AtomicBool::new(false),
            reporter,
        };
        let Some(cached) = fill::fill_cache(&shared, stop)? else { return Ok(None) };
        let mut all = Sha256::new();
        cached.iter().for_each(|cached| all.update(cached.digest));
        let fingerprint = hex::encode(all.finalize());
        Ok(Some(Cases { shared: Arc::new(Shared { cached, ..shared }), fingerprint }))
    }

    /// Returns the number of cases.
    pub fn len(&self) -> usize {
        self.shared.cached.len()
    }

    /// Returns whether there are no cases.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns a case's name.
    pub fn name(&self, number: usize) -> &str {
        &self.shared.data_set.cases[number].name
    }

    /// Returns the memory that all cases would take together.
    pub fn bytes(&self) -> u64 {
        self.shared.cached.iter().map(|cached| cached.bytes).sum()
    }

    /// Loads a case from memory or from the cache.
    ///
    /// The case counts towards the memory limit until the returned guard is dropped. A thread must
    /// hold at most one guard at a time: with more it could wait for itself.
    ///
    /// # Errors
    /// Errors if the cached file is missing or damaged and the case's own files cannot be read or
    /// have changed.
    pub fn load(&self, number: usize) -> Result<CacheGuard<PreparedCase>> {
        let Shared { cached, case_cache, .. } = &*self.shared;
        let Cached { digest, file, bytes } = &cached[number];
        let read = || Ok((cache_format::read(file)?, *bytes));
        case_cache.get(number, *bytes, read).or_else(|error| {
            self.log_preprocessing_again(number, &error);
            let working_bytes = self.shared.working_bytes(number)?;
            case_cache.get(number, working_bytes, || {
                let prepared = self.shared.preprocess_again(number, file, digest)?.0;
                let bytes = prepared.bytes();
                Ok((prepared, bytes))
            })
        })
    }

    /// Reads a case's labels on its scan's grid from the cache.
    ///
    /// # Errors
    /// See [`Cases::load`].
    pub fn reference(&self, number: usize) -> Result<LabelMap> {
        let Cached { digest, file, .. } = &self.shared.cached[number];
        cache_format::read_reference(file).or_else(|error| {
            self.log_preprocessing_again(number, &error);
            let _room = self.shared.case_cache.reserve(self.shared.working_bytes(number)?);
            Ok(self.shared.preprocess_again(number, file, digest)?.1)
        })
    }

    fn log_preprocessing_again(&self, number: usize, error: &anyhow::Error) {
        if self.shared.is_unwritable.load(Ordering::Relaxed) {
            return;
        }
        let name = self.name(number);
        let text = format!("{name}: preprocessing it again, its cache file is unusable: {error:#}");
        self.shared.reporter.message(&text);
    }
}

impl Shared {
    /// Reads and preprocesses a case. Errors if its files do not have the `expected` digest.
    fn make(&self, number: usize, expected: &[u8; 32]) -> Result<(PreparedCase, LabelMap)> {
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
    fn preprocess_again(
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
    fn working_bytes(&self, number: usize) -> Result<u64> {
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

    fn check_memory_limit(&self, number: usize, bytes: u64) -> Result<()> {
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
struct MemoryLimitTooSmall {
    needed_bytes: u64,
    max_bytes: u64,
    name: String,
}

/// Converts MiB to GiB, rounded up to thousandths.
fn gib(mib: u64) -> f64 {
    (mib as f64 / 1.024).ceil() / 1000.0
}

impl PreparedCase {
    fn bytes(&self) -> u64 {
        let centers: usize = self.centers_by_label.iter().map(Vec::len).sum();
        (4 * self.input.values.len() + self.labels.len() + 4 * centers) as u64
    }
}

/// Preprocesses a case with labels. Returns the labels on the scan's grid too.
///
/// # Errors
/// Errors if the case has no labels or cannot be preprocessed.
pub fn prepare_case(
    case: Case,
    config: &PreprocessConfig,
    network: &UNetConfig,
) -> Result<(PreparedCase, LabelMap)> {
    let (channels, labels) = case.into_channels_and_labels();
    let reference = labels.context("expected labels, found none")?;
    let (input, placement) = preprocess(&channels, config, network)?;
    drop(channels);
    let labels = placement.place_labels(&reference);
    let mut counts = [0usize; 256];
    labels.iter().for_each(|&code| counts[usize::from(code)] += 1);
    // Every n-th voxel of a label, starting with its first.
    let steps = counts.map(|count| count.div_ceil(MAX_CENTERS));
    let mut seen = [0usize; 256];
    let mut centers_by_label: Vec<Vec<u32>> = vec![Vec::new(); 256];
    for (place, &code) in labels.iter().enumerate().filter(|(_, code)| **code != 0) {
        let code = usize::from(code);
        if seen[code].is_multiple_of(steps[code]) {
            centers_by_label[code].push(place as u32);
        }
        seen[code] += 1;
    }
    centers_by_label.retain(|places| !places.is_empty());
    centers_by_label.iter_mut().for_each(Vec::shrink_to_fit);
    Ok((PreparedCase { input, labels, centers_by_label, placement }, reference))
}
