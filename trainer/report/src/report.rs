//! A report as data, read from a run's folder.

use std::path::Path;

use anyhow::Result;
use trainer_run::metrics_log::History;
use trainer_run::run_folder::Run;

use super::held_out::HeldOut;

/// The content of a report.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The run's settings, task and cases.
    pub run: Run,
    /// The metrics of the steps and validations.
    pub history: History,
    /// The results on cases, or `None` before the end of the training.
    pub held_out: Option<HeldOut>,
}

impl Report {
    /// Reads a run's folder.
    ///
    /// # Errors
    /// Errors if the folder holds no run, or if one of its files cannot be used.
    pub fn read(folder: &Path) -> Result<Report> {
        let run = Run::read(folder)?;
        let history = History::read(folder)?;
        let held_out = HeldOut::find(folder, &run.task)?;
        Ok(Report { run, history, held_out })
    }
}
