//! Segments scans one after the other, and writes `NAME.nii.gz` with its `NAME.json` for each.

use std::collections::{BTreeMap, HashSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};
use model_core::nifti;

use super::fit::Choice;
use super::inputs::Inputs;
use super::record::{MadeBy, Record, RegionVolume, sha256_of};
use super::{Prediction, Predictor};
use crate::data_set::{CaseFiles, LoadedCase, WarningCounts};
use crate::{files, progress};

/// The folder beside the label maps that probabilities go to.
pub const PROBABILITIES: &str = "probabilities";

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
    /// results are made again.
    ///
    /// # Errors
    /// When a result that is there was made otherwise, or `out` cannot be written to. What is wrong
    /// with a scan is a fault of the outcome.
    pub fn write_all(
        &self,
        inputs: &Inputs,
        out: &Path,
        profile: Option<&str>,
        overwrite: bool,
    ) -> Result<Outcome> {
        std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        let made_by = MadeBy::new(self.ids(), &self.settings, profile);
        let made_by = MadeBy { engine: self.backend.engine(), ..made_by };
        if !overwrite {
            refuse_others(&inputs.cases, out, &made_by)?;
        }
        let names: Vec<&str> = self.task().regions.iter().map(|r| r.name.as_str()).collect();
        println!("volumes in ml\ncase\t{}", names.join("\t"));
        let mut outcome = Outcome { faults: inputs.faults.clone(), ..Outcome::default() };
        let sources = sources(&inputs.cases);
        let warnings = WarningCounts::default();
        let bar = progress::bar("segmenting", inputs.cases.len() as u64);
        for case in &inputs.cases {
            bar.set_message(case.name.clone());
            let tell = |text: String| bar.set_message(format!("{}{text}", case.name));
            let result = refuse_sources(&sources, out, &case.name)
                .and_then(|()| self.one(case, out, &made_by, overwrite, tell));
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
                Err(error) => {
                    progress::line(&bar, format!("{}: {error:#}", case.name));
                    outcome.faults.push(format!("{}: {error:#}", case.name));
                }
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
        let [labels, json, probabilities] = places(out, &case.name);
        if !overwrite && labels.exists() {
            let scan_sha256 = sha256_of(&case.images)?;
            match Record::find(&json) {
                Some(record) if record.scan_sha256 == scan_sha256 => return Ok((record, false)),
                _ => bail!(
                    "expected the result of this scan, found another scan's in {}; --overwrite \
                     replaces it",
                    labels.display()
                ),
            }
        }
        let started = SystemTime::now();
        let images = CaseFiles { label: None, ..case.clone() };
        let LoadedCase { case: scan, digest, warnings } =
            images.read(self.task(), self.settings.tolerance_voxels)?;
        let prediction = self.segment(&scan, tell)?;
        let record =
            self.record(&case.name, files::hexadecimal(&digest), made_by, &prediction, started);
        let record =
            Record { warnings: warnings.into_iter().map(|(text, _)| text).collect(), ..record };
        // The label map goes first and comes last: where it is, its record is its own.
        remove(&labels)?;
        // Another result's would pass for this one's.
        remove(&probabilities)?;
        if let Some(regions) = &prediction.probabilities {
            let folder = out.join(PROBABILITIES);
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
            files::write(&probabilities, &nifti::write_volumes(regions)?)?;
        }
        record.write(&json)?;
        files::write(&labels, &nifti::write_labels(&prediction.labels))?;
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

/// Where a scan's labels, record and probabilities go.
fn places(out: &Path, name: &str) -> [PathBuf; 3] {
    let scan = format!("{name}.nii.gz");
    [out.join(&scan), out.join(format!("{name}.json")), out.join(PROBABILITIES).join(scan)]
}

/// Every file that belongs to the scans, the expert's labels too.
fn sources(cases: &[CaseFiles]) -> HashSet<PathBuf> {
    let files = cases.iter().flat_map(CaseFiles::files);
    files.filter_map(|file| file.canonicalize().ok()).collect()
}

/// Refuses to write where a scan or its labels lie.
fn refuse_sources(sources: &HashSet<PathBuf>, out: &Path, name: &str) -> Result<()> {
    let is_source =
        |place: &&PathBuf| place.canonicalize().is_ok_and(|place| sources.contains(&place));
    if let Some(place) = places(out, name).iter().find(is_source) {
        bail!(
            "expected --out to be another folder than the scans' and their labels': {} would be \
             overwritten",
            place.display()
        );
    }
    Ok(())
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
fn refuse_others(cases: &[CaseFiles], out: &Path, made_by: &MadeBy) -> Result<()> {
    let mut others = Vec::new();
    for case in cases {
        let [labels, json, _] = places(out, &case.name);
        if !labels.exists() {
            continue;
        }
        match Record::find(&json) {
            None => others.push(format!("{}: no record of how it was made", labels.display())),
            Some(record) => {
                let differences = record.made_by.differences(made_by);
                if !differences.is_empty() {
                    others.push(format!("{}: {}", labels.display(), differences.join("; ")));
                }
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
