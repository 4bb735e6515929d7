//! Faults of the cases of a data set, worded for the person who has to fix them.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

use super::case_files::CaseFiles;

/// The reason why a case or the whole data set cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The case's name, or `None` for a fault of the data set itself.
    #[serde(serialize_with = "empty_if_none")]
    pub case: Option<String>,
    /// The message: what was expected, and what was found.
    #[serde(rename = "what")]
    pub message: String,
    /// The file with the fault, if it is in a file.
    pub file: Option<PathBuf>,
    /// Whether the case has no labels. Training does not need such a case.
    pub is_unlabeled: bool,
}

impl Fault {
    /// Returns a fault of a case.
    pub(super) fn of_case(case: &str, message: impl ToString, file: Option<PathBuf>) -> Fault {
        Fault { case: Some(case.to_string()), ..Fault::of_data_set(message, file) }
    }

    /// Returns a fault of a data set.
    pub(super) fn of_data_set(message: impl ToString, file: Option<PathBuf>) -> Fault {
        Fault { case: None, message: message.to_string(), file, is_unlabeled: false }
    }

    /// Marks the fault as one of a case without labels.
    pub(super) fn unlabeled(self) -> Fault {
        Fault { is_unlabeled: true, ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if let Some(case) = &self.case {
            write!(f, "{case}: ")?;
        }
        match &self.file {
            None => write!(f, "{}", self.message),
            Some(file) => write!(f, "{} (in {})", self.message, file.display()),
        }
    }
}

/// Serializes a missing text as an empty one.
pub(super) fn empty_if_none<S: Serializer>(
    text: &Option<String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text.as_deref().unwrap_or_default())
}

/// Formats faults as a heading with their number, and a line for each.
pub fn list(faults: &[Fault]) -> String {
    let mut cases: Vec<&str> = faults.iter().filter_map(|fault| fault.case.as_deref()).collect();
    cases.sort_unstable();
    cases.dedup();
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

/// Removes cases with a duplicate name or with a name that no file can have, because results and
/// splits refer to cases by name.
pub(super) fn remove_bad_names(
    cases: &mut Vec<CaseFiles>,
    unlabeled: &mut Vec<CaseFiles>,
) -> Vec<Fault> {
    let mut seen: HashMap<String, Option<PathBuf>> = HashMap::new();
    let mut faults = Vec::new();
    let mut has_good_name = |case: &CaseFiles| {
        let image = case.images.first().cloned();
        let is_unlabeled = case.label.is_none();
        let new = |case: &str, message: &str| Fault {
            is_unlabeled,
            ..Fault::of_case(case, message, image.clone())
        };
        if !is_file_name(&case.name) {
            let expected = "expected a name that a file can have, of at most 200 bytes";
            faults.push(new(&case.name.escape_debug().to_string(), expected));
            return false;
        }
        // Some file systems ignore capitals.
        match seen.insert(case.name.to_lowercase(), image.clone()) {
            None => true,
            Some(first) => {
                let other = first.unwrap_or_default();
                let message =
                    format!("expected a unique case name, found it again in {}", other.display());
                faults.push(new(&case.name, &message));
                false
            }
        }
    };
    cases.retain(&mut has_good_name);
    unlabeled.retain(&mut has_good_name);
    faults
}

/// Returns a fault if the number of labeled cases differs from the number that the data set states.
pub(super) fn wrong_number(stated: Option<u64>, found: usize, file: PathBuf) -> Option<Fault> {
    let stated = stated.filter(|&stated| stated != found as u64)?;
    let message =
        format!("expected {stated} cases with labels, as numTraining says, found {found}");
    Some(Fault::of_data_set(message, Some(file)))
}

fn is_file_name(name: &str) -> bool {
    let is_plain = |c: char| !c.is_control() && !matches!(c, '/' | '\\' | ':');
    (1..=200).contains(&name.len()) && !name.starts_with('.') && name.chars().all(is_plain)
}
