//! A scan's bytes from its file, or from both files of a `.hdr`/`.img` pair.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use model_core::nifti::Reader;
use model_core::{LabelMap, Volume};
use sha2::{Digest, Sha256};

use crate::files;

/// The largest header of a pair that is read; extensions may follow it.
const MAX_HEADER_BYTES: u64 = 64 << 20;

/// What a scan's files hold.
pub struct ScanBytes {
    /// Of a pair.
    header: Option<Vec<u8>>,
    bytes: Vec<u8>,
}

impl ScanBytes {
    /// Reads a scan's file, `.nii` or `.nii.gz`; given either part of a pair, reads both.
    ///
    /// # Errors
    /// With the file's name.
    pub fn read(file: &Path) -> Result<ScanBytes> {
        match pair(file)? {
            None => {
                Ok(ScanBytes { header: None, bytes: files::read(file, files::MAX_SCAN_BYTES)? })
            }
            Some((header, voxels)) => Ok(ScanBytes {
                header: Some(files::read(&header, MAX_HEADER_BYTES)?),
                bytes: files::read(&voxels, files::MAX_SCAN_BYTES)?,
            }),
        }
    }

    /// Reads the header, and refuses what cannot be a scan.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn open(&self) -> model_core::Result<Reader<'_>> {
        match &self.header {
            None => Reader::open(&self.bytes),
            Some(header) => Reader::open_pair(header, &self.bytes),
        }
    }

    /// The scan's channels.
    ///
    /// # Errors
    /// What is wrong with the scan.
    pub fn volumes(&self) -> model_core::Result<Vec<Volume>> {
        Ok(self.open()?.scan()?.volumes)
    }

    /// The labels of a segmentation.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn labels(&self) -> model_core::Result<LabelMap> {
        self.open()?.labels()
    }

    /// Adds the files to a digest.
    pub fn update(&self, digest: &mut Sha256) {
        self.header.iter().for_each(|header| digest.update(header));
        digest.update(&self.bytes);
    }
}

/// Header and voxels of a pair; none where a file's name is that of a scan in one file.
fn pair(file: &Path) -> Result<Option<(PathBuf, PathBuf)>> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let plain = name.strip_suffix(".gz").unwrap_or(&name);
    let (stem, other) = match (plain.strip_suffix(".hdr"), plain.strip_suffix(".img")) {
        (Some(stem), _) => (stem, "img"),
        (_, Some(stem)) => (stem, "hdr"),
        _ => return Ok(None),
    };
    let candidates =
        ["", ".gz"].map(|ending| file.with_file_name(format!("{stem}.{other}{ending}")));
    let Some(found) = candidates.iter().find(|path| path.is_file()) else {
        bail!("expected the pair's other file {}, found none", candidates[0].display());
    };
    let (file, found) = (file.to_path_buf(), found.clone());
    Ok(Some(if other == "img" { (file, found) } else { (found, file) }))
}
