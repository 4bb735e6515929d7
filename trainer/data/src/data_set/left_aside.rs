//! What a walk over a folder passed over: counted by what it is, with an example of each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::listing::file_name;

/// Files and folders that are not used, by what they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeftAside(BTreeMap<String, (usize, PathBuf)>);

/// Endings of files that hold scans in other formats, or hold them packed.
const FORMATS: [(&[&str], &str); 9] = [
    (&[".mgz", ".mgh"], "FreeSurfer scans (.mgz), which have to be converted to NIfTI"),
    (&[".nrrd", ".nhdr"], "NRRD scans (.nrrd), which have to be converted to NIfTI"),
    (&[".mha", ".mhd"], "MetaImage scans (.mha, .mhd), which have to be converted to NIfTI"),
    (&[".dcm", ".ima", ".dicom"], "DICOM files (.dcm), which have to be converted to NIfTI"),
    (&[".mnc"], "MINC scans (.mnc), which have to be converted to NIfTI"),
    (&[".npy", ".npz", ".h5", ".hdf5", ".mat"], "arrays (.npy, .h5, .mat) without a geometry"),
    (
        &[".zip", ".tar", ".tar.gz", ".tgz", ".rar", ".7z", ".xz", ".bz2"],
        "archives, which have to be unpacked",
    ),
    (
        &[".part", ".partial", ".crdownload", ".download", ".aspera-ckpt", ".tmp"],
        "downloads that are not finished",
    ),
    (&[".img", ".img.gz"], "voxels of Analyze pairs (.img) without their header (.hdr)"),
];

impl LeftAside {
    /// Counts a file or a folder.
    pub fn add(&mut self, what: impl Into<String>, path: &Path) {
        self.0.entry(what.into()).or_insert_with(|| (0, path.to_path_buf())).0 += 1;
    }

    /// Counts a file whose name is not that of a scan.
    pub fn add_other(&mut self, path: &Path) {
        let name = file_name(path).to_lowercase();
        let is_voxels = name.strip_suffix(".gz").unwrap_or(&name).ends_with(".img");
        if is_voxels && super::scan_bytes::parts(path).is_ok() {
            return;
        }
        let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        match FORMATS.iter().find(|(endings, _)| ends(endings)) {
            Some((_, what)) => self.add(*what, path),
            None if path.is_symlink() && !path.exists() => {
                self.add("links to what is not here", path);
            }
            None => self.add("other files", path),
        }
    }

    /// Adds what another walk passed over.
    pub fn extend(&mut self, other: LeftAside) {
        for (what, (count, example)) in other.0 {
            self.0.entry(what).or_insert((0, example)).0 += count;
        }
    }

    /// Whether nothing was.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A line for each kind.
    pub fn lines(&self) -> Vec<String> {
        let line = |(what, (count, example)): (&String, &(usize, PathBuf))| match count {
            1 => format!("1 × {what}: {}", example.display()),
            count => format!("{count} × {what}, such as {}", example.display()),
        };
        self.0.iter().map(line).collect()
    }

    /// All of it, to be printed; empty where there is none.
    pub fn text(&self) -> String {
        match self.is_empty() {
            true => String::new(),
            false => format!("not used:\n  {}", self.lines().join("\n  ")),
        }
    }
}
