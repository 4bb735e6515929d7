//! A data set and the results of reading all its cases.

use crate::data_set::{CaseReport, CheckedCase, DataSet, Fault, Patients};
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
    pub(super) fn usable_cases(&self) -> Vec<&CaseReport> {
        let usable = self.checked.iter().filter(|checked| !checked.is_bad());
        usable.filter_map(|checked| checked.report.as_ref()).collect()
    }
}
