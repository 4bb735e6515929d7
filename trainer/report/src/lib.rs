//! The report of a training run: `report.html`, a single file that loads nothing.
//!
//! At the end of a training, the command passes the result of each case to a [`Collector`], saves
//! the collected results as [`HeldOut`] in the run's folder, and calls [`write()`]. The report can
//! be written again from the folder alone.

use std::path::{Path, PathBuf};

use anyhow::Result;

use trainer_run::files::outputs::{self, Output};
use trainer_run::metrics_log::History;
use trainer_run::run_folder::Run;

mod chart;
mod collect;
mod color;
mod held_out;
mod html;
mod picture;
mod sections;

pub use collect::{Collector, pictured_channel};
pub use held_out::{CaseResult, HeldOut, Picture, RegionResult, VERSION};
pub use html::escape;
pub use picture::{GrayImage, picture};
pub use trainer_run::run_folder::{HELD_OUT, REPORT};

/// The number of the worst cases that have a picture.
pub const NUM_PICTURES: usize = 5;

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

    /// Returns the HTML page. Equal reports give equal bytes.
    pub fn to_html(&self) -> String {
        html::page(self)
    }
}

/// Writes the report of a run's folder, to `out` or into the folder. Returns the file's path.
///
/// # Errors
/// Errors if the run cannot be read, or if the file cannot be written.
pub fn write(run: &Path, out: Option<&Path>) -> Result<PathBuf> {
    let out = out.map_or_else(|| run.join(REPORT), Path::to_path_buf);
    outputs::prepare("report", Output::Report, &out)?;
    outputs::write(Output::Report, &out, Report::read(run)?.to_html().as_bytes())?;
    Ok(out)
}
