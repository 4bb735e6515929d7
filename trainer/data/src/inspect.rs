//! Inspects a data set: its content, its faults, and advice for training.

mod advice;
mod inspection;
mod numbers;
mod report;
mod table;

pub use inspection::Inspection;

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use crate::data_set::DataSet;
use trainer_run::DISCLAIMER;

impl Inspection {
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
