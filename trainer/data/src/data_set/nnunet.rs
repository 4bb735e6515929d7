//! nnU-Net raw: a file for each channel, `imagesTr/CASE_0000.nii.gz`, and `labelsTr/CASE.nii.gz`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use model_core::strip_ending;
use model_core::task::dataset::{LabeledScan, ListedCase, NnunetCases};

use super::by_suffix::Found;
use super::listing::{self, entries};
use super::{CaseFiles, Fault, LeftAside};

/// Cases of the second form, from their files' names or as they are listed.
pub(super) fn cases(folder: &Path, cases: &NnunetCases, channels: &[String]) -> Result<Found> {
    let ending = &cases.file_ending;
    let mut found = match cases.listed.is_empty() {
        true => training(folder, ending, channels)?,
        false => Found {
            cases: cases.listed.iter().map(|case| listed(folder, case)).collect(),
            ..Found::default()
        },
    };
    let test = folder.join("imagesTs");
    if test.is_dir() {
        let numbered = Numbered::read(&test, ending, &mut found.left)?;
        found.faults.extend(numbered.doubled.into_iter().map(Fault::of_unlabeled));
        for (name, files) in numbered.by_case {
            match complete(&name, files, channels, &test) {
                Ok(images) => found.unlabeled.push(CaseFiles { name, images, label: None }),
                Err(faults) => found.faults.extend(faults.into_iter().map(Fault::of_unlabeled)),
            }
        }
    }
    Ok(found)
}

fn listed(folder: &Path, case: &ListedCase) -> CaseFiles {
    CaseFiles {
        name: case.name.clone(),
        images: case.images.iter().map(|image| folder.join(image)).collect(),
        label: Some(folder.join(&case.label)),
    }
}

/// The cases of imagesTr and labelsTr, each of which has to be in both.
fn training(folder: &Path, ending: &str, channels: &[String]) -> Result<Found> {
    let (images, labels) = (folder.join("imagesTr"), folder.join("labelsTr"));
    let mut found = Found::default();
    let Numbered { mut by_case, doubled } = Numbered::read(&images, ending, &mut found.left)?;
    found.faults.extend(doubled);
    let mut with_labels: BTreeMap<String, PathBuf> = BTreeMap::new();
    for (name, path) in entries(&labels)? {
        match strip_ending(&name, ending) {
            None => add_other(&mut found.left, ending, &path),
            Some(case) => {
                if let Some(first) = with_labels.insert(case.to_string(), path.clone()) {
                    found.faults.push(doubled_fault(case, &first, path));
                }
            }
        }
    }
    let names: BTreeSet<String> = by_case.keys().chain(with_labels.keys()).cloned().collect();
    for name in names {
        let label = with_labels.remove(&name);
        if label.is_none() {
            let file = labels.join(format!("{name}{ending}"));
            found.faults.push(Fault::new(&name, "expected labels, found no file", Some(file)));
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

/// A folder's files by case and channel number.
struct Numbered {
    by_case: BTreeMap<String, BTreeMap<usize, PathBuf>>,
    /// Files of one channel of a case, whose names differ by capitals alone.
    doubled: Vec<Fault>,
}

impl Numbered {
    fn read(folder: &Path, ending: &str, left: &mut LeftAside) -> Result<Numbered> {
        let mut by_case: BTreeMap<String, BTreeMap<usize, PathBuf>> = BTreeMap::new();
        let mut doubled = Vec::new();
        for (name, path) in entries(folder)? {
            let Some(stem) = strip_ending(&name, ending) else {
                add_other(left, ending, &path);
                continue;
            };
            let numbered = stem.rsplit_once('_').filter(|(_, number)| number.len() == 4);
            let numbered = numbered.and_then(|(case, number)| Some((case, number.parse().ok()?)));
            let Some((case, number)) = numbered else {
                left.add("files without a channel's number (CASE_0000)", &path);
                continue;
            };
            let files = by_case.entry(case.to_string()).or_default();
            if let Some(first) = files.insert(number, path.clone()) {
                doubled.push(doubled_fault(case, &first, path));
            }
        }
        Ok(Numbered { by_case, doubled })
    }
}

fn doubled_fault(case: &str, first: &Path, other: PathBuf) -> Fault {
    let what = format!("expected one file, found two: {} and this", first.display());
    Fault::new(case, what, Some(other))
}

/// A file that does not end as the description says.
fn add_other(left: &mut LeftAside, ending: &str, path: &Path) {
    match listing::stem(&listing::file_name(path)) {
        Some(_) if !path.is_dir() => {
            let what = format!("scans that do not end in {ending}, as file_ending says they do");
            left.add(what, path);
        }
        _ => left.add_other(path),
    }
}

/// A case's files in the order of the channels, or a fault for each that is missing or too many.
fn complete(
    name: &str,
    files: BTreeMap<usize, PathBuf>,
    channels: &[String],
    folder: &Path,
) -> Result<Vec<PathBuf>, Vec<Fault>> {
    let mut faults = Vec::new();
    for (number, channel) in channels.iter().enumerate() {
        if !files.contains_key(&number) {
            let what = format!("expected {channel} ({name}_{number:04}), found none");
            faults.push(Fault::new(name, what, Some(folder.to_path_buf())));
        }
    }
    for (number, file) in files.range(channels.len()..) {
        let count = channels.len();
        let what = format!("expected channels numbered below {count:04}, found {number:04}");
        faults.push(Fault::new(name, what, Some(file.clone())));
    }
    if faults.is_empty() { Ok(files.into_values().collect()) } else { Err(faults) }
}

/// The files of a listed image whose channels lie in files of their own: the first form lists
/// `case.nii.gz` for `case_0000.nii.gz`, `case_0001.nii.gz`, …
pub(super) fn channel_files(image: &Path, num_channels: usize) -> Vec<PathBuf> {
    let name = listing::file_name(image);
    let stem = listing::stem(&name).unwrap_or(&name);
    let ending = &name[stem.len()..];
    (0..num_channels).map(|n| image.with_file_name(format!("{stem}_{n:04}{ending}"))).collect()
}

/// Whether images are listed without their channels' numbers: no such file, but its first channel.
pub(super) fn leaves_out_channels(folder: &Path, training: &[LabeledScan]) -> bool {
    training.iter().filter(|pair| pair.other_images.is_empty()).any(|pair| {
        let image = folder.join(&pair.image);
        !image.exists() && channel_files(&image, 1)[0].exists()
    })
}
