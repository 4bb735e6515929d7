//! Segments scans one after the other, and writes `NAME.nii.gz` with its `NAME.json` for each.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use model_core::formats::nifti;

use super::fit::Choice;
use super::inputs::Inputs;
pub use super::place::PROBABILITIES;
use super::place::{ResultPlace, check_names, sources};
use super::record::{MadeBy, Record, RegionVolume, sha256_of};
use super::{Prediction, Predictor};
use trainer_data::data_set::{CaseFiles, LoadedCase, WarningCounts};
use trainer_run::files::lock::{FolderLock, LOCK};
use trainer_run::{files, progress};

/// What came of the scans.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    /// How many were segmented now.
    pub segmented: usize,
    /// How many were there already, by the same models and settings.
    pub kept: usize,
    /// What is wrong with the others, each with its file.
    pub faults: Vec<String>,
    /// For each way that networks were shown scans, how often, and why at first.
    pub shown: BTreeMap<String, (usize, String)>,
    /// What a sliding window means, and maps in half precision, where there were some.
    pub note: String,
    /// What a user should know about the scans, such as two voxel sizes in one header.
    pub warnings: Vec<String>,
}

impl Predictor {
    /// Segments scans, writes `NAME.nii.gz` and `NAME.json` for each into `out`, and prints the
    /// volumes of the regions. All scans are tried. Results that are there already are kept where
    /// the same models and settings made them of the same scan.
    ///
    /// `profile` is the text of the profile that models are selected by. With `overwrite` all
    /// results are made again. A file that this does not write is never replaced.
    ///
    /// # Errors
    /// When a result that is there was made otherwise, `out` cannot be written to, or another process
    /// writes other results there. What is wrong with a scan is a fault of the outcome.
    pub fn write_all(
        &self,
        inputs: &Inputs,
        out: &Path,
        profile: Option<&str>,
        overwrite: bool,
    ) -> Result<Outcome> {
        let made_by = MadeBy::new(self.ids(), &self.settings, profile);
        let made_by = MadeBy { engine: self.backend.engine(), ..made_by };
        let _lock = FolderLock::shared(out, &made_by.fingerprint())?;
        files::remove_parts(out, files::LEFT_OVER);
        check_names(&inputs.cases, out.join(LOCK.to_uppercase()).exists())?;
        let sources = sources(&inputs.cases);
        let mut outcome = Outcome { faults: inputs.faults.clone(), ..Outcome::default() };
        // Before hours of work.
        let is_free = |case: &&CaseFiles| {
            let place = ResultPlace::new(out, &case.name);
            place
                .check(&sources, overwrite)
                .map_err(|error| outcome.fault(&case.name, &error))
                .is_ok()
        };
        let cases: Vec<&CaseFiles> = inputs.cases.iter().filter(is_free).collect();
        if !overwrite {
            refuse_others(&cases, out, &made_by)?;
        }
        let names: Vec<&str> = self.task().regions.iter().map(|r| r.name.as_str()).collect();
        println!("volumes in ml\ncase\t{}", names.join("\t"));
        let warnings = WarningCounts::default();
        let bar = progress::bar("segmenting", cases.len() as u64);
        for case in cases {
            bar.set_message(case.name.clone());
            let tell = |text: String| bar.set_message(format!("{}{text}", case.name));
            let result = self.one(case, out, &made_by, overwrite, tell);
            match result {
                Ok((record, is_new)) => {
                    if outcome.note.is_empty() && !record.note.is_empty() {
                        progress::line(&bar, told(&record));
                    }
                    let mut distinct = record.warnings.clone();
                    distinct.dedup();
                    distinct.iter().for_each(|text| warnings.add(text, &case.images[0]));
                    outcome.note(&record, is_new);
                    let volumes = record.volumes.iter().map(|v| format!("{:.3}", v.volume_ml));
                    let volumes = volumes.collect::<Vec<_>>().join("\t");
                    bar.suspend(|| println!("{}\t{volumes}", case.name));
                }
                Err(error) => bar.suspend(|| outcome.fault(&case.name, &error)),
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        outcome.warnings = warnings.lines();
        Ok(outcome)
    }

    /// Segments a scan, or finds the result that is there.
    fn one(
        &self,
        case: &CaseFiles,
        out: &Path,
        made_by: &MadeBy,
        overwrite: bool,
        tell: impl FnMut(String),
    ) -> Result<(Record, bool)> {
        let place = ResultPlace::new(out, &case.name);
        if !overwrite && place.labels.exists() {
            return kept(&place, &sha256_of(&case.images)?, made_by).map(|record| (record, false));
        }
        let started = SystemTime::now();
        let images = CaseFiles { label: None, ..case.clone() };
        let LoadedCase { case: scan, digest, warnings } =
            images.read(self.task(), self.settings.tolerance_voxels)?;
        let prediction = self.segment(&scan, tell)?;
        let labels = nifti::write_labels(&prediction.labels);
        let probabilities = prediction.probabilities.as_ref();
        let probabilities = probabilities.map(|p| nifti::write_volumes(p)).transpose()?;
        let mut contents = vec![(&*place.labels, &labels[..])];
        contents.extend(probabilities.as_ref().map(|bytes| (&*place.probabilities, &bytes[..])));
        let digest = hex::encode(digest);
        let record = self.record(&case.name, digest, made_by, &prediction, started);
        let record = Record {
            written: place.written(&contents),
            warnings: warnings.into_iter().map(|(text, _)| text).collect(),
            ..record
        };
        // The label map goes first and comes last: where it is, its record is its own. Wherever a
        // kill comes in between, what is there is what the record says.
        remove(&place.labels)?;
        // Another result's would pass for this one's.
        remove(&place.probabilities)?;
        record.write(&place.record)?;
        if let Some(bytes) = &probabilities {
            let folder = files::folder_of(&place.probabilities);
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
            files::write(&place.probabilities, bytes)?;
        }
        files::write(&place.labels, &labels)?;
        Ok((record, true))
    }

    fn record(
        &self,
        case: &str,
        scan_sha256: String,
        made_by: &MadeBy,
        prediction: &Prediction,
        started: SystemTime,
    ) -> Record {
        let volume = |region: &model_core::Region| RegionVolume {
            region: region.name.clone(),
            volume_ml: prediction.labels.volume_ml(&region.labels),
        };
        let record = Record::new(case, scan_sha256, made_by.clone(), started);
        Record {
            selection: prediction.selection.clone(),
            volumes: self.task().regions.iter().map(volume).collect(),
            device: self.backend.describe(),
            ..record.with_shown(prediction.shown.clone())
        }
    }
}

impl Outcome {
    /// Says what is wrong with a scan, and keeps it.
    fn fault(&mut self, case: &str, error: &anyhow::Error) {
        progress::say(format!("{case}: {error:#}"));
        self.faults.push(format!("{case}: {error:#}"));
    }

    fn note(&mut self, record: &Record, is_new: bool) {
        match is_new {
            true => self.segmented += 1,
            false => self.kept += 1,
        }
        for choice in &record.shown {
            let first = || (0, format!("{}: {}", record.case, choice.why));
            self.shown.entry(choice.to_string()).or_insert_with(first).0 += 1;
        }
        if !record.note.is_empty() {
            self.note.clone_from(&record.note);
        }
    }

    /// How it went, for a person.
    pub fn summary(&self) -> String {
        let scans = if self.segmented == 1 { "scan" } else { "scans" };
        let mut text = format!("{} {scans} segmented", self.segmented);
        if self.kept > 0 {
            let kept = self.kept;
            text += &format!(", {kept} were there already by the same models and settings");
        }
        for (extent, (count, why)) in &self.shown {
            let times = if *count == 1 { "once" } else { &format!("{count} times") };
            text += &format!("\n{extent}: {times} ({why})");
        }
        if !self.note.is_empty() {
            text += &format!("\n{}", self.note);
        }
        self.warnings.iter().for_each(|warning| text += &format!("\n{warning}"));
        text
    }
}

/// That a scan was not shown whole, or not in full precision, as it is told when it first happens.
fn told(record: &Record) -> String {
    let noted = record.shown.iter().find(|choice: &&Choice| !choice.notes().is_empty());
    noted.map_or(String::new(), |choice| format!("{}: {choice} ({})", record.case, choice.why))
}

/// The record of the result that lies there, if it is this scan's, made like this.
fn kept(place: &ResultPlace, scan_sha256: &str, made_by: &MadeBy) -> Result<Record> {
    let labels = &place.labels;
    let record = place.record().filter(|record| record.scan_sha256 == scan_sha256);
    let record = record.with_context(|| {
        format!(
            "expected the result of this scan, found another scan's in {}; --overwrite replaces it",
            labels.display()
        )
    })?;
    // It may have come since all of them were looked at.
    let differences = record.made_by.differences(made_by);
    ensure!(
        differences.is_empty(),
        "expected a result of the same models and settings, found another (then, now): {} (in {})",
        differences.join("; "),
        labels.display()
    );
    if place.is_changed(labels, &record)? {
        let text = "the label map was changed since it was written; the volumes are those of then";
        progress::say(format!("{}: {text} (in {})", record.case, labels.display()));
    }
    Ok(record)
}

/// Removes a file, where there is one.
fn remove(file: &Path) -> Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result.with_context(|| format!("cannot replace {}", file.display())),
    }
}

/// Refuses to go on among results that were made otherwise: half of a folder by one model and half
/// by another looks like one result.
fn refuse_others(cases: &[&CaseFiles], out: &Path, made_by: &MadeBy) -> Result<()> {
    let mut others = Vec::new();
    for case in cases {
        let place = ResultPlace::new(out, &case.name);
        if let Some(record) = place.record().filter(|_| place.labels.exists()) {
            let differences = record.made_by.differences(made_by);
            if !differences.is_empty() {
                others.push(format!("{}: {}", place.labels.display(), differences.join("; ")));
            }
        }
    }
    let listed: Vec<&str> = others.iter().take(5).map(String::as_str).collect();
    ensure!(
        others.is_empty(),
        "{} results are there that were made otherwise (then, now):\n  {}{}\n--overwrite makes them \
         again; or give another --out",
        others.len(),
        listed.join("\n  "),
        if others.len() > listed.len() { "\n  …" } else { "" }
    );
    Ok(())
}
