//! The preprocessed cases of a data set, kept in memory up to a bound.

use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail};
use model_core::{Case, Input, LabelMap, Placement, PreprocessConfig, UNetConfig, preprocess};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::data_set::DataSet;
use crate::progress;

/// Foreground voxels that are kept for each label to center patches on.
const MAX_CENTERS: usize = 20_000;

/// A case ready for training and for being measured.
pub struct Prepared {
    /// The image's name without ending.
    pub name: String,
    /// The network's input.
    pub input: Input,
    /// Labels on the input's grid, codes.
    pub labels: Vec<u8>,
    /// For each label that is present, some of its voxels' places in `labels`.
    pub foreground: Vec<Vec<u32>>,
    /// Leads predictions back to the scan's grid.
    pub placement: Placement,
    /// Labels on the scan's grid.
    pub reference: LabelMap,
}

/// The preprocessed cases of a data set: those that fit are kept in memory, the others are read
/// again when they are needed.
#[derive(Clone)]
pub struct Cases {
    data_set: Arc<DataSet>,
    preprocess: PreprocessConfig,
    network: UNetConfig,
    kept: Arc<Vec<Option<Arc<Prepared>>>>,
    /// SHA-256 over every file, in the data set's order, in hexadecimal.
    pub fingerprint: String,
}

impl Cases {
    /// Reads every case in parallel, so that a bad file is named before training starts; keeps up
    /// to `cache_bytes`.
    ///
    /// # Errors
    /// Names every bad file.
    pub fn read_all(
        data_set: DataSet,
        preprocess: &PreprocessConfig,
        network: &UNetConfig,
        cache_bytes: u64,
    ) -> Result<Cases> {
        let count = data_set.num_cases();
        let bar = progress::bar("reading cases", count as u64);
        let used_bytes = Mutex::new(0);
        let read = |number: usize| -> Result<(Option<Arc<Prepared>>, [u8; 32])> {
            let (case, digest) = data_set.read(number)?;
            let prepared = prepare(case, preprocess, network)
                .with_context(|| format!("in the case {}", data_set.cases[number].name))?;
            bar.inc(1);
            let mut used_bytes = used_bytes.lock().expect("no thread panics while it holds this");
            *used_bytes += prepared.bytes();
            Ok(((*used_bytes <= cache_bytes).then(|| Arc::new(prepared)), digest))
        };
        let results: Vec<Result<_>> = (0..count).into_par_iter().map(read).collect();
        bar.finish_and_clear();
        let mut kept = Vec::with_capacity(count);
        let mut all = Sha256::new();
        let mut bad = Vec::new();
        for result in results {
            match result {
                Ok((prepared, digest)) => {
                    kept.push(prepared);
                    all.update(digest);
                }
                Err(error) => bad.push(format!("  {error:#}")),
            }
        }
        if !bad.is_empty() {
            bail!("{} of {count} cases cannot be used:\n{}", bad.len(), bad.join("\n"));
        }
        let fingerprint = all.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Cases {
            data_set: Arc::new(data_set),
            preprocess: preprocess.clone(),
            network: network.clone(),
            kept: Arc::new(kept),
            fingerprint,
        })
    }

    /// A case, from memory or from its files.
    ///
    /// # Errors
    /// When its files can no longer be read.
    pub fn load(&self, number: usize) -> Result<Arc<Prepared>> {
        if let Some(kept) = &self.kept[number] {
            return Ok(kept.clone());
        }
        let (case, _) = self.data_set.read(number)?;
        Ok(Arc::new(prepare(case, &self.preprocess, &self.network)?))
    }

    /// How many cases are kept in memory.
    pub fn num_kept(&self) -> usize {
        self.kept.iter().flatten().count()
    }
}

impl Prepared {
    fn bytes(&self) -> u64 {
        let centers: usize = self.foreground.iter().map(Vec::len).sum();
        let bytes = 4 * self.input.values.len() + self.labels.len() + 4 * centers;
        (bytes + self.reference.labels.len()) as u64
    }
}

/// Preprocesses a case that has labels.
///
/// # Errors
/// When the preprocessing cannot be applied to it.
pub fn prepare(case: Case, config: &PreprocessConfig, network: &UNetConfig) -> Result<Prepared> {
    let reference = case.labels.context("expected labels, found none")?;
    let (input, placement) = preprocess(&case.channels, config, network)?;
    let labels = placement.place_labels(&reference);
    let mut foreground: Vec<Vec<u32>> = vec![Vec::new(); 256];
    for (place, &code) in labels.iter().enumerate().filter(|(_, code)| **code != 0) {
        foreground[code as usize].push(place as u32);
    }
    foreground.retain(|places| !places.is_empty());
    for places in &mut foreground {
        let step = places.len().div_ceil(MAX_CENTERS);
        *places = places.iter().copied().step_by(step).collect();
    }
    Ok(Prepared { name: case.name, input, labels, foreground, placement, reference })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_set::CaseFiles;
    use model_core::Task;

    #[test]
    fn every_missing_file_is_named() {
        let case = |n| CaseFiles {
            name: format!("c{n}"),
            images: vec![format!("nowhere/c{n}.nii.gz").into()],
            label: None,
        };
        let task = Task::exclusive("Test", vec!["MRI".into()], vec![(1, "one".to_string())]);
        let cases = (0..2).map(case).collect();
        let data_set = DataSet::new("Test", task, cases);
        let network = UNetConfig::preset("demo", 1, 2).unwrap();
        let error = Cases::read_all(data_set, &PreprocessConfig::default(), &network, 0).err();
        let text = error.unwrap().to_string();
        assert!(text.contains("c0.nii.gz") && text.contains("c1.nii.gz"), "{text}");
    }
}
