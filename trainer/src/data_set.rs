//! Data sets in the Decathlon's form: a folder with `dataset.json`, images (3-D, or 4-D with the
//! channels along the fourth axis) and label files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use model_core::dataset::{Manifest, Pair};
use model_core::{Case, Task, nifti};
use sha2::{Digest, Sha256};

use crate::files;

/// The largest `dataset.json` that is read.
const MAX_MANIFEST_BYTES: u64 = 64 << 20;

/// A data set: what is asked, and each case's files.
#[derive(Debug, Clone, PartialEq)]
pub struct DataSet {
    /// Its name.
    pub name: String,
    /// Its licence; empty when none is stated.
    pub licence: String,
    /// What a network is asked.
    pub task: Task,
    /// The cases with labels.
    pub cases: Vec<CaseFiles>,
}

/// Where a case lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseFiles {
    /// The case's name, which no other case of the data set has.
    pub name: String,
    /// One file with all channels, or one a channel in the task's order.
    pub images: Vec<PathBuf>,
    /// The labels, where they are known.
    pub label: Option<PathBuf>,
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
        let Manifest { name, licence, task, training } =
            Manifest::parse(&bytes).map_err(|error| error.in_file(file.display().to_string()))?;
        let case = |pair: &Pair| CaseFiles {
            name: pair.name().to_string(),
            images: vec![folder.join(&pair.image)],
            label: Some(folder.join(&pair.label)),
        };
        Ok(DataSet { name, licence, task, cases: training.iter().map(case).collect() })
    }

    /// Number of cases with labels.
    pub fn num_cases(&self) -> usize {
        self.cases.len()
    }

    /// Reads a case, and gives the SHA-256 over its files.
    ///
    /// # Errors
    /// What is wrong, with the file.
    pub fn read(&self, number: usize) -> Result<(Case, [u8; 32])> {
        self.cases[number].read(&self.task)
    }
}

impl CaseFiles {
    /// Reads the case, and gives the SHA-256 over its files.
    ///
    /// # Errors
    /// What is wrong, with the file.
    pub fn read(&self, task: &Task) -> Result<(Case, [u8; 32])> {
        let mut digest = Sha256::new();
        let mut bytes_of = |file: &Path| -> Result<Vec<u8>> {
            let bytes = files::read(file, files::MAX_SCAN_BYTES)?;
            digest.update(&bytes);
            Ok(bytes)
        };
        let mut channels = Vec::new();
        for image in &self.images {
            let volumes = nifti::read(&bytes_of(image)?);
            channels.extend(volumes.map_err(|error| error.in_file(image.display().to_string()))?);
        }
        let labels = match &self.label {
            None => None,
            Some(file) => {
                let labels = nifti::read_labels(&bytes_of(file)?);
                Some(labels.map_err(|error| error.in_file(file.display().to_string()))?)
            }
        };
        let case = Case::new(self.name.clone(), channels, labels, task);
        let image = self.images.first().map(|image| image.display().to_string());
        let case = case.map_err(|error| error.in_file(image.unwrap_or_default()))?;
        Ok((case, digest.finalize().into()))
    }
}
