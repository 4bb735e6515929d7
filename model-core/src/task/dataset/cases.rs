//! The cases that a data set's description lists, with their files.

use crate::{Error, Result, ScanName, scan_stem};

/// The cases of nnU-Net's second format, which lists no scans in `training`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NnunetCases {
    /// The ending of file names, `.nii.gz` or `.nii`.
    pub file_ending: String,
    /// The cases listed with their files, which replace those in `imagesTr`.
    pub listed: Vec<ListedCase>,
}

/// A case with one file for each channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedCase {
    /// The case's name.
    pub name: String,
    /// One file for each channel.
    pub images: Vec<String>,
    /// The file of the labels.
    pub label: String,
}

/// A scan and its labels, as paths with `/` relative to the data set's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabeledScan {
    /// The scan: one 3-D file, one 4-D file with all channels, or the file of the first channel.
    pub image: String,
    /// The files of the other channels, if each channel has its own file.
    pub other_images: Vec<String>,
    /// The file of the labels.
    pub label: String,
}

impl LabeledScan {
    /// Returns the case's name; see [`case_name`].
    pub fn name(&self) -> String {
        case_name(&self.images())
    }

    /// Returns every file of the scan.
    pub fn images(&self) -> Vec<String> {
        std::iter::once(&self.image).chain(&self.other_images).cloned().collect()
    }
}

/// Returns a case's name from its files: the file's name without folder and ending. If each channel
/// has its own file, the name is the common part of the files' names, or else the folder's name.
pub fn case_name(images: &[String]) -> String {
    let split = |path: &String| {
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        (folder.to_string(), scan_stem(file).unwrap_or(file).to_string())
    };
    let Some((folder, first)) = images.first().map(split) else { return String::new() };
    if images.len() == 1 {
        return first;
    }
    let case = |image: &String| ScanName::parse(&split(image).1, &[]).case;
    let shared = case(&images[0]);
    match images.iter().all(|image| case(image) == shared) {
        true => shared.unwrap_or_else(|| folder.rsplit('/').next().unwrap_or_default().to_string()),
        false => first,
    }
}

/// Returns a path relative to the data set's folder.
///
/// # Errors
/// [`Error::Task`] if the path could lead out of the folder on any operating system.
pub(super) fn relative_path(path: &str) -> Result<String> {
    let plain = path.strip_prefix("./").unwrap_or(path);
    let is_drive = plain.as_bytes().get(1) == Some(&b':');
    let has_plain_parts =
        plain.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    match has_plain_parts && !is_drive && !plain.contains(['\\', '\0']) {
        true => Ok(plain.to_string()),
        false => Err(Error::task("paths below the data set's folder", format!("{path:?}"))),
    }
}
