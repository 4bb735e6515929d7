//! The preprocessed cases of a data set.
//!
//! Each case is preprocessed once and stored in a cache on disk, which all runs share. Loaded cases
//! stay in memory up to a limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use model_core::{LabelMap, UNetConfig};
use sha2::{Digest, Sha256};

use crate::data_set::{DataSet, WarningCounts};
use trainer_run::config::TrainConfig;
use trainer_run::reporter::Reporter;

mod cache_format;
mod case_cache;
mod fill;
mod folder;
mod prepared_case;
mod shared;

pub use case_cache::CacheGuard;
pub use prepared_case::{PreparedCase, prepare_case};

use case_cache::CaseCache;
use folder::CacheFolder;
use shared::{Cached, Shared};

/// The preprocessed cases of a data set.
#[derive(Clone)]
pub struct Cases {
    shared: Arc<Shared>,
    /// SHA-256 over the digests of all cases, in the data set's order, in hexadecimal.
    pub fingerprint: String,
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
