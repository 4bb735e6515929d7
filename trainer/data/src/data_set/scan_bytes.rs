//! A scan's bytes from its file, or from both files of a `.hdr`/`.img` pair.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use model_core::formats::nifti::Reader;
use model_core::{Grid, LabelMap, strip_ending};
use sha2::{Digest, Sha256};

use trainer_run::files;

/// The largest header that is read, with the extensions behind it.
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

    /// Reads a scan's header: where its voxels lie, and how many channels they are. Gives the
    /// length of the files too; none for the header where that cannot be used.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn head(file: &Path) -> Result<(Option<(Grid, usize)>, u64)> {
        let said = |reader: Reader| (reader.grid().clone(), reader.num_channels());
        Ok(match pair(file)? {
            None => {
                let (start, length) = files::start(file)?;
                let found = Reader::open_prefix(&start, length).ok().map(said);
                if found.is_some() || start.len() as u64 == length {
                    return Ok((found, length));
                }
                let about = || format!("cannot read {}", file.display());
                let mut start = Vec::new();
                let source = File::open(file).with_context(about)?;
                source.take(MAX_HEADER_BYTES).read_to_end(&mut start).with_context(about)?;
                (Reader::open_prefix(&start, length).ok().map(said), length)
            }
            Some((header, voxels)) => {
                let header = files::read(&header, MAX_HEADER_BYTES)?;
                let (start, length) = files::start(&voxels)?;
                (Reader::open_pair_prefix(&header, &start, length).ok().map(said), length)
            }
        })
    }

    /// What reading a scan takes in memory, known from its header: its files, and what `decoded`
    /// says of so many voxels and channels; the files alone where the header cannot be used.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn working_bytes(file: &Path, decoded: impl Fn(u64, u64) -> u64) -> Result<u64> {
        let (head, length) = ScanBytes::head(file)?;
        let decoded =
            head.map_or(0, |(grid, count)| decoded(grid.num_voxels() as u64, count as u64));
        Ok(length.saturating_add(decoded))
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

/// The files that a scan lies in: its own, or both of a pair.
///
/// # Errors
/// When a pair's other file is missing.
pub(super) fn parts(file: &Path) -> Result<Vec<PathBuf>> {
    Ok(match pair(file)? {
        None => vec![file.to_path_buf()],
        Some((header, voxels)) => vec![header, voxels],
    })
}

/// Header and voxels of a pair; none where a file's name is that of a scan in one file.
fn pair(file: &Path) -> Result<Option<(PathBuf, PathBuf)>> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let plain = strip_ending(&name, ".gz").unwrap_or(&name);
    let (stem, other) = match (strip_ending(plain, ".hdr"), strip_ending(plain, ".img")) {
        (Some(stem), _) => (stem, "img"),
        (_, Some(stem)) => (stem, "hdr"),
        _ => return Ok(None),
    };
    let [small, capital] = [other.to_string(), other.to_uppercase()];
    let endings = [
        format!(".{small}"),
        format!(".{small}.gz"),
        format!(".{capital}"),
        format!(".{capital}.GZ"),
    ];
    let candidates = endings.map(|ending| file.with_file_name(format!("{stem}{ending}")));
    let Some(found) = candidates.iter().find(|path| path.is_file()) else {
        bail!("expected the pair's other file {}, found none", candidates[0].display());
    };
    let (file, found) = (file.to_path_buf(), found.clone());
    Ok(Some(if other == "img" { (file, found) } else { (found, file) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model_core::{Affine, formats::nifti};

    #[test]
    fn a_header_with_long_extensions_says_how_large_its_scan_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("scan.nii");
        let grid = Grid::new([3, 2, 1], Affine::IDENTITY);
        let written = nifti::write_labels(&LabelMap::new(grid, vec![1; 6]).unwrap());
        let mut plain = Vec::new();
        flate2::read::MultiGzDecoder::new(&written[..]).read_to_end(&mut plain).unwrap();
        // vox_offset: the voxels begin behind a megabyte of what other tools say of a scan.
        let behind = 1 << 20;
        plain[108..112].copy_from_slice(&(352.0 + behind as f32).to_le_bytes());
        plain.splice(352..352, vec![0; behind]);
        std::fs::write(&file, &plain).unwrap();
        let (head, length) = ScanBytes::head(&file).unwrap();
        let (grid, channels) = head.expect("a header that can be used");
        assert_eq!((grid.dims, channels, length), ([3, 2, 1], 1, plain.len() as u64));
        assert_eq!(ScanBytes::read(&file).unwrap().labels().unwrap().labels(), [1; 6]);
    }
}
