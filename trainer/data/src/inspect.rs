//! What a data set is, what is wrong with it, and what that means for training.

mod advice;
mod numbers;
mod report;
mod table;

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use crate::data_set::{CaseReport, Checked, DataSet, Fault, Patients};
use trainer_run::DISCLAIMER;

/// A data set whose every case was read.
pub struct Inspection {
    /// The data set.
    pub data_set: DataSet,
    /// Its cases, first those with labels.
    pub checked: Vec<Checked>,
}

impl Inspection {
    /// Reads every case of a data set.
    pub fn new(mut data_set: DataSet) -> Inspection {
        if let Ok(patients) = Patients::of(&data_set, None) {
            data_set.notes.extend(patients.notes());
        }
        Inspection { checked: data_set.check(), data_set }
    }

    /// All that is wrong, cases that lack files first.
    pub fn faults(&self) -> Vec<Fault> {
        let of_cases = self.checked.iter().flat_map(|checked| &checked.faults);
        self.data_set.faults.iter().chain(of_cases).cloned().collect()
    }

    /// Whether a case has no fault.
    pub fn has_usable_cases(&self) -> bool {
        self.checked.iter().any(|checked| !checked.is_bad())
    }

    /// What is in the cases that can be used.
    fn facts(&self) -> Vec<&CaseReport> {
        let usable = self.checked.iter().filter(|checked| !checked.is_bad());
        usable.filter_map(|checked| checked.facts.as_ref()).collect()
    }

    /// The report for a person.
    pub fn report(&self) -> String {
        report::report(self)
    }

    /// The report for a program.
    pub fn json(&self) -> Value {
        let DataSet { name, licence, task, layout, cases, unlabeled, notes, left, .. } =
            &self.data_set;
        json!({
            "disclaimer": DISCLAIMER,
            "name": name,
            "layout": layout.name(),
            "licence": licence,
            "task": task,
            "num_labeled": cases.len(),
            "num_unlabeled": unlabeled.len(),
            "notes": notes,
            "not_used": left.lines(),
            "faults": self.faults(),
            "advice": advice::advice(self),
            "cases": self.checked,
        })
    }

    /// Writes a row for each case as CSV.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_csv(&self, file: &Path) -> Result<()> {
        table::write_csv(self, file)
    }
}
