//! Folders with a `dataset.json`: the Medical Segmentation Decathlon, and nnU-Net raw in two
//! versions.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, ensure};
use model_core::task::dataset::{LabeledScan, Manifest, case_name};
use model_core::{Task, are_same_channels};

use super::by_file_name::ListedCases;
use super::listing::folder_name;
use super::task_source::TaskSource;
use super::{CaseFiles, DataSet, Layout, fault, nnunet};
use trainer_run::files;

/// The largest `dataset.json` that is read.
const MAX_MANIFEST_BYTES: u64 = 64 << 20;

/// Reads the `dataset.json` of a folder. Missing names default to the folder's.
pub(super) fn read(folder: &Path) -> Result<Manifest> {
    let file = folder.join("dataset.json");
    let bytes = files::read(&file, MAX_MANIFEST_BYTES)?;
    let mut manifest =
        Manifest::parse(&bytes).map_err(|error| error.in_file(file.display().to_string()))?;
    if manifest.name.is_empty() {
        manifest.name = folder_name(folder);
    }
    if manifest.task.name.is_empty() {
        let name = manifest.name.clone();
        manifest.task = manifest.task.with(|task| task.name = name)?;
    }
    Ok(manifest)
}

/// Lists the cases.
pub(super) fn open(folder: &Path, source: TaskSource) -> Result<DataSet> {
    let manifest = read(folder)?;
    let (layout, mut found, num_training) = match &manifest.nnunet_cases {
        Some(by_name) => {
            let found = nnunet::cases(folder, by_name, &manifest.task.channels)?;
            let labeled = found.faults.iter().filter(|fault| !fault.is_unlabeled);
            let faulty: BTreeSet<&str> =
                labeled.filter_map(|fault| fault.case.as_deref()).collect();
            let count = found.cases.len() + faulty.len();
            (Layout::NnunetV2, found, count)
        }
        None => {
            let (layout, found) = listed_cases(folder, &manifest);
            (layout, found, manifest.training.len())
        }
    };
    let file = folder.join("dataset.json");
    found.faults.extend(fault::wrong_number(manifest.num_training, num_training, file));
    let mut notes = std::mem::take(&mut found.notes);
    let Manifest { name, license, task, .. } = manifest;
    let license = license.filter(|license| !license.is_empty());
    let task = match source {
        TaskSource::Unnamed => task,
        TaskSource::Model(model) => {
            check_channels(&model, &task, folder)?;
            task
        }
        TaskSource::Named(named) => {
            check_agrees(&named, &task)?;
            notes.push(format!("the task is {}, instead of the one in dataset.json", named.name));
            named
        }
    };
    let data_set = DataSet::new(&name, task, found.cases);
    let ListedCases { unlabeled, faults, unused_files, .. } = found;
    Ok(DataSet { license, layout, unlabeled, faults, notes, unused_files, ..data_set })
}

/// Checks that a named task agrees with the data set's. It may rename labels and combine them into
/// regions, but must keep the channels of the files.
fn check_agrees(named: &Task, stated: &Task) -> Result<()> {
    named.check_agrees(stated)?;
    ensure!(
        are_same_channels(&named.channels, &stated.channels),
        "expected a task with the channels {} in this order, as in dataset.json, found {} in {}",
        stated.channels.join(", "),
        named.channels.join(", "),
        named.name
    );
    Ok(())
}

/// Checks that the channels are in the model's order: a model would accept any order silently.
fn check_channels(model: &Task, stated: &Task, folder: &Path) -> Result<()> {
    ensure!(
        are_same_channels(&model.channels, &stated.channels),
        "expected a data set with the channels {} in this order, as the model takes them, found {} \
         (in {})",
        model.channels.join(", "),
        stated.channels.join(", "),
        folder.join("dataset.json").display()
    );
    Ok(())
}

/// Returns the cases that a `dataset.json` lists.
fn listed_cases(folder: &Path, manifest: &Manifest) -> (Layout, ListedCases) {
    let Manifest { training, validation, test, .. } = manifest;
    let is_numbered = nnunet::leaves_out_channels(folder, training);
    let images = |images: &[String]| match images {
        [image] if is_numbered => {
            nnunet::channel_files(&folder.join(image), manifest.task.channels.len())
        }
        images => images.iter().map(|image| folder.join(image)).collect(),
    };
    let case = |pair: &LabeledScan| CaseFiles {
        name: pair.name(),
        images: images(&pair.images()),
        label: Some(folder.join(&pair.label)),
    };
    let unlabeled = |files: &Vec<String>| CaseFiles {
        name: case_name(files),
        images: images(files),
        label: None,
    };
    // Copies of a data set often lack the test scans. That is not a fault.
    let exists = |case: &CaseFiles| case.images.iter().any(|image| image.exists());
    let mut notes = Vec::new();
    let unlabeled: Vec<CaseFiles> = test.iter().map(unlabeled).filter(exists).collect();
    let num_missing = test.len() - unlabeled.len();
    if num_missing > 0 {
        let count = test.len();
        notes.push(format!("{num_missing} of {count} listed scans without labels are missing"));
    }
    if !validation.is_empty() {
        notes.push(format!(
                        "{} cases of the list validation are added to those of training; training chooses which \
                         cases are held out",
            validation.len()
        ));
    }
    let layout = if is_numbered { Layout::NnunetV1 } else { Layout::Decathlon };
    let cases = training.iter().chain(validation).map(case).collect();
    (layout, ListedCases { cases, unlabeled, notes, ..ListedCases::default() })
}
