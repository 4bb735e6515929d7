//! The report of a training, `report.html`, one file that loads nothing else.
//!
//! The command collects each case's result in a [`Collector`] at the end of a training, saves them as
//! [`HeldOut`] in the run's folder, and calls [`write()`]. The report can be written again from the
//! folder alone.

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

pub use collect::{Collector, channel};
pub use held_out::{CaseResult, HeldOut, Picture, RegionResult, VERSION};
pub use html::escape;
pub use picture::{Gray, picture};
pub use trainer_run::run_folder::{HELD_OUT, REPORT};

/// How many of the worst cases are pictured.
pub const NUM_PICTURES: usize = 5;

/// All that a report says.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What was trained on what.
    pub run: Run,
    /// How it went.
    pub history: History,
    /// What came of it; none before the end of the training.
    pub held_out: Option<HeldOut>,
}

impl Report {
    /// Reads a run's folder.
    ///
    /// # Errors
    /// When it holds no run, or a file of it cannot be used.
    pub fn read(run: &Path) -> Result<Report> {
        let folder = run;
        let run = Run::read(folder)?;
        let history = History::read(folder)?;
        let held_out = HeldOut::find(folder, &run.task)?;
        Ok(Report { run, history, held_out })
    }

    /// The report as a page that loads nothing: same report, same bytes.
    pub fn to_html(&self) -> String {
        html::page(self)
    }
}

/// Writes the report of a run's folder, there or to another file, and says where.
///
/// # Errors
/// When the run cannot be read, or the file cannot be written.
pub fn write(run: &Path, out: Option<&Path>) -> Result<PathBuf> {
    let out = out.map_or_else(|| run.join(REPORT), Path::to_path_buf);
    outputs::prepare("report", Output::Report, &out)?;
    outputs::write(Output::Report, &out, Report::read(run)?.to_html().as_bytes())?;
    Ok(out)
}
