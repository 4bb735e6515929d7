//! Where a scan's result goes, and whether it may: nothing is replaced that Rewind did not write.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use super::record::Record;
use trainer_data::data_set::CaseFiles;
use trainer_run::files;

/// The folder beside the label maps that probabilities go to.
pub const PROBABILITIES: &str = "probabilities";

/// The largest result that is read again: four regions of 512³ in f32.
const MAX_BYTES: u64 = 4 << 30;

/// Where a scan's labels, record and probabilities go.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ResultPlace {
    case: String,
    out: PathBuf,
    pub labels: PathBuf,
    pub record: PathBuf,
    pub probabilities: PathBuf,
}

impl ResultPlace {
    pub fn new(out: &Path, case: &str) -> ResultPlace {
        let scan = format!("{case}.nii.gz");
        ResultPlace {
            labels: out.join(&scan),
            record: out.join(format!("{case}.json")),
            probabilities: out.join(PROBABILITIES).join(scan),
            case: case.into(),
            out: out.into(),
        }
    }

    fn all(&self) -> [&PathBuf; 3] {
        [&self.labels, &self.record, &self.probabilities]
    }

    /// Refuses a place where a scan or its labels lie, or a file that Rewind did not write. Rewind's
    /// own are those whose record names the case. What was changed since is refused where it would
    /// be replaced, such as a label map that an expert has corrected.
    ///
    /// # Errors
    /// With the file.
    pub fn check(&self, sources: &HashSet<PathBuf>, overwrite: bool) -> Result<()> {
        let is_source =
            |place: &&&PathBuf| place.canonicalize().is_ok_and(|place| sources.contains(&place));
        if let Some(place) = self.all().iter().find(is_source) {
            bail!(
                "expected --out to be another folder than the scans' and their labels': {} would be \
                 overwritten",
                place.display()
            );
        }
        let record = self.record().filter(|record| record.case == self.case);
        let replaces = overwrite || !self.labels.exists();
        for place in self.all() {
            let is_there = match fs::symlink_metadata(place) {
                Err(error) if error.kind() == ErrorKind::NotFound => false,
                found => found.map(|_| true).with_context(|| format!("in {}", place.display()))?,
            };
            ensure!(
                record.is_some() || !is_there,
                "expected to replace only what `rewind predict` wrote, found another file, which is \
                 kept: give another --out, or move it (in {})",
                place.display()
            );
            let changed = || match &record {
                Some(record) if is_there && place != &self.record => self.is_changed(place, record),
                _ => Ok(false),
            };
            ensure!(
                !replaces || !changed()?,
                "expected to replace only what `rewind predict` wrote, found it changed since, and \
                 keep it: give another --out, or move it (in {})",
                place.display()
            );
        }
        Ok(())
    }

    /// The record that lies there, where it is one.
    pub fn record(&self) -> Option<Record> {
        Record::find(&self.record)
    }

    /// Whether a file of the result is no longer as its record says; of old records none says so.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn is_changed(&self, file: &Path, record: &Record) -> Result<bool> {
        let known = record.written.get(&self.name(file));
        let Some(known) = known else { return Ok(!record.written.is_empty()) };
        Ok(sha256(&files::read(file, MAX_BYTES)?) != *known)
    }

    /// What a record says of files with these contents.
    pub fn written(&self, contents: &[(&Path, &[u8])]) -> BTreeMap<String, String> {
        contents.iter().map(|(file, bytes)| (self.name(file), sha256(bytes))).collect()
    }

    fn name(&self, file: &Path) -> String {
        let name = file.strip_prefix(&self.out).unwrap_or(file);
        name.to_string_lossy().replace('\\', "/")
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Every file that belongs to the scans, the expert's labels too.
pub(super) fn sources(cases: &[CaseFiles]) -> HashSet<PathBuf> {
    let files = cases.iter().flat_map(CaseFiles::files);
    files.filter_map(|file| file.canonicalize().ok()).collect()
}

/// Refuses cases whose names are one on a file system that does not tell capitals from small
/// letters.
///
/// # Errors
/// With both names.
pub(super) fn check_names(cases: &[CaseFiles], ignores_case: bool) -> Result<()> {
    let mut known: BTreeMap<String, &str> = BTreeMap::new();
    for case in cases.iter().filter(|_| ignores_case) {
        if let Some(other) = known.insert(case.name.to_lowercase(), &case.name) {
            bail!(
                "expected names that differ in more than capitals, which the file system of --out does \
                 not tell apart, found {other:?} and {:?}",
                case.name
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_capitals_alone_are_refused_where_they_are_one() {
        let case = |name: &str| CaseFiles { name: name.into(), images: Vec::new(), label: None };
        let cases = [case("Case"), case("other"), case("case")];
        check_names(&cases, false).unwrap();
        check_names(&cases[..2], true).unwrap();
        let error = check_names(&cases, true).unwrap_err().to_string();
        assert!(error.ends_with("found \"Case\" and \"case\""), "{error}");
    }
}
