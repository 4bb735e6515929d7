//! The preprocessed cases of a data set: made once, kept in a cache on disk that runs share, and in
//! memory up to a bound.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail, ensure};
use indicatif::ProgressBar;
use model_core::{
    Case, Input, LabelMap, Placement, PreprocessConfig, UNetConfig, preprocess, working_bytes,
};
use sha2::{Digest, Sha256};

use crate::data_set::{DataSet, LoadedCase, ScanBytes, WarningCounts};
use trainer_run::config::TrainConfig;
use trainer_run::files::hexadecimal;
use trainer_run::progress;

mod cache_format;
mod case_cache;
mod fill;
mod folder;

use case_cache::CaseCache;
pub use case_cache::Loaded;
use folder::CacheFolder;

/// Foreground voxels that are kept for each label to center patches on.
const MAX_CENTERS: usize = 20_000;

/// What writing a case takes besides it and its places: a buffer, and its description.
const WRITING_BYTES: u64 = 1 << 20;

/// What the places to center patches on take for each label: found, then written in one.
const CENTERS_BYTES: u64 = 8 * MAX_CENTERS as u64;

/// A case ready for training and for being measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// The network's input.
    pub input: Input,
    /// Labels on the input's grid, codes.
    pub labels: Vec<u8>,
    /// For each label that is present, some of its voxels' places in `labels`.
    pub foreground: Vec<Vec<u32>>,
    /// Leads predictions back to the scan's grid.
    pub placement: Placement,
}

/// The preprocessed cases of a data set.
#[derive(Clone)]
pub struct Cases {
    shared: Arc<Shared>,
    /// SHA-256 over every file, in the data set's order, in hexadecimal.
    pub fingerprint: String,
}

struct Shared {
    data_set: DataSet,
    preprocess: PreprocessConfig,
    network: UNetConfig,
    folder: CacheFolder,
    cached: Vec<Cached>,
    store: Arc<CaseCache<Prepared>>,
    /// About the files that were read.
    warnings: WarningCounts,
    /// Whether it was said that the cache can no longer be written.
    is_lost: AtomicBool,
}

/// A case in the cache.
struct Cached {
    digest: [u8; 32],
    file: PathBuf,
    /// What it takes in memory.
    bytes: u64,
}

impl Cases {
    /// Preprocesses the cases that the cache does not hold yet, in parallel, so that a bad file is
    /// named before training starts; none when stopped on the way, and what is done by then stays
    /// done.
    ///
    /// # Errors
    /// Names every bad file; a cache that cannot be used; a bound on memory that no case fits.
    pub fn open(
        data_set: DataSet,
        config: &TrainConfig,
        network: &UNetConfig,
        stop: &AtomicBool,
    ) -> Result<Option<Cases>> {
        network.check()?;
        config.preprocess.check()?;
        let folder = CacheFolder::open(config.cache.as_deref())?;
        // A float becomes the nearest integer that a u64 holds.
        let bound = (config.memory_gib * (1u64 << 30) as f64) as u64;
        let shared = Shared {
            data_set,
            preprocess: config.preprocess.clone(),
            network: network.clone(),
            folder,
            cached: Vec::new(),
            store: CaseCache::new(bound),
            warnings: WarningCounts::default(),
            is_lost: AtomicBool::new(false),
        };
        let Some(cached) = fill::fill(&shared, stop)? else { return Ok(None) };
        let mut all = Sha256::new();
        cached.iter().for_each(|cached| all.update(cached.digest));
        let fingerprint = hexadecimal(&all.finalize());
        Ok(Some(Cases { shared: Arc::new(Shared { cached, ..shared }), fingerprint }))
    }

    /// Number of cases.
    pub fn len(&self) -> usize {
        self.shared.cached.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A case's name.
    pub fn name(&self, number: usize) -> &str {
        &self.shared.data_set.cases[number].name
    }

    /// What the cases take in memory together, were all of them kept.
    pub fn bytes(&self) -> u64 {
        self.shared.cached.iter().map(|cached| cached.bytes).sum()
    }

    /// A case, from memory or from the cache; its part of the bound is in use until it is dropped.
    /// A thread holds one at a time: with more it could wait for itself.
    ///
    /// # Errors
    /// When the cache no longer holds it whole, and its files can no longer be read either, or are
    /// others now.
    pub fn load(&self, number: usize) -> Result<Loaded<Prepared>> {
        let Shared { cached, store, .. } = &*self.shared;
        let Cached { digest, file, bytes } = &cached[number];
        let read = || Ok((cache_format::read(file)?, *bytes));
        store.get(number, *bytes, read).or_else(|error| {
            self.say_again(number, &error);
            let working_bytes = self.shared.working_bytes(number)?;
            store.get(number, working_bytes, || {
                let prepared = self.shared.make_again(number, file, digest)?.0;
                let bytes = prepared.bytes();
                Ok((prepared, bytes))
            })
        })
    }

    /// A case's labels on its scan's grid, from the cache.
    ///
    /// # Errors
    /// As [`Cases::load`].
    pub fn reference(&self, number: usize) -> Result<LabelMap> {
        let Cached { digest, file, .. } = &self.shared.cached[number];
        cache_format::read_reference(file).or_else(|error| {
            self.say_again(number, &error);
            let _room = self.shared.store.reserve(self.shared.working_bytes(number)?);
            Ok(self.shared.make_again(number, file, digest)?.1)
        })
    }

    fn say_again(&self, number: usize, error: &anyhow::Error) {
        if self.shared.is_lost.load(Ordering::Relaxed) {
            return;
        }
        let name = self.name(number);
        let text = format!("{name} is made again, since its cache cannot be used: {error:#}");
        progress::line(&ProgressBar::hidden(), text);
    }
}

impl Shared {
    /// Preprocesses a case whose files have this digest.
    fn make(&self, number: usize, expected: &[u8; 32]) -> Result<(Prepared, LabelMap)> {
        let case_files = &self.data_set.cases[number];
        let LoadedCase { case, digest, warnings } = self.data_set.read(number)?;
        warnings.iter().for_each(|(text, file)| self.warnings.add(text, file));
        if digest != *expected {
            // What is remembered of them could be of the files before, under the same stamp.
            self.folder.forget(case_files);
            bail!(
                "expected files that stay as they are, found others since they were first read (in \
                 {})",
                case_files.name
            );
        }
        prepare(case, &self.preprocess, &self.network)
            .with_context(|| format!("in the case {}", case_files.name))
    }

    /// The same for a run on its way, which has lost the case's file and writes it again. Where the
    /// cache cannot be written any more it goes on without.
    fn make_again(
        &self,
        number: usize,
        file: &Path,
        digest: &[u8; 32],
    ) -> Result<(Prepared, LabelMap)> {
        let (prepared, reference) = self.make(number, digest)?;
        let written = self.folder.write(file, &prepared, &reference);
        if let Err(error) = written
            && !self.is_lost.swap(true, Ordering::Relaxed)
        {
            let text = format!("{error}; going on without, which takes longer");
            progress::line(&ProgressBar::hidden(), text);
        }
        Ok((prepared, reference))
    }

    /// What preprocessing a case takes in memory, from its header; refused where the bound is less.
    fn working_bytes(&self, number: usize) -> Result<u64> {
        let case_files = &self.data_set.cases[number];
        let (mut largest, mut channels, mut grid) = (0, 0, None);
        for image in &case_files.images {
            let (head, length) = ScanBytes::head(image)?;
            largest = length.max(largest);
            // What is wrong with a header is said when the file is read.
            if let Some((found, count)) = head {
                channels += count;
                grid.get_or_insert(found);
            }
        }
        if let Some(label) = &case_files.label {
            largest = ScanBytes::working_bytes(label, |voxels, _| voxels)?.max(largest);
        }
        let bytes = match grid {
            // While the last file is read, the other channels are there, but no copies yet.
            Some(grid) => {
                let decoded = (4 * channels as u64).saturating_mul(grid.num_voxels() as u64);
                working_bytes(&grid, channels, &self.preprocess, &self.network)
                    .max(decoded.saturating_add(largest))
            }
            // Refused at its header.
            None => largest,
        };
        let num_labels = self.data_set.task.labels.len() as u64 + 1;
        let bytes = bytes.saturating_add(WRITING_BYTES + CENTERS_BYTES * num_labels);
        self.check_fits(number, bytes)?;
        Ok(bytes)
    }

    fn check_fits(&self, number: usize, bytes: u64) -> Result<()> {
        let name = &self.data_set.cases[number].name;
        let fits = bytes <= self.store.bound();
        ensure!(
            fits,
            TooSmall { needed_bytes: bytes, bound: self.store.bound(), name: name.clone() }
        );
        Ok(())
    }
}

/// A bound on memory that a case does not fit.
#[derive(Debug, thiserror::Error)]
#[error(
    "expected memory_gib of at least {}, found {} (for {name})",
    gib(.needed_bytes.div_ceil(1 << 20)), gib(.bound >> 20)
)]
struct TooSmall {
    needed_bytes: u64,
    bound: u64,
    name: String,
}

/// MiB as GiB, not rounded down.
fn gib(mib: u64) -> f64 {
    (mib as f64 / 1.024).ceil() / 1000.0
}

impl Prepared {
    fn bytes(&self) -> u64 {
        let centers: usize = self.foreground.iter().map(Vec::len).sum();
        (4 * self.input.values.len() + self.labels.len() + 4 * centers) as u64
    }
}

/// Preprocesses a case that has labels, and gives these as they are on the scan's grid too.
///
/// # Errors
/// When the preprocessing cannot be applied to it.
pub fn prepare(
    case: Case,
    config: &PreprocessConfig,
    network: &UNetConfig,
) -> Result<(Prepared, LabelMap)> {
    let reference = case.labels.context("expected labels, found none")?;
    let (input, placement) = preprocess(&case.channels, config, network)?;
    drop(case.channels);
    let labels = placement.place_labels(&reference);
    let mut counts = [0usize; 256];
    labels.iter().for_each(|&code| counts[usize::from(code)] += 1);
    // Every so many voxels of a label, the first one in any case.
    let steps = counts.map(|count| count.div_ceil(MAX_CENTERS));
    let mut seen = [0usize; 256];
    let mut foreground: Vec<Vec<u32>> = vec![Vec::new(); 256];
    for (place, &code) in labels.iter().enumerate().filter(|(_, code)| **code != 0) {
        let code = usize::from(code);
        if seen[code].is_multiple_of(steps[code]) {
            foreground[code].push(place as u32);
        }
        seen[code] += 1;
    }
    foreground.retain(|places| !places.is_empty());
    foreground.iter_mut().for_each(Vec::shrink_to_fit);
    Ok((Prepared { input, labels, foreground, placement }, reference))
}
