//! Reads label maps, and works on all cases in parallel.

use std::path::Path;

use anyhow::{Error, Result, ensure};
use model_core::{Grid, LabelMap};
use rayon::prelude::*;

use super::options::Options;
use super::pairs::CasePair;
use trainer_data::data_set::{ScanBytes, WarningCounts};
use trainer_run::reporter::Reporter;

/// Calls `process` for every pair, in parallel.
///
/// # Errors
/// Errors with a list of all pairs for which `process` failed.
pub fn for_all_pairs<T: Send>(
    task: &str,
    pairs: &[CasePair],
    reporter: &dyn Reporter,
    process: impl Fn(&CasePair) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let progress = reporter.start_task(task, Some(pairs.len() as u64));
    let process = |pair: &CasePair| {
        let result = process(pair);
        progress.advance();
        result
    };
    let results: Vec<Result<T>> = pairs.par_iter().map(process).collect();
    let failed = results.iter().filter_map(|result| result.as_ref().err());
    let failed: Vec<String> = failed.map(|error| format!("  {error:#}")).collect();
    ensure!(
        failed.is_empty(),
        "{} of {} cases cannot be compared:\n{}",
        failed.len(),
        pairs.len(),
        failed.join("\n")
    );
    results.into_iter().collect()
}

/// Converts an error to a message that ends with the file. The error is no source of the message,
/// because it would be printed again.
fn in_file(file: &Path) -> impl Fn(model_core::Error) -> Error {
    move |error| Error::msg(error.in_file(file.display().to_string()).to_string())
}

/// Reads a label map, on `grid` if it is given. Errors if the task does not name a label's code.
pub fn read_labels(
    file: &Path,
    grid: Option<&Grid>,
    options: &Options,
    warnings: &WarningCounts,
) -> Result<LabelMap> {
    let bytes = ScanBytes::read(file)?;
    let reader = bytes.open().map_err(in_file(file))?;
    let grid = grid.unwrap_or(reader.grid()).clone();
    let (map, found) = reader.labels_on(&grid, options.tolerance_voxels).map_err(in_file(file))?;
    found.iter().for_each(|text| warnings.add(text, file));
    if let Some(task) = &options.task {
        task.check_codes(map.labels()).map_err(in_file(file))?;
    }
    Ok(map)
}
