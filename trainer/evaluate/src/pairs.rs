//! Pairs predictions with references by the names of their files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use model_core::{ScanContent, ScanName, Task};

use trainer_data::data_set::listing::{self, file_name, folder_name};
use trainer_data::data_set::references;
use trainer_run::files;
use trainer_run::reporter::Reporter;

/// The prediction and the reference of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CasePair {
    pub name: String,
    pub predicted: Option<PathBuf>,
    pub reference: PathBuf,
}

/// Pairs two files, or the files of two folders by name, in the order of the names.
///
/// # Errors
/// Errors if a path does not exist, if a prediction has no reference, or for a CSV of references
/// without a task.
pub(super) fn find(
    predicted: &Path,
    reference: &Path,
    task: Option<&Task>,
    reporter: &dyn Reporter,
) -> Result<Vec<CasePair>> {
    for path in [predicted, reference] {
        ensure!(path.exists(), "expected a file or folder, found nothing at {}", path.display());
    }
    match (predicted.is_dir(), reference.is_dir() || is_case_list(reference)) {
        (false, false) => Ok(vec![CasePair {
            name: case_name(predicted),
            predicted: Some(predicted.into()),
            reference: reference.into(),
        }]),
        (true, true) => {
            let mut references = references(reference, task, reporter)?;
            let (mut pairs, mut unpaired) = (Vec::new(), Vec::new());
            for (name, predicted) in label_maps(predicted, reporter)? {
                match references.remove(&name) {
                    Some(reference) => {
                        pairs.push(CasePair { name, predicted: Some(predicted), reference });
                    }
                    None => unpaired.push(format!("  {}", predicted.display())),
                }
            }
            ensure!(
                unpaired.is_empty(),
                "expected a reference of the same name for each prediction, found none for {}:\n{}",
                unpaired.len(),
                unpaired.join("\n")
            );
            let missing = |(name, reference)| CasePair { name, predicted: None, reference };
            pairs.extend(references.into_iter().map(missing));
            pairs.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(pairs)
        }
        _ => bail!(
            "expected two files, or two folders (for the references also a CSV), found {} and {}",
            predicted.display(),
            reference.display()
        ),
    }
}

/// Returns whether a file lists cases: a CSV, or a `dataset.json`.
fn is_case_list(file: &Path) -> bool {
    let is_csv = file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
    file.is_file() && (is_csv || file.file_name().is_some_and(|name| name == "dataset.json"))
}

/// Returns the references of a folder or a list, by case: the label files of a data set, or else
/// the label maps of the folder.
fn references(
    path: &Path,
    task: Option<&Task>,
    reporter: &dyn Reporter,
) -> Result<BTreeMap<String, PathBuf>> {
    let Some(found) = references::find(path, task, reporter)? else {
        return label_maps(path, reporter);
    };
    ensure!(!found.is_empty(), "expected label files, found none in {}", path.display());
    Ok(found)
}

/// Returns the label maps of a folder by case: the scans in the folder itself, or the segmentations
/// in its subfolders if no scan in the folder is named as a segmentation. Channels and masks of the
/// brain beside segmentations are ignored.
fn label_maps(folder: &Path, reporter: &dyn Reporter) -> Result<BTreeMap<String, PathBuf>> {
    let is_labels = |file: &PathBuf| parsed_name(file).content == ScanContent::Labels;
    let inside = listing::entries(folder)?.into_iter().map(|(_, path)| path);
    let is_scan = |path: &PathBuf| references::scan_name(path).is_some() && !path.is_dir();
    let mut scans: Vec<PathBuf> = inside.filter(is_scan).collect();
    let mut unused_lines = Vec::new();
    if !scans.iter().any(is_labels) {
        let mut below = listing::list_recursively(folder, reporter)?;
        below.scans.retain(is_labels);
        if scans.is_empty() || !below.scans.is_empty() {
            scans = below.scans;
            unused_lines = below.unused_files.lines();
        }
    } else {
        let is_other = |file: &PathBuf| {
            matches!(parsed_name(file).content, ScanContent::OtherChannel | ScanContent::OtherMask)
        };
        scans.retain(|file| !is_other(file));
    }
    ensure!(
        !scans.is_empty(),
        "expected label maps (.nii, .nii.gz, .hdr), found none in {}{}",
        folder.display(),
        unused_lines.iter().map(|line| format!("\n  {line}")).collect::<String>()
    );
    let mut maps: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut duplicates = Vec::new();
    // Labels made by experts come first.
    scans.sort_by_cached_key(|file| (parsed_name(file).variant, file.clone()));
    for file in scans {
        let case = case_name(&file);
        match maps.get(&case) {
            Some(other) if parsed_name(other).variant == parsed_name(&file).variant => {
                duplicates.push(format!("  {} and {}", other.display(), file.display()));
            }
            Some(_) => {}
            None => drop(maps.insert(case, file)),
        }
    }
    ensure!(
        duplicates.is_empty(),
        "expected one label map a case, found two:\n{}",
        duplicates.join("\n")
    );
    Ok(maps)
}

fn parsed_name(file: &Path) -> ScanName {
    ScanName::parse(&file_name(file), &[])
}

/// Returns a file's name without the word for a segmentation. A file that is named by that word
/// alone has the name of its folder.
fn case_name(file: &Path) -> String {
    match parsed_name(file) {
        ScanName { content: ScanContent::Labels, is_at_end: true, case, .. } => {
            case.unwrap_or_else(|| folder_name(file.parent().unwrap_or(Path::new(""))))
        }
        _ => references::scan_name(file).unwrap_or_else(|| files::case_name(file)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trainer_run::reporter::Silent;

    fn touch(folder: &Path, names: &[&str]) {
        for name in names {
            let file = folder.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, []).unwrap();
        }
    }

    #[test]
    fn predictions_are_paired_with_the_segmentations_of_brats_folders() {
        let folder = std::env::temp_dir().join(format!("rewind-pairs-{}", std::process::id()));
        let (predicted, reference) = (folder.join("predicted"), folder.join("reference"));
        touch(&predicted, &["B1.nii.gz", "B2.nii.gz", "B4.nii.gz", "._B1.nii.gz"]);
        touch(&reference, &["HGG/B1/B1_seg.nii.gz", "HGG/B1/B1_t1.nii.gz", "B2/B2-seg.nii"]);
        touch(&reference, &["LGG/B3/B3_seg.nii.gz", "B4/seg.nii.gz", "B4/t1.nii.gz"]);
        let found = find(&predicted, &reference, None, &Silent).unwrap();
        let names: Vec<_> = found.iter().map(|f| (&f.name[..], f.predicted.is_some())).collect();
        assert_eq!(names, [("B1", true), ("B2", true), ("B3", false), ("B4", true)]);

        touch(&predicted, &["C1.nii.gz", "C2.nii.gz"]);
        let error = find(&predicted, &reference, None, &Silent).unwrap_err().to_string();
        assert!(error.contains("C1.nii.gz") && error.contains("C2.nii.gz"), "{error}");
        touch(&reference, &["C1/C1-seg.nii.gz", "C2/C2-seg.nii.gz", "C2/C2_seg.nii"]);
        let error = find(&predicted, &reference, None, &Silent).unwrap_err().to_string();
        assert!(error.contains("found two") && error.contains("C2_seg.nii"), "{error}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
