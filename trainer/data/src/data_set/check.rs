//! Reads every case and reports its content, warnings and faults.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Error, Result};
use model_core::{BUILTIN_TASKS, Grid, LabelMap, Task, check_contrast};
use rayon::prelude::*;
use serde::Serialize;

use super::fault::empty_if_none;
use super::warnings::without_numbers;
use super::{CaseFiles, Fault, IntensityStats, ScanBytes};
use trainer_run::budget::Budget;
use trainer_run::reporter::Reporter;

/// The largest memory of the files that are read at once. A larger file is read alone.
const MAX_BYTES_AT_ONCE: u64 = 4 << 30;

/// The result of checking a case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckedCase {
    /// The case's name.
    pub name: String,
    /// The reasons why the case cannot be used.
    pub faults: Vec<Fault>,
    /// Observations that do not prevent its use.
    pub warnings: Vec<Warning>,
    /// The case's content, or `None` if its images cannot be read.
    #[serde(rename = "facts")]
    pub report: Option<CaseReport>,
}

/// The content of a case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseReport {
    /// Voxels along right, front, top.
    pub dims: [usize; 3],
    /// Spacing along right, front, top.
    pub spacing_mm: [f64; 3],
    /// The directions of the file's axes, such as "LPS".
    pub orientation: String,
    /// The channels' intensities, in the task's order.
    pub channels: Vec<IntensityStats>,
    /// The volume of each of the task's labels, or `None` if the case has no readable labels.
    pub volumes_ml: Option<Vec<f64>>,
}

/// An observation about a case that the user should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// The kind of warning. The text is the same for every case.
    #[serde(rename = "what")]
    pub message: String,
    /// Details about this case.
    #[serde(serialize_with = "empty_if_none")]
    pub detail: Option<String>,
    /// The file that the warning is about.
    pub file: PathBuf,
}

impl CheckedCase {
    /// Returns whether the case cannot be used.
    pub fn is_bad(&self) -> bool {
        !self.faults.is_empty()
    }
}

/// Checks cases in parallel.
pub(super) fn check(
    task: &Task,
    cases: &[CaseFiles],
    tolerance_voxels: f64,
    reporter: &dyn Reporter,
) -> Vec<CheckedCase> {
    let progress = reporter.start_task("checking cases", Some(cases.len() as u64));
    let budget = Budget::new(MAX_BYTES_AT_ONCE);
    let check = |case: &CaseFiles| {
        let mut checked = CaseInspector::new(task, case, &budget, tolerance_voxels).inspect();
        let is_unlabeled = case.label.is_none();
        checked.faults.iter_mut().for_each(|fault| fault.is_unlabeled = is_unlabeled);
        progress.advance();
        checked
    };
    // Threads take one case at a time, because the cost of cases differs.
    cases.par_iter().with_max_len(1).map(check).collect()
}

/// Inspects one case.
struct CaseInspector<'a> {
    task: &'a Task,
    case: &'a CaseFiles,
    budget: &'a Budget,
    tolerance_voxels: f64,
    result: CheckedCase,
    /// The grid of the first image that could be read.
    grid: Option<Grid>,
    channels: Vec<IntensityStats>,
}

impl<'a> CaseInspector<'a> {
    fn new(
        task: &'a Task,
        case: &'a CaseFiles,
        budget: &'a Budget,
        tolerance_voxels: f64,
    ) -> CaseInspector<'a> {
        let name = case.name.clone();
        let result = CheckedCase { name, faults: Vec::new(), warnings: Vec::new(), report: None };
        CaseInspector {
            task,
            case,
            budget,
            tolerance_voxels,
            result,
            grid: None,
            channels: Vec::new(),
        }
    }

    fn inspect(mut self) -> CheckedCase {
        for file in &self.case.images {
            if let Err(error) = self.check_image(file) {
                self.fault(error, file);
            }
        }
        self.check_channels();
        let labels = self.case.label.as_ref().and_then(|file| match self.check_labels(file) {
            Ok(labels) => labels,
            Err(error) => {
                self.fault(error, file);
                None
            }
        });
        let Some(grid) = self.grid else { return self.result };
        let orientation = grid.orientation();
        let spacing_mm = grid.world_from_voxel.spacing_mm();
        let codes = self.task.labels.iter().map(|label| label.code);
        self.result.report = Some(CaseReport {
            dims: orientation.canonical_dims(grid.dims),
            spacing_mm: orientation.axes.map(|axis| spacing_mm[axis]),
            orientation: orientation.letters().iter().collect(),
            channels: self.channels,
            volumes_ml: labels.map(|map| codes.map(|code| map.volume_ml(&[code])).collect()),
        });
        self.result
    }

    /// Records a file's error as a fault that names the file once.
    fn fault(&mut self, error: Error, file: &Path) {
        let text = error.root_cause().to_string();
        let text = if error.chain().len() > 1 { format!("cannot be read: {text}") } else { text };
        let named = text.contains(&file.display().to_string());
        let file = (!named).then(|| file.to_path_buf());
        self.result.faults.push(Fault::of_case(&self.case.name, text, file));
    }

    fn warn(&mut self, message: &str, detail: Option<String>, file: &Path) {
        if !self.result.warnings.iter().any(|warning| warning.message == message) {
            let message = message.to_string();
            self.result.warnings.push(Warning { message, detail, file: file.to_path_buf() });
        }
    }

    /// Adds the warnings of reading a file. A sentence with numbers becomes the detail.
    fn warn_all(&mut self, sentences: Vec<String>, file: &Path) {
        for text in sentences {
            let message = without_numbers(&text).split_whitespace().collect::<Vec<_>>().join(" ");
            let has_numbers = text.contains(|c: char| c.is_ascii_digit());
            self.warn(&message, has_numbers.then_some(text), file);
        }
    }

    fn check_image(&mut self, file: &Path) -> Result<()> {
        // The channels, and a copy of one channel.
        let decoded = |voxels: u64, channels: u64| 4 * voxels * (channels + 1);
        let _reserved = self.budget.take(ScanBytes::working_bytes(file, decoded)?);
        let bytes = ScanBytes::read(file)?;
        let reader = bytes.open()?;
        let grid = self.grid.as_ref().unwrap_or(reader.grid()).clone();
        let (scan, warnings) = reader.scan_on(&grid, self.tolerance_voxels)?;
        self.warn_all(warnings, file);
        let channels = scan.volumes.iter().zip(scan.num_non_finite);
        let channels = channels.map(|(volume, count)| IntensityStats::measure(volume, count));
        let measured: Vec<IntensityStats> = channels.collect();
        let bad: u64 = measured.iter().map(|channel| channel.num_non_finite).sum();
        if bad > 0 {
            let all = grid.num_voxels() as u64 * measured.len() as u64;
            let percent = 100.0 * bad as f64 / all as f64;
            let message = "voxels that are NaN or infinite, which are read as 0";
            self.warn(message, Some(format!("{bad} voxels, {percent:.2} %")), file);
        }
        self.channels.extend(measured);
        self.grid.get_or_insert(grid);
        Ok(())
    }

    fn check_channels(&mut self) {
        let (expected, found) = (self.task.channels.len(), self.channels.len());
        let first = self.case.images.first().cloned().unwrap_or_default();
        if self.result.faults.is_empty() && expected != found {
            let names = self.task.channels.join(", ");
            let channels =
                if expected == 1 { "1 channel".into() } else { format!("{expected} channels") };
            let message = format!("expected {channels} ({names}), found {found}");
            self.result.faults.push(Fault::of_case(&self.case.name, message, Some(first)));
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
            self.result.faults.push(Fault::of_case(&self.case.name, error, Some(first)));
        } else {
            let channels = Some(constant.join(", "));
            self.warn("a channel with one value in all voxels", channels, &first);
        }
    }

    /// Checks and returns the labels. Returns `None` if they have codes that the task does not
    /// know.
    fn check_labels(&mut self, file: &Path) -> Result<Option<LabelMap>> {
        let _reserved = self.budget.take(ScanBytes::working_bytes(file, |voxels, _| voxels)?);
        let bytes = ScanBytes::read(file)?;
        let reader = bytes.open()?;
        if reader.is_float() {
            self.warn("labels that are stored as floats", None, file);
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
            let text = format!("{error}{}", tasks_with_labels(self.task, map.labels()));
            self.result.faults.push(Fault::of_case(
                &self.case.name,
                text,
                Some(file.to_path_buf()),
            ));
            return Ok(None);
        }
        if map.labels().iter().all(|&label| label == 0) {
            self.warn("labels that are background only", None, file);
        }
        Ok(Some(map))
    }
}

/// Returns a hint with the built-in tasks of the same channels that know all codes of a map.
fn tasks_with_labels(task: &Task, labels: &[u8]) -> String {
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
