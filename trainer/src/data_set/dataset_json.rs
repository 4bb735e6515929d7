//! Folders with a `dataset.json`: the Medical Segmentation Decathlon's, and nnU-Net's in two forms.

use std::path::Path;

use anyhow::{Result, ensure};
use model_core::dataset::{Manifest, Pair};
use model_core::{DEFAULT_TOLERANCE_VOXELS, Task};

use super::brats::are_same_channels;
use super::by_suffix::Found;
use super::listing::folder_name;
use super::{CaseFiles, DataSet, Layout, Wanted, nnunet};
use crate::files;

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
pub(super) fn open(folder: &Path, wanted: Wanted) -> Result<DataSet> {
    let manifest = read(folder)?;
    let mut notes = Vec::new();
    let (layout, found) = match &manifest.by_name {
        Some(by_name) => {
            let channels = &manifest.task.channels;
            (Layout::NnunetV2, nnunet::cases(folder, by_name, channels)?)
        }
        None => listed(folder, &manifest, &mut notes),
    };
    let Manifest { name, licence, task, .. } = manifest;
    let task = match wanted {
        Wanted::Unnamed => task,
        Wanted::Model(model) => {
            check_channels(&model, &task, folder)?;
            task
        }
        Wanted::Named(named) => {
            check_agrees(&named, &task)?;
            notes.push(format!("the task is {}, in place of dataset.json's own", named.name));
            named
        }
    };
    let Found { cases, unlabeled, faults } = found;
    let tolerance_voxels = DEFAULT_TOLERANCE_VOXELS;
    Ok(DataSet { name, licence, task, layout, cases, unlabeled, faults, notes, tolerance_voxels })
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
fn listed(folder: &Path, manifest: &Manifest, notes: &mut Vec<String>) -> (Layout, Found) {
    let is_numbered = nnunet::leaves_out_channels(folder, &manifest.training);
    let images = |image: &String| match is_numbered {
        true => nnunet::channel_files(&folder.join(image), manifest.task.channels.len()),
        false => vec![folder.join(image)],
    };
    let case = |pair: &Pair| CaseFiles {
        name: pair.name().to_string(),
        images: images(&pair.image),
        label: Some(folder.join(&pair.label)),
    };
    let test = |image: &String| {
        let pair = Pair { image: image.clone(), label: String::new() };
        CaseFiles { name: pair.name().to_string(), images: images(image), label: None }
    };
    // A set that was passed on without its test scans is whole for all but them.
    let is_here = |case: &CaseFiles| case.images.iter().any(|image| image.exists());
    let unlabeled: Vec<CaseFiles> =
        manifest.test.iter().map(test).filter(|case| is_here(case)).collect();
    let num_gone = manifest.test.len() - unlabeled.len();
    if num_gone > 0 {
        let count = manifest.test.len();
        notes.push(format!("{num_gone} of {count} listed scans without labels are not here"));
    }
    let layout = if is_numbered { Layout::NnunetV1 } else { Layout::Decathlon };
    let cases = manifest.training.iter().map(case).collect();
    (layout, Found { cases, unlabeled, faults: Vec::new() })
}
