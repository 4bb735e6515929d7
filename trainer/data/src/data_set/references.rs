//! Finds the label files of a data set, even if its images are missing: a reference must not drop
//! out of a mean because its scan is absent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use model_core::task::dataset::Manifest;
use model_core::{ScanContent, Task, strip_ending};

use super::by_file_name::CaseGroup;
use super::task_source::TaskSource;
use super::{Fault, dataset_json, fault, iseg, list_faults, listing};
use trainer_run::reporter::Reporter;

/// Returns the label files of a data set by case name. The path is a folder, a `dataset.json` or a
/// CSV. Returns `None` for a folder that holds only label maps.
///
/// # Errors
/// Errors if the data set cannot be listed completely, or for a CSV without a task.
pub fn find(
    path: &Path,
    task: Option<&Task>,
    reporter: &dyn Reporter,
) -> Result<Option<BTreeMap<String, PathBuf>>> {
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv")) {
        return find_in_table(path, task, reporter).map(Some);
    }
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    if folder.join("dataset.json").is_file() {
        return find_in_manifest(folder, dataset_json::read(folder)?);
    }
    find_in_iseg(folder, reporter)
}

/// Returns the name of a scan without its extension, or `None` if the file is not named as a scan.
pub fn scan_name(file: &Path) -> Option<String> {
    listing::stem(&listing::file_name(file)).map(String::from)
}

fn find_in_table(
    file: &Path,
    task: Option<&Task>,
    reporter: &dyn Reporter,
) -> Result<BTreeMap<String, PathBuf>> {
    let source = task.map_or(TaskSource::Unnamed, |task| TaskSource::Model(task.clone()));
    let data_set = super::open(file, source, reporter)?;
    let faults: Vec<Fault> = data_set.faults.into_iter().filter(|f| !f.is_unlabeled).collect();
    ensure!(faults.is_empty(), list_faults(&faults));
    let cases = data_set.cases.into_iter();
    Ok(cases.filter_map(|case| Some((case.name, case.label?))).collect())
}

/// Returns `None` if there is no labelsTr: nnU-Net also copies its `dataset.json` beside
/// predictions.
fn find_in_manifest(
    folder: &Path,
    manifest: Manifest,
) -> Result<Option<BTreeMap<String, PathBuf>>> {
    let stated = manifest.num_training;
    let (found, count) = match manifest.nnunet_cases {
        None => {
            let pairs = manifest.training.iter().chain(&manifest.validation);
            let found = pairs.map(|pair| (pair.name(), folder.join(&pair.label))).collect();
            (found, manifest.training.len())
        }
        Some(by_name) => {
            let found: BTreeMap<String, PathBuf> = if by_name.listed.is_empty() {
                let labels = folder.join("labelsTr");
                if !labels.is_dir() {
                    return Ok(None);
                }
                let named = |(name, path): (String, PathBuf)| {
                    Some((strip_ending(&name, &by_name.file_ending)?.to_string(), path))
                };
                listing::entries(&labels)?.into_iter().filter_map(named).collect()
            } else {
                let listed = by_name.listed.into_iter();
                listed.map(|case| (case.name, folder.join(case.label))).collect()
            };
            let count = found.len();
            (found, count)
        }
    };
    let fault = fault::wrong_number(stated, count, folder.join("dataset.json"));
    ensure!(fault.is_none(), list_faults(&fault.into_iter().collect::<Vec<_>>()));
    Ok(Some(found))
}

/// Returns `None` if the folder holds label maps without scans.
fn find_in_iseg(
    folder: &Path,
    reporter: &dyn Reporter,
) -> Result<Option<BTreeMap<String, PathBuf>>> {
    let files = listing::list_recursively(folder, reporter)?.scans;
    let groups = iseg::groups(folder, &files).unwrap_or_default();
    let has_scans =
        |group: &CaseGroup| group.files.iter().any(|m| m.name.content != ScanContent::Labels);
    if !groups.iter().any(has_scans) {
        return Ok(None);
    }
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut duplicates = Vec::new();
    for group in groups {
        for member in group.files_with(ScanContent::Labels) {
            if let Some(other) = found.insert(group.name.clone(), member.file.clone()) {
                duplicates.push(format!("  {} and {}", other.display(), member.file.display()));
            }
        }
    }
    let list = duplicates.join("\n");
    ensure!(duplicates.is_empty(), "expected one label map a case, found two:\n{list}");
    Ok(Some(found))
}
