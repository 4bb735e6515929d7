//! Data sets as they come: what is asked, and each case's files, from the field's folders or a
//! table of paths. One file a layout.

mod brats;
pub mod by_suffix;
mod check;
mod dataset_json;
mod equal_images;
mod fault;
mod iseg;
mod left_aside;
pub mod listing;
mod nnunet;
mod patients;
pub mod references;
mod scan_bytes;
mod statistics;
mod table;
mod task;
mod warnings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use model_core::{Case, DEFAULT_TOLERANCE_VOXELS, Error, Task, Volume};
use sha2::{Digest, Sha256};

pub use check::{CaseReport, Checked, Warning};
pub use fault::{Fault, list as list_faults};
pub use left_aside::LeftAside;
pub use patients::Patients;
pub use scan_bytes::ScanBytes;
pub use statistics::Intensities;
pub use task::{is_name as is_task_name, resolve as resolve_task};
pub use warnings::WarningCounts;

use trainer_run::progress;

/// A data set: what is asked, and each case's files.
#[derive(Debug, Clone, PartialEq)]
pub struct DataSet {
    /// Its name.
    pub name: String,
    /// Its licence; empty when none is stated.
    pub licence: String,
    /// What a network is asked.
    pub task: Task,
    /// How its files are laid out.
    pub layout: Layout,
    /// The cases with labels.
    pub cases: Vec<CaseFiles>,
    /// The cases without.
    pub unlabeled: Vec<CaseFiles>,
    /// What is wrong with further cases, found while their files were listed.
    pub faults: Vec<Fault>,
    /// What a person should be told of it.
    pub notes: Vec<String>,
    /// Who a case is of, where the data set says so: the patient by the case.
    pub patients: BTreeMap<String, String>,
    /// What lies beside its cases and is not used.
    pub left: LeftAside,
    /// How far apart the files of one case may lie, in voxels.
    pub tolerance_voxels: f64,
}

/// A case as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedCase {
    /// The case, its files in the axis order of the first.
    pub case: Case,
    /// SHA-256 over its files.
    pub digest: [u8; 32],
    /// What a user should know about its files, each as a sentence with its file.
    pub warnings: Vec<(String, PathBuf)>,
}

/// Where a case lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseFiles {
    /// The case's name, which no other case of the data set has.
    pub name: String,
    /// One file with all channels, or one a channel in the task's order; of a `.hdr`/`.img` pair
    /// the header.
    pub images: Vec<PathBuf>,
    /// The labels, where they are known.
    pub label: Option<PathBuf>,
}

/// How a data set's files are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `dataset.json` that lists images and labels.
    Decathlon,
    /// The same, with a file for each channel that the list leaves out.
    NnunetV1,
    /// `dataset.json` without a list; cases are told by their files' names.
    NnunetV2,
    /// `ID_t1ce.nii.gz` and the like, as until 2022.
    BratsUntil2022,
    /// `ID-t1c.nii.gz` and the like, as since 2023.
    BratsSince2023,
    /// `subject-N-T1.hdr` and the like.
    Iseg,
    /// A CSV with a row for each case.
    Table,
}

impl Layout {
    /// The layout's name.
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

/// The task that a data set is opened with.
enum TaskSource {
    /// None was named: the data set has to say it.
    Unnamed,
    /// It was named: a data set that says it too has to agree.
    Named(Task),
    /// A model's: for a data set that does not say any; one that does has to have its channels.
    Model(Task),
}

impl DataSet {
    /// A data set of cases that are known already.
    pub fn new(name: &str, task: Task, cases: Vec<CaseFiles>) -> DataSet {
        DataSet {
            name: name.to_string(),
            licence: String::new(),
            task,
            layout: Layout::Table,
            cases,
            unlabeled: Vec::new(),
            faults: Vec::new(),
            notes: Vec::new(),
            patients: BTreeMap::new(),
            left: LeftAside::default(),
            tolerance_voxels: DEFAULT_TOLERANCE_VOXELS,
        }
    }

    /// Lists a folder or a CSV; `task` names its task, as `--task` takes it. A BraTS folder and a
    /// CSV need one, since they do not say what their labels mean.
    ///
    /// Cases that lack a file are left out, and are among its `faults`.
    ///
    /// # Errors
    /// When it is none of the layouts, or describes nothing that can be used.
    pub fn open(path: &Path, task: Option<&str>) -> Result<DataSet> {
        let wanted = match task {
            None => TaskSource::Unnamed,
            Some(name) => TaskSource::Named(resolve_task(name)?),
        };
        open(path, wanted)
    }

    /// Lists a folder or a CSV for a model of this task, which counts where the data set does not
    /// say its own.
    ///
    /// # Errors
    /// As [`DataSet::open`], and when the data set says that its channels are others, or in another
    /// order, than the model's.
    pub fn open_for_model(path: &Path, task: &Task) -> Result<DataSet> {
        open(path, TaskSource::Model(task.clone()))
    }

    /// Lists a data set to train on: every case of it, or with `skip_bad` those without a fault,
    /// for which each is read once; what is left out is printed. Faults of cases without labels
    /// are only noted.
    ///
    /// # Errors
    /// As [`DataSet::open`]; without `skip_bad` names every case with labels that lacks a file.
    pub fn open_for_training(
        path: &Path,
        task: Option<&str>,
        skip_bad: bool,
        tolerance_voxels: f64,
    ) -> Result<DataSet> {
        let mut data_set = DataSet { tolerance_voxels, ..DataSet::open(path, task)? };
        data_set.notes.iter().for_each(|note| progress::say(format!("note: {note}")));
        if !data_set.left.is_empty() {
            progress::say(data_set.left.text());
        }
        let faults = std::mem::take(&mut data_set.faults);
        let (unused, mut faults): (Vec<Fault>, Vec<Fault>) =
            faults.into_iter().partition(|fault| fault.is_unlabeled);
        if !unused.is_empty() {
            progress::say(format!(
                "note: of cases without labels, which training does not use: {}",
                list_faults(&unused)
            ));
        }
        if skip_bad {
            let checked = check::check(&data_set.task, &data_set.cases, tolerance_voxels);
            let bad = |case: &CaseFiles| checked.iter().any(|c| c.name == case.name && c.is_bad());
            data_set.cases.retain(|case| !bad(case));
            faults.extend(checked.into_iter().flat_map(|checked| checked.faults));
        }
        if faults.is_empty() {
            return Ok(data_set);
        }
        let text = list_faults(&faults);
        ensure!(skip_bad, "{text}\n--skip-bad goes on without these cases");
        progress::say(format!("{text}\ngoing on without these cases"));
        Ok(data_set)
    }

    /// Reads every case in parallel, first those with labels, and says what is in each and all that
    /// is wrong with it. Its own `faults` are of further cases.
    pub fn check(&self) -> Vec<Checked> {
        let all: Vec<CaseFiles> = self.cases.iter().chain(&self.unlabeled).cloned().collect();
        check::check(&self.task, &all, self.tolerance_voxels)
    }

    /// Number of cases with labels.
    pub fn num_cases(&self) -> usize {
        self.cases.len()
    }

    /// Reads a case.
    ///
    /// # Errors
    /// What is wrong, with the file.
    pub fn read(&self, number: usize) -> Result<LoadedCase> {
        self.cases[number].read(&self.task, self.tolerance_voxels)
    }
}

/// The data set at a path, in whichever layout it is.
fn open(path: &Path, wanted: TaskSource) -> Result<DataSet> {
    let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
    let file_name = path.file_name().unwrap_or_default();
    let mut data_set = if path.is_file() && ending == "csv" {
        table::open(path, wanted)?
    } else if path.is_file() && file_name == "dataset.json" {
        dataset_json::open(path.parent().unwrap_or(Path::new("")), wanted)?
    } else {
        ensure!(
            path.is_dir(),
            "expected the folder of a data set or a CSV of paths, found {} {}",
            if path.exists() { "the file" } else { "nothing at" },
            path.display()
        );
        if path.join("dataset.json").is_file() {
            dataset_json::open(path, wanted)?
        } else {
            open_by_names(path, wanted)?
        }
    };
    data_set.faults.extend(fault::doubled(&mut data_set.cases, &mut data_set.unlabeled));
    data_set.faults.extend(fault::of_none(&data_set, path));
    Ok(data_set)
}

/// A folder that only its files' names describe.
fn open_by_names(folder: &Path, wanted: TaskSource) -> Result<DataSet> {
    let listing = listing::below(folder)?;
    if iseg::groups(folder, &listing.scans).is_some() {
        return iseg::open(folder, listing, wanted);
    }
    if brats::is_brats(folder, &listing.scans) {
        return brats::open(folder, listing, wanted);
    }
    let mut found = match listing.scans.first() {
        None => "no scans (.nii, .nii.gz, .hdr)".to_string(),
        Some(first) => format!("{} scans such as {}", listing.scans.len(), first.display()),
    };
    listing.left.lines().iter().for_each(|line| found += &format!(", {line}"));
    bail!(
        "expected a data set: dataset.json with imagesTr/ and labelsTr/ (Decathlon, nnU-Net), \
         ID/ID_t1ce.nii.gz … or ID/ID-t1c.nii.gz … (BraTS), subject-N-T1.hdr … (iSeg), or a CSV of \
         paths, which describes any other layout; found {found} in {}",
        folder.display()
    )
}

impl CaseFiles {
    /// Every file that the case is read from, the labels' last.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        // What a pair lacks is said when it is read.
        let parts = |file: &PathBuf| scan_bytes::parts(file).unwrap_or(vec![file.clone()]);
        self.images.iter().chain(&self.label).flat_map(parts)
    }

    /// Reads the case; its files may lie `tolerance_voxels` apart, and be stored in different axis
    /// orders.
    ///
    /// # Errors
    /// What is wrong, with the file, or the case where its files do not fit the task together.
    pub fn read(&self, task: &Task, tolerance_voxels: f64) -> Result<LoadedCase> {
        let mut digest = Sha256::new();
        let mut channels: Vec<Volume> = Vec::new();
        let mut warnings = Vec::new();
        // Of several files none is to blame for a channel too few.
        let mut blamed = self.images.first().filter(|_| self.images.len() == 1);
        for image in &self.images {
            let about = |error: Error| error.in_file(image.display().to_string());
            let bytes = ScanBytes::read(image)?;
            bytes.update(&mut digest);
            let reader = bytes.open().map_err(about)?;
            let grid = channels.first().map_or(reader.grid(), |first| first.grid()).clone();
            let (scan, found) = reader.scan_on(&grid, tolerance_voxels).map_err(about)?;
            if scan.volumes.len() > 1 {
                blamed = Some(image);
            }
            channels.extend(scan.volumes);
            warnings.extend(found.into_iter().map(|text| (text, image.clone())));
        }
        let labels = match &self.label {
            None => None,
            Some(file) => {
                let about = |error: Error| error.in_file(file.display().to_string());
                let bytes = ScanBytes::read(file)?;
                bytes.update(&mut digest);
                let reader = bytes.open().map_err(about)?;
                let grid = channels.first().map_or(reader.grid(), |first| first.grid()).clone();
                let (map, found) = reader.labels_on(&grid, tolerance_voxels).map_err(about)?;
                task.check_codes(map.labels()).map_err(about)?;
                warnings.extend(found.into_iter().map(|text| (text, file.clone())));
                Some(map)
            }
        };
        let case = Case::new(self.name.clone(), channels, labels, task);
        let case = case.map_err(|error| match blamed {
            Some(image) => error.in_file(image.display().to_string()),
            None => error,
        })?;
        Ok(LoadedCase { case, digest: digest.finalize().into(), warnings })
    }
}
