//! Reads every case, and says what is in it and all that is wrong with it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Error, Result};
use model_core::{BUILTIN_TASKS, Grid, LabelMap, Task, check_contrast};
use rayon::prelude::*;
use serde::Serialize;

use super::warnings::without_numbers;
use super::{CaseFiles, Fault, Intensities, ScanBytes};
use trainer_run::budget::Budget;
use trainer_run::progress;

/// The most that files and voxels in work take at once; a file that is larger goes alone.
const WHOLE_BYTES: u64 = 4 << 30;

/// What was found in a case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Checked {
    /// The case's name.
    pub name: String,
    /// All that keeps it from being used.
    pub faults: Vec<Fault>,
    /// What does not, but should be known.
    pub warnings: Vec<Warning>,
    /// What is in it; none where its images cannot be read.
    pub facts: Option<CaseReport>,
}

/// What is in a case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseReport {
    /// Voxels along right, front, top.
    pub dims: [usize; 3],
    /// Spacing along right, front, top.
    pub spacing_mm: [f64; 3],
    /// Where the file's axes point, such as "LPS".
    pub orientation: String,
    /// The channels' intensities, in the task's order.
    pub channels: Vec<Intensities>,
    /// The volume of each of the task's labels; none where no labels are known or can be read.
    pub volumes_ml: Option<Vec<f64>>,
}

/// Something of a case that should be known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// What it is, the same for every case.
    pub what: String,
    /// What it is in this case; often nothing.
    pub detail: String,
    /// Where it stands.
    pub file: PathBuf,
}

impl Checked {
    /// Whether it cannot be used.
    pub fn is_bad(&self) -> bool {
        !self.faults.is_empty()
    }
}

/// Checks cases in parallel.
pub(super) fn check(task: &Task, cases: &[CaseFiles], tolerance_voxels: f64) -> Vec<Checked> {
    let bar = progress::bar("checking cases", cases.len() as u64);
    let budget = Budget::new(WHOLE_BYTES);
    let check = |case: &CaseFiles| {
        let mut checked = CaseInspector::new(task, case, &budget, tolerance_voxels).look();
        let is_unlabeled = case.label.is_none();
        checked.faults.iter_mut().for_each(|fault| fault.is_unlabeled = is_unlabeled);
        bar.inc(1);
        checked
    };
    // One case at a time to a thread: the cost of cases differs.
    let checked = cases.par_iter().with_max_len(1).map(check).collect();
    bar.finish_and_clear();
    checked
}

/// A case that is being looked at.
struct CaseInspector<'a> {
    task: &'a Task,
    case: &'a CaseFiles,
    budget: &'a Budget,
    tolerance_voxels: f64,
    found: Checked,
    /// Of the first image that could be read.
    grid: Option<Grid>,
    channels: Vec<Intensities>,
}

impl<'a> CaseInspector<'a> {
    fn new(
        task: &'a Task,
        case: &'a CaseFiles,
        budget: &'a Budget,
        tolerance_voxels: f64,
    ) -> CaseInspector<'a> {
        let name = case.name.clone();
        let found = Checked { name, faults: Vec::new(), warnings: Vec::new(), facts: None };
        CaseInspector {
            task,
            case,
            budget,
            tolerance_voxels,
            found,
            grid: None,
            channels: Vec::new(),
        }
    }

    fn look(mut self) -> Checked {
        for file in &self.case.images {
            if let Err(error) = self.image(file) {
                self.fault(error, file);
            }
        }
        self.check_channels();
        let labels = self.case.label.as_ref().and_then(|file| match self.labels(file) {
            Ok(labels) => labels,
            Err(error) => {
                self.fault(error, file);
                None
            }
        });
        let Some(grid) = self.grid else { return self.found };
        let orientation = grid.orientation();
        let spacing_mm = grid.world_from_voxel.spacing_mm();
        let codes = self.task.labels.iter().map(|label| label.code);
        self.found.facts = Some(CaseReport {
            dims: orientation.canonical_dims(grid.dims),
            spacing_mm: orientation.axes.map(|axis| spacing_mm[axis]),
            orientation: orientation.letters().iter().collect(),
            channels: self.channels,
            volumes_ml: labels.map(|map| codes.map(|code| map.volume_ml(&[code])).collect()),
        });
        self.found
    }

    /// A file's error as a fault, which names the file once.
    fn fault(&mut self, error: Error, file: &Path) {
        let text = error.root_cause().to_string();
        let text = if error.chain().len() > 1 { format!("cannot be read: {text}") } else { text };
        let named = text.contains(&file.display().to_string());
        let file = (!named).then(|| file.to_path_buf());
        self.found.faults.push(Fault::new(&self.case.name, text, file));
    }

    fn warn(&mut self, what: &str, detail: String, file: &Path) {
        if !self.found.warnings.iter().any(|warning| warning.what == what) {
            let warning = Warning { what: what.to_string(), detail, file: file.to_path_buf() };
            self.found.warnings.push(warning);
        }
    }

    /// Adds the sentences that reading a file gave; numbers are the case's own.
    fn warn_all(&mut self, sentences: Vec<String>, file: &Path) {
        for text in sentences {
            let what = without_numbers(&text).split_whitespace().collect::<Vec<_>>().join(" ");
            let has_numbers = text.contains(|c: char| c.is_ascii_digit());
            self.warn(&what, if has_numbers { text } else { String::new() }, file);
        }
    }

    fn image(&mut self, file: &Path) -> Result<()> {
        // The channels, and a copy of one.
        let decoded = |voxels: u64, channels: u64| 4 * voxels * (channels + 1);
        let _held = self.budget.take(ScanBytes::working_bytes(file, decoded)?);
        let bytes = ScanBytes::read(file)?;
        let reader = bytes.open()?;
        let grid = self.grid.as_ref().unwrap_or(reader.grid()).clone();
        let (scan, warnings) = reader.scan_on(&grid, self.tolerance_voxels)?;
        self.warn_all(warnings, file);
        let channels = scan.volumes.iter().zip(scan.num_non_finite);
        let channels = channels.map(|(volume, count)| Intensities::of(volume, count));
        let measured: Vec<Intensities> = channels.collect();
        let bad: u64 = measured.iter().map(|channel| channel.num_non_finite).sum();
        if bad > 0 {
            let all = grid.num_voxels() as u64 * measured.len() as u64;
            let percent = 100.0 * bad as f64 / all as f64;
            let what = "voxels that are NaN or infinite, which are read as 0";
            self.warn(what, format!("{bad} voxels, {percent:.2} %"), file);
        }
        self.channels.extend(measured);
        self.grid.get_or_insert(grid);
        Ok(())
    }

    fn check_channels(&mut self) {
        let (expected, found) = (self.task.channels.len(), self.channels.len());
        let first = self.case.images.first().cloned().unwrap_or_default();
        if self.found.faults.is_empty() && expected != found {
            let names = self.task.channels.join(", ");
            let channels =
                if expected == 1 { "1 channel".into() } else { format!("{expected} channels") };
            let what = format!("expected {channels} ({names}), found {found}");
            self.found.faults.push(Fault::new(&self.case.name, what, Some(first)));
            return;
        }
        let names = self.task.channels.iter().zip(&self.channels);
        let constant = names.filter(|(_, channel)| channel.is_constant());
        let constant: Vec<&str> = constant.map(|(name, _)| name.as_str()).collect();
        if constant.is_empty() {
            return;
        }
        let ranges: Vec<_> = self.channels.iter().map(|c| [c.min, c.max]).collect();
        if let Err(error) = check_contrast(&ranges) {
            self.found.faults.push(Fault::new(&self.case.name, error, Some(first)));
        } else {
            self.warn("a channel with one value in all voxels", constant.join(", "), &first);
        }
    }

    /// The labels, where they are of the task's scheme.
    fn labels(&mut self, file: &Path) -> Result<Option<LabelMap>> {
        let _held = self.budget.take(ScanBytes::working_bytes(file, |voxels, _| voxels)?);
        let bytes = ScanBytes::read(file)?;
        let reader = bytes.open()?;
        if reader.is_float() {
            self.warn("labels that are stored as floats", String::new(), file);
        }
        let grid = self.grid.clone().unwrap_or_else(|| reader.grid().clone());
        let (map, warnings) = match grid.align(reader.grid(), self.tolerance_voxels) {
            Ok(_) => reader.labels_on(&grid, self.tolerance_voxels)?,
            Err(error) => {
                self.fault(error.into(), file);
                (reader.labels()?, Vec::new())
            }
        };
        self.warn_all(warnings, file);
        if let Err(error) = self.task.check_codes(map.labels()) {
            let text = format!("{error}{}", schemes(self.task, map.labels()));
            self.found.faults.push(Fault::new(&self.case.name, text, Some(file.to_path_buf())));
            return Ok(None);
        }
        if map.labels().iter().all(|&label| label == 0) {
            self.warn("labels that are background only", String::new(), file);
        }
        Ok(Some(map))
    }
}

/// Which built-in tasks of the same channels know all codes of a map: for a person to choose from.
fn schemes(task: &Task, labels: &[u8]) -> String {
    let codes: Vec<u8> = labels.iter().copied().collect::<BTreeSet<u8>>().into_iter().collect();
    let knows = |name: &&str| {
        let other = Task::builtin(name).ok();
        other.is_some_and(|o| o.channels == task.channels && o.check_codes(&codes).is_ok())
    };
    let names: Vec<&str> = BUILTIN_TASKS.into_iter().filter(knows).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!("; all values are known to {}", names.join(", ")),
    }
}
