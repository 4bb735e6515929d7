//! Counts the files of a data set that are not used, by kind, with an example of each kind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Unused files and folders, by kind: their number and an example.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnusedFiles(BTreeMap<String, (usize, PathBuf)>);

/// File extensions of other scan formats and archives.
const FORMATS: [(&[&str], &str); 9] = [
    (&[".mgz", ".mgh"], "FreeSurfer scans (.mgz): convert them to NIfTI"),
    (&[".nrrd", ".nhdr"], "NRRD scans (.nrrd): convert them to NIfTI"),
    (&[".mha", ".mhd"], "MetaImage scans (.mha, .mhd): convert them to NIfTI"),
    (&[".dcm", ".ima", ".dicom"], "DICOM files (.dcm): convert them to NIfTI"),
    (&[".mnc"], "MINC scans (.mnc): convert them to NIfTI"),
    (&[".npy", ".npz", ".h5", ".hdf5", ".mat"], "arrays (.npy, .h5, .mat) without a geometry"),
    (&[".zip", ".tar", ".tar.gz", ".tgz", ".rar", ".7z", ".xz", ".bz2"], "archives: unpack them"),
    (
        &[".part", ".partial", ".crdownload", ".download", ".aspera-ckpt", ".tmp"],
        "unfinished downloads",
    ),
    (&[".img", ".img.gz"], "voxels of Analyze pairs (.img) without their header (.hdr)"),
];

impl UnusedFiles {
    /// Counts a file or a folder.
    pub fn add(&mut self, kind: impl Into<String>, path: &Path) {
        self.0.entry(kind.into()).or_insert_with(|| (0, path.to_path_buf())).0 += 1;
    }

    /// Counts a file that is not named as a scan, by its extension.
    pub fn add_other(&mut self, path: &Path) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let is_voxels = name.strip_suffix(".gz").unwrap_or(&name).ends_with(".img");
        if is_voxels && super::scan_bytes::files_of(path).is_ok() {
            return;
        }
        let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        match FORMATS.iter().find(|(endings, _)| ends(endings)) {
            Some((_, kind)) => self.add(*kind, path),
            None if path.is_symlink() && !path.exists() => {
                self.add("links to missing files", path);
            }
            None => self.add("other files", path),
        }
    }

    /// Adds the counts of `other`.
    pub fn extend(&mut self, other: UnusedFiles) {
        for (kind, (count, example)) in other.0 {
            self.0.entry(kind).or_insert((0, example)).0 += count;
        }
    }

    /// Returns whether every file is used.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns a line for each kind.
    pub fn lines(&self) -> Vec<String> {
        let line = |(kind, (count, example)): (&String, &(usize, PathBuf))| match count {
            1 => format!("1 × {kind}: {}", example.display()),
            count => format!("{count} × {kind}, such as {}", example.display()),
        };
        self.0.iter().map(line).collect()
    }

    /// Formats all kinds for printing. Returns `None` if every file is used.
    pub fn text(&self) -> Option<String> {
        (!self.is_empty()).then(|| format!("not used:\n  {}", self.lines().join("\n  ")))
    }
}
