//! Which prediction belongs to which reference.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use model_core::{ScanContent, ScanName, Task};

use trainer_data::data_set::listing::{self, file_name, folder_name};
use trainer_data::data_set::references;
use trainer_run::files;

/// A case's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Files {
    pub name: String,
    pub predicted: Option<PathBuf>,
    pub reference: PathBuf,
}

/// Pairs predictions with references by name, ordered by name; a CSV of references needs the task.
pub(super) fn find(predicted: &Path, reference: &Path, task: Option<&Task>) -> Result<Vec<Files>> {
    for path in [predicted, reference] {
        ensure!(path.exists(), "expected a file or folder, found nothing at {}", path.display());
    }
    match (predicted.is_dir(), reference.is_dir() || is_list(reference)) {
        (false, false) => Ok(vec![Files {
            name: case_name(predicted),
            predicted: Some(predicted.into()),
            reference: reference.into(),
        }]),
        (true, true) => {
            let predicted = label_maps(predicted)?;
            let mut references = references(reference, task)?;
            let pair = |(name, predicted): (String, PathBuf)| match references.remove(&name) {
                Some(reference) => Ok(Files { name, predicted: Some(predicted), reference }),
                None => Err(format!("  {}", predicted.display())),
            };
            let (mut files, mut alone) = (Vec::new(), Vec::new());
            for pair in predicted.into_iter().map(pair) {
                match pair {
                    Ok(pair) => files.push(pair),
                    Err(file) => alone.push(file),
                }
            }
            ensure!(
                alone.is_empty(),
                "expected a reference of the same name for each prediction, found none for {}:\n{}",
                alone.len(),
                alone.join("\n")
            );
            let missing = |(name, reference)| Files { name, predicted: None, reference };
            files.extend(references.into_iter().map(missing));
            files.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(files)
        }
        _ => bail!(
            "expected two files, or two folders (for the references also a CSV), found {} and {}",
            predicted.display(),
            reference.display()
        ),
    }
}

/// Whether a file lists cases.
fn is_list(file: &Path) -> bool {
    let is_csv = file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
    file.is_file() && (is_csv || file.file_name().is_some_and(|name| name == "dataset.json"))
}

/// The references of a folder or a list: the label files of a data set, else the label maps in it.
fn references(path: &Path, task: Option<&Task>) -> Result<BTreeMap<String, PathBuf>> {
    let Some(found) = references::find(path, task)? else { return label_maps(path) };
    ensure!(!found.is_empty(), "expected label files, found none in {}", path.display());
    Ok(found)
}

/// The label maps in a folder by the case's name: the scans that lie in it, or where these are not
/// named as segmentations, those below it that are. Beside segmentations other scans do not count.
fn label_maps(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let is_labels = |file: &PathBuf| named(file).content == ScanContent::Labels;
    let inside = listing::entries(folder)?.into_iter().map(|(_, path)| path);
    let is_scan = |path: &PathBuf| references::scan_name(path).is_some() && !path.is_dir();
    let mut scans: Vec<PathBuf> = inside.filter(is_scan).collect();
    let mut left = Vec::new();
    if !scans.iter().any(is_labels) {
        let mut below = listing::list_recursively(folder)?;
        below.scans.retain(is_labels);
        if scans.is_empty() || !below.scans.is_empty() {
            scans = below.scans;
            left = below.unused_files.lines();
        }
    } else {
        // The channels of the cases, and masks of the brain.
        let is_other = |file: &PathBuf| {
            matches!(named(file).content, ScanContent::OtherChannel | ScanContent::OtherMask)
        };
        scans.retain(|file| !is_other(file));
    }
    ensure!(
        !scans.is_empty(),
        "expected label maps (.nii, .nii.gz, .hdr), found none in {}{}",
        folder.display(),
        left.iter().map(|line| format!("\n  {line}")).collect::<String>()
    );
    let mut maps: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut twice = Vec::new();
    // Those that experts made come first.
    scans.sort_by_cached_key(|file| (named(file).variant, file.clone()));
    for file in scans {
        let case = case_name(&file);
        match maps.get(&case) {
            Some(other) if named(other).variant == named(&file).variant => {
                twice.push(format!("  {} and {}", other.display(), file.display()));
            }
            Some(_) => {}
            None => drop(maps.insert(case, file)),
        }
    }
    ensure!(twice.is_empty(), "expected one label map a case, found two:\n{}", twice.join("\n"));
    Ok(maps)
}

fn named(file: &Path) -> ScanName {
    ScanName::parse(&file_name(file), &[])
}

/// A file's name without what says that it is a segmentation; where it says only that, the folder's.
fn case_name(file: &Path) -> String {
    match named(file) {
        ScanName { content: ScanContent::Labels, is_at_end: true, case, .. } => {
            case.unwrap_or_else(|| folder_name(file.parent().unwrap_or(Path::new(""))))
        }
        _ => references::scan_name(file).unwrap_or_else(|| files::case_name(file)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(folder: &Path, names: &[&str]) {
        for name in names {
            let file = folder.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, []).unwrap();
        }
    }

    #[test]
    fn predictions_meet_the_segmentations_of_brats_folders() {
        let folder = std::env::temp_dir().join(format!("rewind-pairs-{}", std::process::id()));
        let (predicted, reference) = (folder.join("predicted"), folder.join("reference"));
        touch(&predicted, &["B1.nii.gz", "B2.nii.gz", "B4.nii.gz", "._B1.nii.gz"]);
        touch(&reference, &["HGG/B1/B1_seg.nii.gz", "HGG/B1/B1_t1.nii.gz", "B2/B2-seg.nii"]);
        touch(&reference, &["LGG/B3/B3_seg.nii.gz", "B4/seg.nii.gz", "B4/t1.nii.gz"]);
        let found = find(&predicted, &reference, None).unwrap();
        let names: Vec<_> = found.iter().map(|f| (&f.name[..], f.predicted.is_some())).collect();
        assert_eq!(names, [("B1", true), ("B2", true), ("B3", false), ("B4", true)]);

        touch(&predicted, &["C1.nii.gz", "C2.nii.gz"]);
        let error = find(&predicted, &reference, None).unwrap_err().to_string();
        assert!(error.contains("C1.nii.gz") && error.contains("C2.nii.gz"), "{error}");
        touch(&reference, &["C1/C1-seg.nii.gz", "C2/C2-seg.nii.gz", "C2/C2_seg.nii"]);
        let error = find(&predicted, &reference, None).unwrap_err().to_string();
        assert!(error.contains("found two") && error.contains("C2_seg.nii"), "{error}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
