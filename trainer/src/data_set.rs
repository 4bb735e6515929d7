//! Data sets in the Decathlon's form: a folder with `dataset.json`, images (3-D, or 4-D with the
//! channels along the fourth axis) and label files.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail, ensure};
use model_core::dataset::Manifest;
use model_core::{
    Case, Input, LabelMap, Placement, PreprocessConfig, Task, UNetConfig, nifti, preprocess,
};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::draws::{Purpose, generator, permutation};
use crate::{files, progress};

/// The largest `dataset.json` that is read.
const MAX_MANIFEST_BYTES: u64 = 64 << 20;

/// Foreground voxels that are kept for each label to center patches on.
const MAX_CENTERS: usize = 20_000;

/// A data set's folder and what its `dataset.json` says.
#[derive(Clone)]
pub struct DataSet {
    /// The folder.
    pub folder: PathBuf,
    /// What is in it.
    pub manifest: Manifest,
}

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

impl DataSet {
    /// Reads `dataset.json`.
    ///
    /// # Errors
    /// When the folder holds none, or it describes nothing that can be used.
    pub fn open(folder: &Path) -> Result<DataSet> {
        let file = folder.join("dataset.json");
        let bytes = files::read(&file, MAX_MANIFEST_BYTES).context(
            "expected a data set in the Decathlon's form: dataset.json, imagesTr/ and labelsTr/",
        )?;
        let manifest =
            Manifest::parse(&bytes).map_err(|error| error.in_file(file.display().to_string()))?;
        Ok(DataSet { folder: folder.to_path_buf(), manifest })
    }

    /// What is asked.
    pub fn task(&self) -> &Task {
        &self.manifest.task
    }

    /// Number of cases with labels.
    pub fn num_cases(&self) -> usize {
        self.manifest.training.len()
    }

    /// A case's name: its image's, without ending.
    pub fn name(&self, number: usize) -> String {
        files::case_name(Path::new(&self.manifest.training[number].image))
    }

    /// Where a case's label file lies.
    pub fn label_file(&self, number: usize) -> PathBuf {
        self.folder.join(&self.manifest.training[number].label)
    }

    /// Reads a case, and gives the SHA-256 over its two files.
    ///
    /// # Errors
    /// What is wrong, with the file.
    pub fn read(&self, number: usize) -> Result<(Case, [u8; 32])> {
        let pair = &self.manifest.training[number];
        let (image, label) = (self.folder.join(&pair.image), self.label_file(number));
        let image_bytes = files::read(&image, files::MAX_SCAN_BYTES)?;
        let label_bytes = files::read(&label, files::MAX_SCAN_BYTES)?;
        let digest = Sha256::new().chain_update(&image_bytes).chain_update(&label_bytes);
        let in_image = |error: model_core::Error| error.in_file(image.display().to_string());
        let in_label = |error: model_core::Error| error.in_file(label.display().to_string());
        let channels = nifti::read(&image_bytes).map_err(in_image)?;
        let labels = nifti::read_labels(&label_bytes).map_err(in_label)?;
        let name = self.name(number);
        let case = Case::new(name, channels, Some(labels), self.task()).map_err(in_image)?;
        Ok((case, digest.finalize().into()))
    }

    /// The numbers of the cases to train on and of those held out, a function of the seed.
    ///
    /// # Errors
    /// When nothing would remain to train on.
    pub fn split(&self, seed: u64, held_out: f64) -> Result<(Vec<usize>, Vec<usize>)> {
        let count = self.num_cases();
        ensure!(count > 0, "expected at least one case in dataset.json, found none");
        let mut num_held_out = (held_out * count as f64).round() as usize;
        if held_out > 0.0 {
            num_held_out = num_held_out.max(1);
        }
        if num_held_out >= count {
            bail!(
                "expected more cases than are held out, found {count}; add cases, or set held_out \
                 = 0 to measure on the training cases"
            );
        }
        let mut order = permutation(&mut generator(seed, Purpose::Split, 0), count);
        let mut training = order.split_off(num_held_out);
        training.sort_unstable();
        order.sort_unstable();
        Ok((training, order))
    }
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
                .with_context(|| format!("in the case {}", data_set.name(number)))?;
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

    fn data_set(count: usize) -> DataSet {
        let pair =
            |n| format!(r#"{{"image": "imagesTr/c{n}.nii.gz", "label": "labelsTr/c{n}.nii.gz"}}"#);
        let pairs: Vec<String> = (0..count).map(pair).collect();
        let json = format!(
            r#"{{"name": "Test", "licence": "none", "modality": {{"0": "MRI"}},
                "labels": {{"0": "background", "1": "one"}}, "training": [{}]}}"#,
            pairs.join(", ")
        );
        let manifest = Manifest::parse(json.as_bytes()).unwrap();
        DataSet { folder: PathBuf::from("/nowhere"), manifest }
    }

    #[test]
    fn the_split_is_fixed_and_parts_the_cases() {
        let data_set = data_set(20);
        let (training, held_out) = data_set.split(0, 0.2).unwrap();
        assert_eq!((training.len(), held_out.len()), (16, 4));
        assert!(held_out.iter().all(|number| !training.contains(number)));
        assert_eq!(data_set.split(0, 0.2).unwrap().1, held_out);
        assert_ne!(data_set.split(1, 0.2).unwrap().1, held_out);
    }

    #[test]
    fn a_split_leaves_something_to_train_on() {
        assert!(data_set(1).split(0, 0.2).is_err());
        assert_eq!(data_set(1).split(0, 0.0).unwrap(), (vec![0], vec![]));
        assert_eq!(data_set(3).split(0, 0.1).unwrap().1.len(), 1);
    }

    #[test]
    fn every_missing_file_is_named() {
        let network = UNetConfig::preset("demo", 1, 2).unwrap();
        let preprocess = crate::config::TrainConfig::default().preprocess;
        let error = Cases::read_all(data_set(2), &preprocess, &network, 0).err().unwrap();
        let text = error.to_string();
        assert!(text.contains("c0.nii.gz") && text.contains("c1.nii.gz"), "{text}");
    }
}
