//! Folders with a `dataset.json`: the Medical Segmentation Decathlon's, and nnU-Net's in two forms.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, ensure};
use model_core::task::dataset::{LabeledScan, Manifest, case_name};
use model_core::{Task, are_same_channels};

use super::by_suffix::Found;
use super::listing::folder_name;
use super::{CaseFiles, DataSet, Layout, TaskSource, fault, nnunet};
use trainer_run::files;

/// The largest `dataset.json` that is read.
const MAX_MANIFEST_BYTES: u64 = 64 << 20;

/// Reads a folder's `dataset.json`.
pub(super) fn read(folder: &Path) -> Result<Manifest> {
    let file = folder.join("dataset.json");
    let bytes = files::read(&file, MAX_MANIFEST_BYTES)?;
    let mut manifest =
        Manifest::parse(&bytes).map_err(|error| error.in_file(file.display().to_string()))?;
    if manifest.name.is_empty() {
        manifest.name = folder_name(folder);
    }
    if manifest.task.name.is_empty() {
        manifest.task.name = manifest.name.clone();
    }
    Ok(manifest)
}

/// Lists the cases.
pub(super) fn open(folder: &Path, wanted: TaskSource) -> Result<DataSet> {
    let manifest = read(folder)?;
    let (layout, mut found, num_training) = match &manifest.nnunet_cases {
        Some(cases) => {
            let found = nnunet::cases(folder, cases, &manifest.task.channels)?;
            let labeled = found.faults.iter().filter(|fault| !fault.is_unlabeled);
            let faulty: BTreeSet<&str> = labeled.map(|fault| fault.case.as_str()).collect();
            let count = found.cases.len() + faulty.len();
            (Layout::NnunetV2, found, count)
        }
        None => {
            let (layout, found) = listed(folder, &manifest);
            (layout, found, manifest.training.len())
        }
    };
    let file = folder.join("dataset.json");
    found.faults.extend(fault::of_number(manifest.num_training, num_training, file));
    let mut notes = std::mem::take(&mut found.notes);
    let Manifest { name, license, task, .. } = manifest;
    let licence = license.unwrap_or_default();
    let task = match wanted {
        TaskSource::Unnamed => task,
        TaskSource::Model(model) => {
            check_channels(&model, &task, folder)?;
            task
        }
        TaskSource::Named(named) => {
            check_agrees(&named, &task)?;
            notes.push(format!("the task is {}, in place of dataset.json's own", named.name));
            named
        }
    };
    let data_set = DataSet::new(&name, task, found.cases);
    let Found { unlabeled, faults, left, .. } = found;
    Ok(DataSet { licence, layout, unlabeled, faults, notes, left, ..data_set })
}

/// A task that is named can rename labels and unite them in regions; it cannot change which
/// channels the files hold.
fn check_agrees(named: &Task, stated: &Task) -> Result<()> {
    named.check_agrees(stated)?;
    ensure!(
        are_same_channels(&named.channels, &stated.channels),
        "expected a task with the channels {} in this order, as dataset.json says, found {} in {}",
        stated.channels.join(", "),
        named.channels.join(", "),
        named.name
    );
    Ok(())
}

/// A model takes its channels by their places: in another order it would answer all the same.
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

/// The cases of a list.
fn listed(folder: &Path, manifest: &Manifest) -> (Layout, Found) {
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
    // A set that was passed on without its test scans is whole for all but them.
    let is_here = |case: &CaseFiles| case.images.iter().any(|image| image.exists());
    let mut notes = Vec::new();
    let unlabeled: Vec<CaseFiles> = test.iter().map(unlabeled).filter(is_here).collect();
    let num_gone = test.len() - unlabeled.len();
    if num_gone > 0 {
        let count = test.len();
        notes.push(format!("{num_gone} of {count} listed scans without labels are not here"));
    }
    if !validation.is_empty() {
        notes.push(format!(
            "{} cases of the list validation stand with those of training; which are held out, \
             training decides",
            validation.len()
        ));
    }
    let layout = if is_numbered { Layout::NnunetV1 } else { Layout::Decathlon };
    let cases = training.iter().chain(validation).map(case).collect();
    (layout, Found { cases, unlabeled, notes, ..Found::default() })
}
