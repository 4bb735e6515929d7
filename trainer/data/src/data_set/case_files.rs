//! The files of a case, and the case read from them.

use std::path::PathBuf;

use anyhow::Result;
use model_core::{Case, Error, Task, Volume};
use sha2::{Digest, Sha256};

use super::scan_bytes::{self, ScanBytes};

/// A case read from its files.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedCase {
    /// The case. All its files are in the axis order of the first.
    pub case: Case,
    /// SHA-256 over its files.
    pub digest: [u8; 32],
    /// Warnings about the files, each with its file.
    pub warnings: Vec<(String, PathBuf)>,
}

/// The files of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseFiles {
    /// The case's name, unique in the data set.
    pub name: String,
    /// One file with all channels, or one file a channel in the task's order. A `.hdr`/`.img` pair
    /// is named by its header.
    pub images: Vec<PathBuf>,
    /// The label map, if the labels are known.
    pub label: Option<PathBuf>,
}

impl CaseFiles {
    /// Returns every file of the case, the labels last. A pair is two files.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        // Reading reports a missing file of a pair.
        let files = |file: &PathBuf| scan_bytes::files_of(file).unwrap_or(vec![file.clone()]);
        self.images.iter().chain(&self.label).flat_map(files)
    }

    /// Reads the case. Its files may lie up to `tolerance_voxels` apart and may have different axis
    /// orders.
    ///
    /// # Errors
    /// Errors with the file that is bad, or with the case if its files together do not fit the
    /// task.
    pub fn read(&self, task: &Task, tolerance_voxels: f64) -> Result<LoadedCase> {
        let mut digest = Sha256::new();
        let mut channels: Vec<Volume> = Vec::new();
        let mut warnings = Vec::new();
        // The file that a wrong number of channels is reported for. With several files of one
        // channel each, no single file is at fault.
        let mut file_at_fault = self.images.first().filter(|_| self.images.len() == 1);
        for image in &self.images {
            let about = |error: Error| error.in_file(image.display().to_string());
            let bytes = ScanBytes::read(image)?;
            bytes.update_digest(&mut digest);
            let reader = bytes.open().map_err(about)?;
            let grid = channels.first().map_or(reader.grid(), |first| first.grid()).clone();
            let (scan, found) = reader.scan_on(&grid, tolerance_voxels).map_err(about)?;
            if scan.volumes.len() > 1 {
                file_at_fault = Some(image);
            }
            channels.extend(scan.volumes);
            warnings.extend(found.into_iter().map(|text| (text, image.clone())));
        }
        let labels = match &self.label {
            None => None,
            Some(file) => {
                let about = |error: Error| error.in_file(file.display().to_string());
                let bytes = ScanBytes::read(file)?;
                bytes.update_digest(&mut digest);
                let reader = bytes.open().map_err(about)?;
                let grid = channels.first().map_or(reader.grid(), |first| first.grid()).clone();
                let (map, found) = reader.labels_on(&grid, tolerance_voxels).map_err(about)?;
                task.check_codes(map.labels()).map_err(about)?;
                warnings.extend(found.into_iter().map(|text| (text, file.clone())));
                Some(map)
            }
        };
        let case = Case::new(self.name.clone(), channels, labels, task);
        let case = case.map_err(|error| match file_at_fault {
            Some(image) => error.in_file(image.display().to_string()),
            None => error,
        })?;
        Ok(LoadedCase { case, digest: digest.finalize().into(), warnings })
    }
}
