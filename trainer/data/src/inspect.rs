//! Inspects a data set: its content, its faults, and advice for training.

mod advice;
mod numbers;
mod report;
mod table;

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use crate::data_set::{CaseReport, CheckedCase, DataSet, Fault, Patients};
use trainer_run::DISCLAIMER;
use trainer_run::reporter::Reporter;

/// A data set and the results of reading all its cases.
pub struct Inspection {
    /// The data set.
    pub data_set: DataSet,
    /// The result of each case. Labeled cases come first.
    pub checked: Vec<CheckedCase>,
}

impl Inspection {
    /// Reads every case of a data set.
    pub fn new(mut data_set: DataSet, reporter: &dyn Reporter) -> Inspection {
        if let Ok(patients) = Patients::find(&data_set, None) {
            data_set.notes.extend(patients.notes());
        }
        Inspection { checked: data_set.check(reporter), data_set }
    }

    /// Returns all faults. Those of cases that lack files come first.
    pub fn faults(&self) -> Vec<Fault> {
        let case_faults = self.checked.iter().flat_map(|checked| &checked.faults);
        self.data_set.faults.iter().chain(case_faults).cloned().collect()
    }

    /// Returns whether at least one case has no fault.
    pub fn has_usable_cases(&self) -> bool {
        self.checked.iter().any(|checked| !checked.is_bad())
    }

    /// Returns the reports of the cases without faults.
    fn usable_cases(&self) -> Vec<&CaseReport> {
        let usable = self.checked.iter().filter(|checked| !checked.is_bad());
        usable.filter_map(|checked| checked.report.as_ref()).collect()
    }

    /// Returns the report as text.
    pub fn report(&self) -> String {
        report::report(self)
    }

    /// Returns the report as JSON.
    pub fn json(&self) -> Value {
        let DataSet { name, license, task, layout, cases, unlabeled, notes, unused_files, .. } =
            &self.data_set;
        json!({
            "disclaimer": DISCLAIMER,
            "name": name,
            "layout": layout.name(),
            "licence": license.as_deref().unwrap_or_default(),
            "task": task,
            "num_labeled": cases.len(),
            "num_unlabeled": unlabeled.len(),
            "notes": notes,
            "not_used": unused_files.lines(),
            "faults": self.faults(),
            "advice": advice::advice(self),
            "cases": self.checked,
        })
    }

    /// Writes a CSV with a row for each case.
    ///
    /// # Errors
    /// Errors if the file cannot be written.
    pub fn write_csv(&self, file: &Path) -> Result<()> {
        table::write_csv(self, file)
    }
}
