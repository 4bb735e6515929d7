//! The label files of a data set by their cases' names, whatever became of its images: a reference
//! must not vanish from a mean because a scan is not here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use model_core::task::dataset::Manifest;
use model_core::{ScanContent, Task, strip_ending};

use super::by_suffix::Group;
use super::{Fault, TaskSource, dataset_json, fault, iseg, list_faults, listing};

/// The label files of a data set's folder, its `dataset.json` or a CSV; none where a folder is only
/// one of label maps.
///
/// # Errors
/// When it cannot be listed whole; a CSV without a task.
pub fn references(path: &Path, task: Option<&Task>) -> Result<Option<BTreeMap<String, PathBuf>>> {
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv")) {
        return of_table(path, task).map(Some);
    }
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    if folder.join("dataset.json").is_file() {
        return of_manifest(folder, dataset_json::read(folder)?);
    }
    of_iseg(folder)
}

/// A scan's name without its ending; none where it is none of a scan.
pub fn scan_name(file: &Path) -> Option<String> {
    listing::stem(&listing::file_name(file)).map(String::from)
}

fn of_table(file: &Path, task: Option<&Task>) -> Result<BTreeMap<String, PathBuf>> {
    let wanted = task.map_or(TaskSource::Unnamed, |task| TaskSource::Model(task.clone()));
    let data_set = super::open(file, wanted)?;
    let faults: Vec<Fault> = data_set.faults.into_iter().filter(|f| !f.is_unlabeled).collect();
    ensure!(faults.is_empty(), list_faults(&faults));
    let cases = data_set.cases.into_iter();
    Ok(cases.filter_map(|case| Some((case.name, case.label?))).collect())
}

/// None where a `dataset.json` of nnU-Net lies beside label maps, as with its predictions.
fn of_manifest(folder: &Path, manifest: Manifest) -> Result<Option<BTreeMap<String, PathBuf>>> {
    let stated = manifest.num_training;
    let (found, count) = match manifest.nnunet_cases {
        None => {
            let pairs = manifest.training.iter().chain(&manifest.validation);
            let found = pairs.map(|pair| (pair.name(), folder.join(&pair.label))).collect();
            (found, manifest.training.len())
        }
        Some(cases) => {
            let found: BTreeMap<String, PathBuf> = if cases.listed.is_empty() {
                let labels = folder.join("labelsTr");
                if !labels.is_dir() {
                    return Ok(None);
                }
                let named = |(name, path): (String, PathBuf)| {
                    Some((strip_ending(&name, &cases.file_ending)?.to_string(), path))
                };
                listing::entries(&labels)?.into_iter().filter_map(named).collect()
            } else {
                let listed = cases.listed.into_iter();
                listed.map(|case| (case.name, folder.join(case.label))).collect()
            };
            let count = found.len();
            (found, count)
        }
    };
    let fault = fault::of_number(stated, count, folder.join("dataset.json"));
    ensure!(fault.is_none(), list_faults(&fault.into_iter().collect::<Vec<_>>()));
    Ok(Some(found))
}

/// None where the folder holds no scans of subjects beside their labels.
fn of_iseg(folder: &Path) -> Result<Option<BTreeMap<String, PathBuf>>> {
    let files = listing::below(folder)?.scans;
    let groups = iseg::groups(folder, &files).unwrap_or_default();
    let has_scans =
        |group: &Group| group.files.iter().any(|m| m.name.content != ScanContent::Labels);
    if !groups.iter().any(has_scans) {
        return Ok(None);
    }
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut twice = Vec::new();
    for group in groups {
        for member in group.of(ScanContent::Labels) {
            if let Some(other) = found.insert(group.name.clone(), member.file.clone()) {
                twice.push(format!("  {} and {}", other.display(), member.file.display()));
            }
        }
    }
    ensure!(twice.is_empty(), "expected one label map a case, found two:\n{}", twice.join("\n"));
    Ok(Some(found))
}
