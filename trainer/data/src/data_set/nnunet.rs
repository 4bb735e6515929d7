//! nnU-Net raw: one file a channel, `imagesTr/CASE_0000.nii.gz`, and `labelsTr/CASE.nii.gz`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use model_core::strip_ending;
use model_core::task::dataset::{LabeledScan, ListedCase, NnunetCases};

use super::by_file_name::ListedCases;
use super::listing::{self, entries};
use super::{CaseFiles, Fault, UnusedFiles};

/// Lists the cases of version 2, from the names of their files or from the list in `dataset.json`.
pub(super) fn cases(
    folder: &Path,
    by_name: &NnunetCases,
    channels: &[String],
) -> Result<ListedCases> {
    let ending = &by_name.file_ending;
    let mut found = match by_name.listed.is_empty() {
        true => training_cases(folder, ending, channels)?,
        false => ListedCases {
            cases: by_name.listed.iter().map(|case| listed_case(folder, case)).collect(),
            ..ListedCases::default()
        },
    };
    let test = folder.join("imagesTs");
    if test.is_dir() {
        let numbered = NumberedFiles::list(&test, ending, &mut found.unused_files)?;
        found.faults.extend(numbered.duplicates.into_iter().map(Fault::unlabeled));
        for (name, files) in numbered.by_case {
            match complete(&name, files, channels, &test) {
                Ok(images) => found.unlabeled.push(CaseFiles { name, images, label: None }),
                Err(faults) => found.faults.extend(faults.into_iter().map(Fault::unlabeled)),
            }
        }
    }
    Ok(found)
}

fn listed_case(folder: &Path, case: &ListedCase) -> CaseFiles {
    CaseFiles {
        name: case.name.clone(),
        images: case.images.iter().map(|image| folder.join(image)).collect(),
        label: Some(folder.join(&case.label)),
    }
}

/// Lists the cases of imagesTr and labelsTr. A case that is missing in one of them is a fault.
fn training_cases(folder: &Path, ending: &str, channels: &[String]) -> Result<ListedCases> {
    let (images, labels) = (folder.join("imagesTr"), folder.join("labelsTr"));
    let mut found = ListedCases::default();
    let NumberedFiles { mut by_case, duplicates } =
        NumberedFiles::list(&images, ending, &mut found.unused_files)?;
    found.faults.extend(duplicates);
    let mut with_labels: BTreeMap<String, PathBuf> = BTreeMap::new();
    for (name, path) in entries(&labels)? {
        match strip_ending(&name, ending) {
            None => count_unused(&mut found.unused_files, ending, &path),
            Some(case) => {
                if let Some(first) = with_labels.insert(case.to_string(), path.clone()) {
                    found.faults.push(duplicate_fault(case, &first, path));
                }
            }
        }
    }
    let names: BTreeSet<String> = by_case.keys().chain(with_labels.keys()).cloned().collect();
    for name in names {
        let label = with_labels.remove(&name);
        if label.is_none() {
            let file = labels.join(format!("{name}{ending}"));
            found.faults.push(Fault::of_case(&name, "expected labels, found no file", Some(file)));
        }
        let files = by_case.remove(&name).unwrap_or_default();
        match (complete(&name, files, channels, &images), label) {
            (Ok(images), Some(label)) => {
                found.cases.push(CaseFiles { name, images, label: Some(label) });
            }
            (Ok(_), None) => {}
            (Err(faults), _) => found.faults.extend(faults),
        }
    }
    Ok(found)
}

/// The files of a folder by case and channel number.
struct NumberedFiles {
    by_case: BTreeMap<String, BTreeMap<usize, PathBuf>>,
    /// Faults about files with the same case and channel. Their names differ only by capitals.
    duplicates: Vec<Fault>,
}

impl NumberedFiles {
    fn list(folder: &Path, ending: &str, unused_files: &mut UnusedFiles) -> Result<NumberedFiles> {
        let mut by_case: BTreeMap<String, BTreeMap<usize, PathBuf>> = BTreeMap::new();
        let mut duplicates = Vec::new();
        for (name, path) in entries(folder)? {
            let Some(stem) = strip_ending(&name, ending) else {
                count_unused(unused_files, ending, &path);
                continue;
            };
            let numbered = stem.rsplit_once('_').filter(|(_, number)| number.len() == 4);
            let numbered = numbered.and_then(|(case, number)| Some((case, number.parse().ok()?)));
            let Some((case, number)) = numbered else {
                unused_files.add("files without a channel's number (CASE_0000)", &path);
                continue;
            };
            let files = by_case.entry(case.to_string()).or_default();
            if let Some(first) = files.insert(number, path.clone()) {
                duplicates.push(duplicate_fault(case, &first, path));
            }
        }
        Ok(NumberedFiles { by_case, duplicates })
    }
}

fn duplicate_fault(case: &str, first: &Path, other: PathBuf) -> Fault {
    let message = format!("expected one file, found two: {} and this", first.display());
    Fault::of_case(case, message, Some(other))
}

/// Counts a file without the extension that `dataset.json` states.
fn count_unused(unused_files: &mut UnusedFiles, ending: &str, path: &Path) {
    match listing::stem(&listing::file_name(path)) {
        Some(_) if !path.is_dir() => {
            let kind = format!("scans that do not end in {ending}, as file_ending says");
            unused_files.add(kind, path);
        }
        _ => unused_files.add_other(path),
    }
}

/// Returns a case's files in the order of the channels.
///
/// # Errors
/// Returns a fault for each missing file and for each number beyond the channels.
fn complete(
    name: &str,
    files: BTreeMap<usize, PathBuf>,
    channels: &[String],
    folder: &Path,
) -> Result<Vec<PathBuf>, Vec<Fault>> {
    let mut faults = Vec::new();
    for (number, channel) in channels.iter().enumerate() {
        if !files.contains_key(&number) {
            let message = format!("expected {channel} ({name}_{number:04}), found none");
            faults.push(Fault::of_case(name, message, Some(folder.to_path_buf())));
        }
    }
    for (number, file) in files.range(channels.len()..) {
        let count = channels.len();
        let message = format!("expected channels numbered below {count:04}, found {number:04}");
        faults.push(Fault::of_case(name, message, Some(file.clone())));
    }
    if faults.is_empty() { Ok(files.into_values().collect()) } else { Err(faults) }
}

/// Returns the channel files of a listed image. Version 1 lists `case.nii.gz` for the files
/// `case_0000.nii.gz`, `case_0001.nii.gz`, …
pub(super) fn channel_files(image: &Path, num_channels: usize) -> Vec<PathBuf> {
    let name = listing::file_name(image);
    let stem = listing::stem(&name).unwrap_or(&name);
    let ending = &name[stem.len()..];
    (0..num_channels).map(|n| image.with_file_name(format!("{stem}_{n:04}{ending}"))).collect()
}

/// Returns whether images are listed without channel numbers: the listed file does not exist, but
/// the file of its first channel does.
pub(super) fn leaves_out_channels(folder: &Path, training: &[LabeledScan]) -> bool {
    training.iter().filter(|pair| pair.other_images.is_empty()).any(|pair| {
        let image = folder.join(&pair.image);
        !image.exists() && channel_files(&image, 1)[0].exists()
    })
}
