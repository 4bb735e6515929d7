//! Data sets as they are distributed: the task, and the files of each case.
//!
//! One module reads one layout: folders of the field's public data sets, or a CSV of paths.

mod brats;
pub mod by_file_name;
mod case_files;
mod check;
mod dataset_json;
mod definition;
mod equal_images;
mod fault;
mod iseg;
mod layout;
pub mod listing;
mod nnunet;
mod patients;
pub mod references;
mod scan_bytes;
mod statistics;
mod table;
mod task;
mod task_source;
mod unused_files;
mod warnings;

use std::path::Path;

use anyhow::{Result, bail, ensure};
use model_core::Task;

pub use case_files::{CaseFiles, LoadedCase};
pub use check::{CaseReport, CheckedCase, Warning};
pub use definition::DataSet;
pub use fault::{Fault, list as list_faults};
pub use layout::Layout;
pub use patients::Patients;
pub use scan_bytes::ScanBytes;
pub use statistics::IntensityStats;
pub use task::{is_name as is_task_name, resolve as resolve_task};
pub use unused_files::UnusedFiles;
pub use warnings::WarningCounts;

use task_source::TaskSource;
use trainer_run::reporter::Reporter;

impl DataSet {
    /// Lists the cases of a folder or a CSV.
    ///
    /// `task` names the task as `--task` does. A BraTS folder and a CSV need it, because they do
    /// not state the meaning of their labels. Cases that lack a file become `faults`.
    ///
    /// # Errors
    /// Errors if the layout is unknown or if the data set cannot be used.
    pub fn open(path: &Path, task: Option<&str>, reporter: &dyn Reporter) -> Result<DataSet> {
        let task_source = match task {
            None => TaskSource::Unnamed,
            Some(name) => TaskSource::Named(resolve_task(name)?),
        };
        open(path, task_source, reporter)
    }

    /// Lists the cases of a folder or a CSV for a model. The model's `task` is used if the data set
    /// states none.
    ///
    /// # Errors
    /// See [`DataSet::open`]. Also errors if the data set states other channels than the model's,
    /// or another order.
    pub fn open_for_model(path: &Path, task: &Task, reporter: &dyn Reporter) -> Result<DataSet> {
        open(path, TaskSource::Model(task.clone()), reporter)
    }

    /// Lists a data set to train on.
    ///
    /// With `skip_bad`, reads every case once and leaves out those with faults. Reports what is
    /// left out. Faults of cases without labels are reported only as a note.
    ///
    /// # Errors
    /// See [`DataSet::open`]. Without `skip_bad`, errors with every labeled case that lacks a file.
    pub fn open_for_training(
        path: &Path,
        task: Option<&str>,
        skip_bad: bool,
        tolerance_voxels: f64,
        reporter: &dyn Reporter,
    ) -> Result<DataSet> {
        let mut data_set = DataSet { tolerance_voxels, ..DataSet::open(path, task, reporter)? };
        data_set.notes.iter().for_each(|note| reporter.message(&format!("note: {note}")));
        data_set.unused_files.text().iter().for_each(|text| reporter.message(text));
        let faults = std::mem::take(&mut data_set.faults);
        let (unused, mut faults): (Vec<Fault>, Vec<Fault>) =
            faults.into_iter().partition(|fault| fault.is_unlabeled);
        if !unused.is_empty() {
            reporter.message(&format!(
                "note: in cases without labels, which training does not use: {}",
                list_faults(&unused)
            ));
        }
        if skip_bad {
            let checked = check::check(&data_set.task, &data_set.cases, tolerance_voxels, reporter);
            let bad = |case: &CaseFiles| checked.iter().any(|c| c.name == case.name && c.is_bad());
            data_set.cases.retain(|case| !bad(case));
            faults.extend(checked.into_iter().flat_map(|checked| checked.faults));
        }
        if faults.is_empty() {
            return Ok(data_set);
        }
        let text = list_faults(&faults);
        ensure!(skip_bad, "{text}\n--skip-bad continues without these cases");
        reporter.message(&format!("{text}\ncontinuing without these cases"));
        Ok(data_set)
    }

    /// Reads every case in parallel and reports its content, warnings and faults. Labeled cases
    /// come first. The data set's own `faults` are about further cases.
    pub fn check(&self, reporter: &dyn Reporter) -> Vec<CheckedCase> {
        let all: Vec<CaseFiles> = self.cases.iter().chain(&self.unlabeled).cloned().collect();
        check::check(&self.task, &all, self.tolerance_voxels, reporter)
    }

    /// Returns the number of cases with labels.
    pub fn num_cases(&self) -> usize {
        self.cases.len()
    }

    /// Reads a case with labels.
    ///
    /// # Errors
    /// See [`CaseFiles::read`].
    pub fn read(&self, number: usize) -> Result<LoadedCase> {
        self.cases[number].read(&self.task, self.tolerance_voxels)
    }
}

/// Recognizes the layout at a path and lists the cases.
fn open(path: &Path, task_source: TaskSource, reporter: &dyn Reporter) -> Result<DataSet> {
    let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
    let file_name = path.file_name().unwrap_or_default();
    let mut data_set = if path.is_file() && ending == "csv" {
        table::open(path, task_source)?
    } else if path.is_file() && file_name == "dataset.json" {
        dataset_json::open(path.parent().unwrap_or(Path::new("")), task_source)?
    } else {
        ensure!(
            path.is_dir(),
            "expected the folder of a data set or a CSV of paths, found {} {}",
            if path.exists() { "the file" } else { "nothing at" },
            path.display()
        );
        if path.join("dataset.json").is_file() {
            dataset_json::open(path, task_source)?
        } else {
            open_by_names(path, task_source, reporter)?
        }
    };
    data_set.faults.extend(fault::remove_bad_names(&mut data_set.cases, &mut data_set.unlabeled));
    data_set.faults.extend(no_cases(&data_set, path));
    Ok(data_set)
}

/// Lists a folder that only the names of its files describe.
fn open_by_names(
    folder: &Path,
    task_source: TaskSource,
    reporter: &dyn Reporter,
) -> Result<DataSet> {
    let listing = listing::list_recursively(folder, reporter)?;
    if iseg::groups(folder, &listing.scans).is_some() {
        return iseg::open(folder, listing, task_source);
    }
    if brats::is_brats(folder, &listing.scans) {
        return brats::open(folder, listing, task_source);
    }
    let mut found = match listing.scans.first() {
        None => "no scans (.nii, .nii.gz, .hdr)".to_string(),
        Some(first) => format!("{} scans such as {}", listing.scans.len(), first.display()),
    };
    listing.unused_files.lines().iter().for_each(|line| found += &format!(", {line}"));
    bail!(
        "expected a data set: dataset.json with imagesTr/ and labelsTr/ (Decathlon, nnU-Net), \
         ID/ID_t1ce.nii.gz … or ID/ID-t1c.nii.gz … (BraTS), subject-N-T1.hdr … (iSeg), or a CSV of \
         paths, which can describe any other layout; found {found} in {}",
        folder.display()
    )
}

/// Returns a fault if a data set has neither cases nor faults.
fn no_cases(data_set: &DataSet, path: &Path) -> Option<Fault> {
    let is_empty = data_set.cases.is_empty() && data_set.unlabeled.is_empty();
    if !is_empty || !data_set.faults.is_empty() {
        return None;
    }
    let mut message = "expected at least one case, found none".to_string();
    data_set.unused_files.lines().iter().for_each(|line| message += &format!("; {line}"));
    Some(Fault::of_data_set(message, Some(path.to_path_buf())))
}
