//! What is wrong with a case of a data set, in words for the person who has to mend it.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{CaseFiles, DataSet};

/// Why a case cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The case's name; empty where it is of the data set itself.
    pub case: String,
    /// What was expected, and what was found.
    pub what: String,
    /// The file that it stands in, where it stands in one.
    pub file: Option<PathBuf>,
    /// Whether the case has no labels, so that training does not need it.
    pub is_unlabeled: bool,
}

impl Fault {
    pub(super) fn new(case: &str, what: impl ToString, file: Option<PathBuf>) -> Fault {
        Fault { case: case.to_string(), what: what.to_string(), file, is_unlabeled: false }
    }

    /// The same of a case without labels.
    pub(super) fn of_unlabeled(self) -> Fault {
        Fault { is_unlabeled: true, ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if !self.case.is_empty() {
            write!(f, "{}: ", self.case)?;
        }
        match &self.file {
            None => write!(f, "{}", self.what),
            Some(file) => write!(f, "{} (in {})", self.what, file.display()),
        }
    }
}

/// All faults, a line each, below how many there are.
pub fn list(faults: &[Fault]) -> String {
    let mut cases: Vec<&str> = faults.iter().map(|fault| fault.case.as_str()).collect();
    cases.sort_unstable();
    cases.dedup();
    cases.retain(|case| !case.is_empty());
    let faulty = match faults.len() {
        1 => "1 fault".to_string(),
        n => format!("{n} faults"),
    };
    let mut text = match cases.len() {
        0 => format!("{faulty}:"),
        1 => format!("{faulty} in 1 case that cannot be used:"),
        count => format!("{faulty} in {count} cases that cannot be used:"),
    };
    faults.iter().for_each(|fault| text += &format!("\n  {fault}"));
    text
}

/// Takes out cases whose name another has, and those whose name could not be a file's: results and
/// splits go by the name.
pub(super) fn doubled(cases: &mut Vec<CaseFiles>, unlabeled: &mut Vec<CaseFiles>) -> Vec<Fault> {
    let mut seen: HashMap<String, Option<PathBuf>> = HashMap::new();
    let mut faults = Vec::new();
    let mut keep = |case: &CaseFiles| {
        let image = case.images.first().cloned();
        let is_unlabeled = case.label.is_none();
        let new = |case: &str, what: &str| Fault {
            is_unlabeled,
            ..Fault::new(case, what, image.clone())
        };
        if !is_file_name(&case.name) {
            let expected = "expected a name that a file can have, of at most 200 bytes";
            faults.push(new(&case.name.escape_debug().to_string(), expected));
            return false;
        }
        // Some file systems do not tell capitals.
        match seen.insert(case.name.to_lowercase(), image.clone()) {
            None => true,
            Some(first) => {
                let other = first.unwrap_or_default();
                let what =
                    format!("expected one case of a name, found another in {}", other.display());
                faults.push(new(&case.name, &what));
                false
            }
        }
    };
    cases.retain(&mut keep);
    unlabeled.retain(&mut keep);
    faults
}

/// A data set without a case, or without the number of cases that it says it has, is not what its
/// owner thinks it is.
pub(super) fn of_none(data_set: &DataSet, path: &Path) -> Option<Fault> {
    let is_empty = data_set.cases.is_empty() && data_set.unlabeled.is_empty();
    if !is_empty || !data_set.faults.is_empty() {
        return None;
    }
    let mut what = "expected at least one case, found none".to_string();
    data_set.left.lines().iter().for_each(|line| what += &format!("; {line}"));
    Some(Fault::new("", what, Some(path.to_path_buf())))
}

/// A data set that says how many cases with labels it has, and lists another number.
pub(super) fn of_number(stated: Option<u64>, found: usize, file: PathBuf) -> Option<Fault> {
    let stated = stated.filter(|&stated| stated != found as u64)?;
    let what = format!("expected {stated} cases with labels, as numTraining says, found {found}");
    Some(Fault::new("", what, Some(file)))
}

fn is_file_name(name: &str) -> bool {
    let is_plain = |c: char| !c.is_control() && !matches!(c, '/' | '\\' | ':');
    (1..=200).contains(&name.len()) && !name.starts_with('.') && name.chars().all(is_plain)
}
