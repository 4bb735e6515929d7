//! The regions that are scored: those of a task, or one for each label that is found.

use std::path::Path;

use anyhow::{Result, ensure};
use model_core::{Region, Task};

use super::label_files::{for_all_pairs, read_labels};
use super::options::Options;
use super::pairs::CasePair;
use trainer_data::data_set::{ScanBytes, WarningCounts, resolve_task};
use trainer_run::budget::Budget;
use trainer_run::reporter::Reporter;

/// Resolves `name` to a task: a built-in task, or that of a bundle, of a run's folder or of a
/// `dataset.json`. Without a name, returns the task of the `dataset.json` in or beside the folder
/// of the references, if there is one.
///
/// # Errors
/// Errors if the task cannot be read.
pub fn find_task(name: Option<&str>, reference: &Path) -> Result<Option<Task>> {
    let Some(name) = name else { return data_set_task(reference) };
    resolve_task(name).map(Some)
}

/// Returns the task of the data set that the references belong to, if there is one.
fn data_set_task(reference: &Path) -> Result<Option<Task>> {
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

/// Returns a region for each label code in a reference or a prediction.
pub(super) fn regions_present(
    pairs: &[CasePair],
    budget: &Budget,
    reporter: &dyn Reporter,
) -> Result<Vec<Region>> {
    let codes_of_pair = |pair: &CasePair| {
        let mut present = [false; 256];
        for file in pair.predicted.iter().chain([&pair.reference]) {
            let _reserved = budget.take(ScanBytes::working_bytes(file, |voxels, _| voxels)?);
            let map = read_labels(file, None, &Options::default(), &WarningCounts::default())?;
            map.labels().iter().for_each(|&code| present[usize::from(code)] = true);
        }
        Ok(present)
    };
    let present = for_all_pairs("finding labels", pairs, reporter, codes_of_pair)?;
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
