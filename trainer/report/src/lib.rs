//! The report of a training run: `report.html`, a single file that loads nothing.
//!
//! At the end of a training, the command passes the result of each case to a [`Collector`], saves
//! the collected results as [`HeldOut`] in the run's folder, and calls [`write()`]. The report can
//! be written again from the folder alone.

use std::path::{Path, PathBuf};

use anyhow::Result;

use trainer_run::files::outputs::{self, Output};

mod chart;
mod collect;
mod color;
mod escape;
mod held_out;
mod html;
mod picture;
mod report;
mod sections;

pub use collect::{Collector, pictured_channel};
pub use escape::escape;
pub use held_out::{CaseResult, HeldOut, Picture, PicturedCase, RegionResult, VERSION};
pub use picture::{GrayImage, montage, picture};
pub use report::Report;
pub use trainer_run::run_folder::{HELD_OUT, REPORT};

/// The number of the worst cases that have a picture.
pub const NUM_PICTURES: usize = 5;

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
