//! What is scored: the task that a name leads to, or the labels that are found.

use std::path::Path;

use anyhow::{Result, ensure};
use model_core::{Region, Task};

use super::pairs::Files;
use super::{Options, for_all, read_labels};
use trainer_data::data_set::{ScanBytes, WarningCounts, resolve_task};
use trainer_run::budget::Budget;

/// The task to score by: built in, of a bundle, of a run's folder or of a dataset.json; without a
/// name, of the dataset.json in or beside the folder of the references, if there is one.
///
/// # Errors
/// When the name leads to no task.
pub fn find_task(name: Option<&str>, reference: &Path) -> Result<Option<Task>> {
    let Some(name) = name else { return task_of(reference) };
    resolve_task(name).map(Some)
}

/// The task of the data set that references belong to.
fn task_of(reference: &Path) -> Result<Option<Task>> {
    let labels = if reference.is_dir() { Some(reference) } else { reference.parent() };
    let Some(labels) = labels.and_then(|labels| labels.canonicalize().ok()) else {
        return Ok(None);
    };
    let mut folders = std::iter::once(&*labels).chain(labels.parent());
    match folders.find(|folder| folder.join("dataset.json").is_file()) {
        Some(folder) => resolve_task(&folder.join("dataset.json").to_string_lossy()).map(Some),
        None => Ok(None),
    }
}

/// Without a task, each code that stands in a reference or a prediction is a region of its own.
pub(super) fn regions_present(files: &[Files], budget: &Budget) -> Result<Vec<Region>> {
    let of_case = |files: &Files| {
        let mut present = [false; 256];
        for file in files.predicted.iter().chain([&files.reference]) {
            let _held = budget.take(ScanBytes::working_bytes(file, |voxels, _| voxels)?);
            let map = read_labels(file, None, &Options::default(), &WarningCounts::default())?;
            map.labels().iter().for_each(|&code| present[usize::from(code)] = true);
        }
        Ok(present)
    };
    let present = for_all("finding labels", files, of_case)?;
    let is_present = |code: u8| present.iter().any(|case| case[usize::from(code)]);
    let region = |code| Region {
        name: format!("label {code}"),
        labels: vec![code],
        writes: code,
        color: [255; 3],
    };
    let regions: Vec<Region> = (1..=255).filter(|&code| is_present(code)).map(region).collect();
    ensure!(!regions.is_empty(), "expected labels, found only background; name the --task");
    Ok(regions)
}
