//! Segments scans one after the other and writes the files of each result.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use model_core::formats::nifti;

use super::extent::ChosenExtent;
use super::inputs::Inputs;
use super::prepared;
use super::record::{MadeBy, Record, RegionVolume, sha256_of};
use super::result_files::{ResultFiles, check_names, sources};
use super::{Prediction, Predictor};
use trainer_data::data_set::{CaseFiles, LoadedCase, WarningCounts};
use trainer_run::files;
use trainer_run::files::lock::{FolderLock, LOCK};
use trainer_run::reporter::Reporter;

/// The outcome of segmenting several scans.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    /// The number of scans that were segmented.
    pub num_segmented: usize,
    /// The number of existing results of the same models and settings, which were kept.
    pub num_kept: usize,
    /// The faults of the other scans, each with its file.
    pub faults: Vec<String>,
    /// For each extent, the number of its uses and the first reason for it.
    pub extents: BTreeMap<String, (usize, String)>,
    /// The notes on tiles and on feature maps in f16, if there were any.
    pub note: Option<String>,
    /// Warnings about the scans, such as two voxel sizes in one header.
    pub warnings: Vec<String>,
}

/// A result of a scan.
enum ScanResult {
    /// The scan was segmented.
    New(Record),
    /// The existing result was kept.
    Kept(Record),
}

impl Predictor {
    /// Segments scans and writes `NAME.nii.gz` and `NAME.json` for each into `out`. Reports the
    /// volumes of the regions as results. All scans are tried. An existing result is kept if the
    /// same models and settings made it from the same scan.
    ///
    /// `profile` is the text of the profile by which models are selected. With `overwrite`,
    /// existing results are made again. Other files are never replaced.
    ///
    /// # Errors
    /// Errors if an existing result was made in another way, if `out` cannot be written to, or if
    /// another process writes other results there. Faults of scans are part of the outcome.
    pub fn write_all(
        &self,
        inputs: &Inputs,
        out: &Path,
        profile: Option<&str>,
        overwrite: bool,
        reporter: &dyn Reporter,
    ) -> Result<Outcome> {
        let made_by = MadeBy::new(self.ids(), &self.settings, profile);
        let made_by = MadeBy { engine: self.backend.engine(), ..made_by };
        let _lock = FolderLock::shared(out, &made_by.fingerprint())?;
        files::remove_parts(out, files::LEFT_OVER);
        check_names(&inputs.cases, out.join(LOCK.to_uppercase()).exists())?;
        let sources = sources(&inputs.cases);
        let mut outcome = Outcome { faults: inputs.faults.clone(), ..Outcome::default() };
        // Checked for all scans before hours of work.
        let is_writable = |case: &&CaseFiles| {
            let checked = ResultFiles::new(out, &case.name).check(&sources, overwrite);
            checked.map_err(|error| outcome.add_fault(&case.name, &error, reporter)).is_ok()
        };
        let cases: Vec<&CaseFiles> = inputs.cases.iter().filter(is_writable).collect();
        if !overwrite {
            refuse_other_results(&cases, out, &made_by)?;
        }
        let names: Vec<&str> = self.task().regions.iter().map(|r| r.name.as_str()).collect();
        reporter.result(&format!("volumes in ml\ncase\t{}", names.join("\t")));
        let warnings = WarningCounts::default();
        let progress = reporter.start_task("segmenting", Some(cases.len() as u64));
        for case in cases {
            progress.describe_item(&case.name);
            let on_progress =
                |text: String| progress.describe_item(&format!("{}{text}", case.name));
            let files = ResultFiles::new(out, &case.name);
            let result = match overwrite || !files.labels.exists() {
                true => self.write_result(case, &files, &made_by, on_progress).map(ScanResult::New),
                false => keep_result(case, &files, &made_by, reporter).map(ScanResult::Kept),
            };
            match result {
                Ok(result) => {
                    let (ScanResult::New(record) | ScanResult::Kept(record)) = &result;
                    if outcome.note.is_none() {
                        describe_noted_extent(record).iter().for_each(|t| reporter.message(t));
                    }
                    let mut distinct = record.warnings.clone();
                    distinct.dedup();
                    distinct.iter().for_each(|text| warnings.add(text, &case.images[0]));
                    let volumes = record.volumes.iter().map(|v| format!("{:.3}", v.volume_ml));
                    let volumes = volumes.collect::<Vec<_>>().join("\t");
                    reporter.result(&format!("{}\t{volumes}", case.name));
                    outcome.add_result(&result);
                }
                Err(error) => outcome.add_fault(&case.name, &error, reporter),
            }
            progress.advance();
        }
        outcome.warnings = warnings.lines();
        Ok(outcome)
    }

    /// Segments a scan and writes its result.
    fn write_result(
        &self,
        case: &CaseFiles,
        files: &ResultFiles,
        made_by: &MadeBy,
        on_progress: impl FnMut(String),
    ) -> Result<Record> {
        let started = SystemTime::now();
        let images = CaseFiles { label: None, ..case.clone() };
        let LoadedCase { case: scan, digest, warnings } =
            images.read(self.task(), self.settings.tolerance_voxels)?;
        let prediction = self.segment(&scan, on_progress)?;
        let labels = nifti::write_labels(&prediction.labels);
        let probabilities = prediction.probabilities.as_ref();
        let probabilities = probabilities.map(|p| nifti::write_volumes(p)).transpose()?;
        let mut contents = vec![(&*files.labels, &labels[..])];
        contents.extend(probabilities.as_ref().map(|bytes| (&*files.probabilities, &bytes[..])));
        let digest = hex::encode(digest);
        let record = Record::new(&case.name, digest, made_by.clone(), started);
        let record = Record {
            sha256_by_file: files.sha256_by_file(&contents),
            preparation: prepared::record_beside(&case.images),
            warnings: warnings.into_iter().map(|(text, _)| text).collect(),
            ..self.describe_prediction(record, &prediction)
        };
        // The label map is removed first and written last: an existing label map has its own
        // record. A process that is killed in between leaves a record that describes the files that
        // are there.
        remove_file(&files.labels)?;
        // Probabilities of the previous result must not be taken for those of this one.
        remove_file(&files.probabilities)?;
        record.write(&files.record)?;
        if let Some(bytes) = &probabilities {
            let folder = files::folder_of(&files.probabilities);
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
            files::write(&files.probabilities, bytes)?;
        }
        files::write(&files.labels, &labels)?;
        Ok(record)
    }

    fn describe_prediction(&self, record: Record, prediction: &Prediction) -> Record {
        let volume = |region: &model_core::Region| RegionVolume {
            region: region.name.clone(),
            volume_ml: prediction.labels.volume_ml(&region.labels),
        };
        Record {
            selection: prediction.selection.clone(),
            volumes: self.task().regions.iter().map(volume).collect(),
            device: self.backend.describe(),
            ..record.with_extents(prediction.extents.clone())
        }
    }
}

impl Outcome {
    /// Reports and records the fault of a scan.
    fn add_fault(&mut self, case: &str, error: &anyhow::Error, reporter: &dyn Reporter) {
        let fault = format!("{case}: {error:#}");
        reporter.message(&fault);
        self.faults.push(fault);
    }

    fn add_result(&mut self, result: &ScanResult) {
        let record = match result {
            ScanResult::New(record) => {
                self.num_segmented += 1;
                record
            }
            ScanResult::Kept(record) => {
                self.num_kept += 1;
                record
            }
        };
        for chosen in &record.extents {
            let first = || (0, format!("{}: {}", record.case, chosen.reason));
            self.extents.entry(chosen.to_string()).or_insert_with(first).0 += 1;
        }
        if record.note.is_some() {
            self.note.clone_from(&record.note);
        }
    }

    /// Formats the outcome, without the faults.
    pub fn summary(&self) -> String {
        let scans = if self.num_segmented == 1 { "scan" } else { "scans" };
        let mut text = format!("{} {scans} segmented", self.num_segmented);
        if self.num_kept > 0 {
            let kept = self.num_kept;
            text += &format!(", {kept} kept: results of the same models and settings");
        }
        for (extent, (count, reason)) in &self.extents {
            let times = if *count == 1 { "once" } else { &format!("{count} times") };
            text += &format!("\n{extent}: {times} ({reason})");
        }
        self.note.iter().chain(&self.warnings).for_each(|line| text += &format!("\n{line}"));
        text
    }
}

/// Describes the first extent of a record that changes the result: tiles, or feature maps in f16.
fn describe_noted_extent(record: &Record) -> Option<String> {
    let noted = record.extents.iter().find(|chosen: &&ChosenExtent| !chosen.notes().is_empty())?;
    Some(format!("{}: {noted} ({})", record.case, noted.reason))
}

/// Returns the record of the existing result.
///
/// # Errors
/// Errors if the result is of another scan, or was made in another way.
fn keep_result(
    case: &CaseFiles,
    files: &ResultFiles,
    made_by: &MadeBy,
    reporter: &dyn Reporter,
) -> Result<Record> {
    let scan_sha256 = sha256_of(&case.images)?;
    let labels = &files.labels;
    let record = files.read_record().filter(|record| record.scan_sha256 == scan_sha256);
    let record = record.with_context(|| {
        format!(
            "expected the result of this scan, found another scan's in {}; --overwrite replaces it",
            labels.display()
        )
    })?;
    // Another process may have written the result since all results were checked.
    let differences = record.made_by.differences(made_by);
    ensure!(
        differences.is_empty(),
        "expected a result of the same models and settings, found another (then, now): {} (in {})",
        differences.join("; "),
        labels.display()
    );
    if files.is_changed(labels, &record)? {
        reporter.message(&format!(
            "{}: the label map was changed since it was written; the volumes are those of the \
             original (in {})",
            record.case,
            labels.display()
        ));
    }
    Ok(record)
}

/// Removes a file if it exists.
fn remove_file(file: &Path) -> Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result.with_context(|| format!("cannot replace {}", file.display())),
    }
}

/// Refuses to continue among results that were made in another way: a folder with results of two
/// models would look like one result.
fn refuse_other_results(cases: &[&CaseFiles], out: &Path, made_by: &MadeBy) -> Result<()> {
    let mut others = Vec::new();
    for case in cases {
        let files = ResultFiles::new(out, &case.name);
        if let Some(record) = files.read_record().filter(|_| files.labels.exists()) {
            let differences = record.made_by.differences(made_by);
            if !differences.is_empty() {
                others.push(format!("{}: {}", files.labels.display(), differences.join("; ")));
            }
        }
    }
    let listed: Vec<&str> = others.iter().take(5).map(String::as_str).collect();
    ensure!(
        others.is_empty(),
        "{} existing results were made in another way (then, now):\n  {}{}\n--overwrite makes them \
         again; or give another --out",
        others.len(),
        listed.join("\n  "),
        if others.len() > listed.len() { "\n  …" } else { "" }
    );
    Ok(())
}
