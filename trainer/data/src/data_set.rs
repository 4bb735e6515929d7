//! Data sets as they are distributed: the task, and the files of each case.
//!
//! One module reads one layout: folders of the field's public data sets, or a CSV of paths.

mod brats;
pub mod by_file_name;
mod check;
mod dataset_json;
mod equal_images;
mod fault;
mod iseg;
pub mod listing;
mod nnunet;
mod patients;
pub mod references;
mod scan_bytes;
mod statistics;
mod table;
mod task;
mod unused_files;
mod warnings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use model_core::{Case, DEFAULT_TOLERANCE_VOXELS, Error, Task, Volume};
use sha2::{Digest, Sha256};

pub use check::{CaseReport, CheckedCase, Warning};
pub use fault::{Fault, list as list_faults};
pub use patients::Patients;
pub use scan_bytes::ScanBytes;
pub use statistics::IntensityStats;
pub use task::{is_name as is_task_name, resolve as resolve_task};
pub use unused_files::UnusedFiles;
pub use warnings::WarningCounts;

use trainer_run::reporter::Reporter;

/// A data set: its task, and the files of each case.
#[derive(Debug, Clone, PartialEq)]
pub struct DataSet {
    /// The data set's name.
    pub name: String,
    /// The data set's license, if it states one.
    pub license: Option<String>,
    /// The channels, labels and regions.
    pub task: Task,
    /// The layout of the files.
    pub layout: Layout,
    /// The cases with labels.
    pub cases: Vec<CaseFiles>,
    /// The cases without labels.
    pub unlabeled: Vec<CaseFiles>,
    /// Faults of further cases, found while the files were listed.
    pub faults: Vec<Fault>,
    /// Notes for the user.
    pub notes: Vec<String>,
    /// The patient of each case, by the case's name, as far as the data set states it.
    pub patients: BTreeMap<String, String>,
    /// Files beside the cases that are not used.
    pub unused_files: UnusedFiles,
    /// The largest distance between the files of one case, in voxels.
    pub tolerance_voxels: f64,
}

/// A case read from its files.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedCase {
    /// The case. All its files are in the axis order of the first.
    pub case: Case,
    /// SHA-256 over its files.
    pub digest: [u8; 32],
    /// Warnings about the files, each with its file.
    pub warnings: Vec<(String, PathBuf)>,
}

/// The files of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseFiles {
    /// The case's name, unique in the data set.
    pub name: String,
    /// One file with all channels, or one file a channel in the task's order. A `.hdr`/`.img` pair
    /// is named by its header.
    pub images: Vec<PathBuf>,
    /// The label map, if the labels are known.
    pub label: Option<PathBuf>,
}

/// The layout of a data set's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// A `dataset.json` that lists images and labels.
    Decathlon,
    /// A `dataset.json` that lists `CASE.nii.gz` for the files `CASE_0000.nii.gz`, one a channel.
    NnunetV1,
    /// A `dataset.json` without a list. The names of the files tell the cases.
    NnunetV2,
    /// `ID_t1ce.nii.gz` and similar names, as until 2022.
    BratsUntil2022,
    /// `ID-t1c.nii.gz` and similar names, as since 2023.
    BratsSince2023,
    /// `subject-N-T1.hdr` and similar names.
    Iseg,
    /// A CSV with a row for each case.
    Table,
}

impl Layout {
    /// Returns the layout's name.
    pub fn name(self) -> &'static str {
        match self {
            Layout::Decathlon => "Medical Segmentation Decathlon",
            Layout::NnunetV1 => "nnU-Net raw (version 1)",
            Layout::NnunetV2 => "nnU-Net raw (version 2)",
            Layout::BratsUntil2022 => "BraTS, files named as until 2022",
            Layout::BratsSince2023 => "BraTS, files named as since 2023",
            Layout::Iseg => "iSeg",
            Layout::Table => "CSV of paths",
        }
    }
}

/// The source of a data set's task.
enum TaskSource {
    /// No task was given: the data set must state it.
    Unnamed,
    /// The user named a task: a data set that states a task must agree with it.
    Named(Task),
    /// The task of a model: used if the data set states none. A data set that states a task must
    /// have the model's channels.
    Model(Task),
}

impl DataSet {
    /// Creates a data set from a list of cases.
    pub fn new(name: &str, task: Task, cases: Vec<CaseFiles>) -> DataSet {
        DataSet {
            name: name.to_string(),
            license: None,
            task,
            layout: Layout::Table,
            cases,
            unlabeled: Vec::new(),
            faults: Vec::new(),
            notes: Vec::new(),
            patients: BTreeMap::new(),
            unused_files: UnusedFiles::default(),
            tolerance_voxels: DEFAULT_TOLERANCE_VOXELS,
        }
    }

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
    data_set.faults.extend(fault::no_cases(&data_set, path));
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

impl CaseFiles {
    /// Returns every file of the case, the labels last. A pair is two files.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        // Reading reports a missing file of a pair.
        let files = |file: &PathBuf| scan_bytes::files_of(file).unwrap_or(vec![file.clone()]);
        self.images.iter().chain(&self.label).flat_map(files)
    }

    /// Reads the case. Its files may lie up to `tolerance_voxels` apart and may have different axis
    /// orders.
    ///
    /// # Errors
    /// Errors with the file that is bad, or with the case if its files together do not fit the
    /// task.
    pub fn read(&self, task: &Task, tolerance_voxels: f64) -> Result<LoadedCase> {
        let mut digest = Sha256::new();
        let mut channels: Vec<Volume> = Vec::new();
        let mut warnings = Vec::new();
        // The file that a wrong number of channels is reported for. With several files of one
        // channel each, no single file is at fault.
        let mut file_at_fault = self.images.first().filter(|_| self.images.len() == 1);
        for image in &self.images {
            let about = |error: Error| error.in_file(image.display().to_string());
            let bytes = ScanBytes::read(image)?;
            bytes.update_digest(&mut digest);
            let reader = bytes.open().map_err(about)?;
            let grid = channels.first().map_or(reader.grid(), |first| first.grid()).clone();
            let (scan, found) = reader.scan_on(&grid, tolerance_voxels).map_err(about)?;
            if scan.volumes.len() > 1 {
                file_at_fault = Some(image);
            }
            channels.extend(scan.volumes);
            warnings.extend(found.into_iter().map(|text| (text, image.clone())));
        }
        let labels = match &self.label {
            None => None,
            Some(file) => {
                let about = |error: Error| error.in_file(file.display().to_string());
                let bytes = ScanBytes::read(file)?;
                bytes.update_digest(&mut digest);
                let reader = bytes.open().map_err(about)?;
                let grid = channels.first().map_or(reader.grid(), |first| first.grid()).clone();
                let (map, found) = reader.labels_on(&grid, tolerance_voxels).map_err(about)?;
                task.check_codes(map.labels()).map_err(about)?;
                warnings.extend(found.into_iter().map(|text| (text, file.clone())));
                Some(map)
            }
        };
        let case = Case::new(self.name.clone(), channels, labels, task);
        let case = case.map_err(|error| match file_at_fault {
            Some(image) => error.in_file(image.display().to_string()),
            None => error,
        })?;
        Ok(LoadedCase { case, digest: digest.finalize().into(), warnings })
    }
}
