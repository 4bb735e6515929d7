//! The files of a scan's result. A file that Rewind did not write is never replaced.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use super::record::Record;
use trainer_data::data_set::CaseFiles;
use trainer_run::files;

/// The folder of the probabilities, beside the label maps.
const PROBABILITIES_FOLDER: &str = "probabilities";

/// The largest result that is read: four regions of 512³ in f32.
const MAX_BYTES: u64 = 4 << 30;

/// The paths of a scan's labels, record and probabilities.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ResultFiles {
    case: String,
    folder: PathBuf,
    pub labels: PathBuf,
    pub record: PathBuf,
    pub probabilities: PathBuf,
}

impl ResultFiles {
    /// Returns the paths of a case's result in the folder `out`.
    pub fn new(out: &Path, case: &str) -> ResultFiles {
        let scan = format!("{case}.nii.gz");
        ResultFiles {
            labels: out.join(&scan),
            record: out.join(format!("{case}.json")),
            probabilities: out.join(PROBABILITIES_FOLDER).join(scan),
            case: case.into(),
            folder: out.into(),
        }
    }

    fn all(&self) -> [&PathBuf; 3] {
        [&self.labels, &self.record, &self.probabilities]
    }

    /// Checks that the result may be written.
    ///
    /// # Errors
    /// Errors with a file that is a source, that Rewind did not write, or that was changed since,
    /// such as a label map that an expert has corrected. A file is Rewind's if its record names the
    /// case.
    pub fn check(&self, sources: &HashSet<PathBuf>, overwrite: bool) -> Result<()> {
        let is_source =
            |file: &&&PathBuf| file.canonicalize().is_ok_and(|file| sources.contains(&file));
        if let Some(file) = self.all().iter().find(is_source) {
            bail!(
                "expected --out to be another folder than the scans' and their labels': {} would be \
                 overwritten",
                file.display()
            );
        }
        let record = self.read_record().filter(|record| record.case == self.case);
        let replaces = overwrite || !self.labels.exists();
        for file in self.all() {
            let exists = match fs::symlink_metadata(file) {
                Err(error) if error.kind() == ErrorKind::NotFound => false,
                found => found.map(|_| true).with_context(|| format!("in {}", file.display()))?,
            };
            ensure!(
                record.is_some() || !exists,
                "expected to replace only what `rewind predict` wrote, found another file, which is \
                 kept: give another --out, or move it (in {})",
                file.display()
            );
            let is_changed = || match &record {
                Some(record) if exists && file != &self.record => self.is_changed(file, record),
                _ => Ok(false),
            };
            ensure!(
                !replaces || !is_changed()?,
                "expected to replace only what `rewind predict` wrote, found it changed since, which \
                 is kept: give another --out, or move it (in {})",
                file.display()
            );
        }
        Ok(())
    }

    /// Reads the record of the existing result, if there is one.
    pub fn read_record(&self) -> Option<Record> {
        Record::find(&self.record)
    }

    /// Returns whether a file of the result differs from the one that its record describes. A
    /// record of an old version describes no file, and then no file counts as changed.
    ///
    /// # Errors
    /// Errors if the file cannot be read.
    pub fn is_changed(&self, file: &Path, record: &Record) -> Result<bool> {
        let recorded = record.sha256_by_file.get(&self.name(file));
        let Some(recorded) = recorded else { return Ok(!record.sha256_by_file.is_empty()) };
        Ok(sha256(&files::read(file, MAX_BYTES)?) != *recorded)
    }

    /// Returns the SHA-256 of each file's content, by the file's name.
    pub fn sha256_by_file(&self, contents: &[(&Path, &[u8])]) -> BTreeMap<String, String> {
        contents.iter().map(|(file, bytes)| (self.name(file), sha256(bytes))).collect()
    }

    /// Returns a file's name in the folder of the results.
    fn name(&self, file: &Path) -> String {
        let name = file.strip_prefix(&self.folder).unwrap_or(file);
        name.to_string_lossy().replace('\\', "/")
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Returns every file of the scans, including the experts' labels.
pub(super) fn sources(cases: &[CaseFiles]) -> HashSet<PathBuf> {
    let files = cases.iter().flat_map(CaseFiles::files);
    files.filter_map(|file| file.canonicalize().ok()).collect()
}

/// Checks that the cases' names differ in more than capitals, if the file system ignores these.
///
/// # Errors
/// Errors with both names.
pub(super) fn check_names(cases: &[CaseFiles], ignores_case: bool) -> Result<()> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for case in cases.iter().filter(|_| ignores_case) {
        if let Some(other) = seen.insert(case.name.to_lowercase(), &case.name) {
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
    fn names_that_differ_only_in_capitals_are_refused_if_the_file_system_ignores_them() {
        let case = |name: &str| CaseFiles { name: name.into(), images: Vec::new(), label: None };
        let cases = [case("Case"), case("other"), case("case")];
        check_names(&cases, false).unwrap();
        check_names(&cases[..2], true).unwrap();
        let error = check_names(&cases, true).unwrap_err().to_string();
        assert!(error.ends_with("found \"Case\" and \"case\""), "{error}");
    }
}
