//! The scans to segment, and their names.

use std::path::Path;

use anyhow::Result;
use model_core::scan_stem;
use trainer_data::data_set::listing::file_name;
use trainer_data::data_set::{CaseFiles, ScanBytes, UnusedFiles};

/// The scans to segment, and the files that cannot be used.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Inputs {
    /// The files of each scan. Names are unique.
    pub cases: Vec<CaseFiles>,
    /// Faults of other scans, with their files.
    pub faults: Vec<String>,
    /// Files beside the scans that are not segmented.
    pub unused_files: UnusedFiles,
    /// Notes for the user.
    pub notes: Vec<String>,
}

/// Returns the number of channels in a file.
pub(super) fn num_channels(file: &Path) -> Result<usize> {
    let bytes = ScanBytes::read(file)?;
    let read = bytes.open().map(|reader| reader.num_channels());
    Ok(read.map_err(|error| error.in_file(file.display().to_string()))?)
}

/// Returns a scan's name without its folder and extension.
pub(super) fn scan_name(scan: &Path) -> String {
    let name = file_name(scan);
    scan_stem(&name).unwrap_or(&name).to_string()
}
