//! BraTS folders: `ID_{t1,t1ce,t2,flair,seg}` until 2022, `ID-{t1n,t1c,t2w,t2f,seg}` since 2023.
//!
//! The files do not say what their labels mean, and the years disagree, so the task is named.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use model_core::{ScanContent, Task};

use super::by_suffix::{self, Found, Group};
use super::listing::{Listing, folder_name};
use super::{DataSet, Fault, Layout, TaskSource};

/// The contrasts of every year.
const CHANNELS: [&str; 4] = ["T1", "T1Gd", "T2", "FLAIR"];

/// Whether a folder's scans are named as BraTS's: a case has two contrasts, or one and labels.
pub(super) fn is_brats(folder: &Path, files: &[PathBuf]) -> bool {
    let (groups, _) = by_suffix::groups(folder, files, &CHANNELS.map(String::from));
    groups.iter().any(|group| group.files.len() > 1)
}

/// Lists the cases.
pub(super) fn open(folder: &Path, listing: Listing, wanted: TaskSource) -> Result<DataSet> {
    let is_model = matches!(wanted, TaskSource::Model(_));
    let named = match wanted {
        TaskSource::Named(task) | TaskSource::Model(task) => Some(task),
        TaskSource::Unnamed => None,
    };
    let all = CHANNELS.map(String::from);
    let (groups, _) = by_suffix::groups(folder, &listing.scans, &all);
    let num_old = groups.iter().filter(|group| is_old(group)).count();
    let is_old = 2 * num_old >= groups.len();
    let layout = if is_old { Layout::BratsUntil2022 } else { Layout::BratsSince2023 };
    let Some(task) = named else {
        let names = match is_old {
            true => "brats2018, brats2019, brats2020, brats2021 or brats2022",
            false => "brats2023 or brats2024",
        };
        bail!(
            "expected --task: a BraTS folder does not say what its labels mean, and 4 is enhancing \
             tumor until 2022, nothing in 2023 and resection cavity in 2024. By the names of its \
             files this one is {names}; found no --task for {}",
            folder.display()
        );
    };
    let (groups, unused) = by_suffix::groups(folder, &listing.scans, &task.channels);
    for (number, channel) in task.channels.iter().enumerate() {
        let has = |group: &Group| group.of(ScanContent::Channel(number)).next().is_some();
        ensure!(
            groups.iter().any(has) || model_core::is_modality(channel),
            "expected a task whose channels are among T1, T1Gd, T2, FLAIR, or in the names of files, \
             found {channel:?} (in {})",
            folder.display()
        );
    }
    // Labels that nothing tells would be missed in silence, and be none of any case.
    let has_strays = |group: &Group| !group.has_labels() && !group.strays.is_empty();
    let unnamed_labels = (!is_model && !groups.is_empty() && groups.iter().all(has_strays)).then(|| {
        let what = "expected labels (seg), found none; scans whose names tell nothing lie beside \
                    every case, and a CSV of paths could name them";
        Fault::new("", what, groups[0].strays.first().cloned())
    });
    let (groups, mut notes, of_other_year) = by_year(&task, groups, is_model);
    let found = by_suffix::cases(groups, &task.channels);
    let Found { cases, unlabeled, mut faults, notes: of_files, left } = found;
    faults.extend(of_other_year);
    notes.extend(of_files);
    faults.extend(unnamed_labels);
    let mut data_set = DataSet {
        layout,
        cases,
        unlabeled,
        faults,
        notes,
        ..DataSet::new(&folder_name(folder), task, Vec::new())
    };
    data_set.left = listing.left;
    data_set.left.extend(unused);
    data_set.left.extend(left);
    Ok(data_set)
}

/// Whether a case's files are named as until 2022.
fn is_old(group: &Group) -> bool {
    let count = |names: &[&str]| {
        group.files.iter().filter(|member| names.contains(&member.name.word.as_str())).count()
    };
    count(&["t1ce", "flair"]) >= count(&["t1c", "t2f", "t1n", "t2w"])
}

/// Sorts out the cases whose files' names are not of the task's year. Label 4 was enhancing tumor
/// until 2022 and is resection cavity in 2024: taken for each other, no value would show it. So such
/// cases are faults where they have labels; for a model they go without. In 2023 there is no 4: a
/// note is enough. A task whose name is not that of a BraTS year takes any names.
fn by_year(
    task: &Task,
    groups: Vec<Group>,
    is_model: bool,
) -> (Vec<Group>, Vec<String>, Vec<Fault>) {
    let year = task.name.strip_prefix("BraTS ").and_then(|name| name.get(..4)?.parse().ok());
    let Some(year): Option<u32> = year else { return (groups, Vec::new(), Vec::new()) };
    let is_other = |group: &Group| is_old(group) != (year <= 2022);
    let num_other = groups.iter().filter(|group| is_other(group)).count();
    if num_other == 0 {
        return (groups, Vec::new(), Vec::new());
    }
    let names = if year <= 2022 { "since 2023 (t1c, t2f)" } else { "until 2022 (t1ce, flair)" };
    let note = format!(
        "{num_other} of {} cases have files named as {names}, but the task is {}",
        groups.len(),
        task.name
    );
    if year == 2023 {
        return (groups, vec![format!("{note}: make sure that its labels are meant")], Vec::new());
    }
    let what = format!(
        "expected files of {}, found names as {names}; label 4 was enhancing tumor until 2022 and is \
         resection cavity in 2024. A task from a file, of a name that is not a BraTS year's, takes \
         any names",
        task.name
    );
    let (mut kept, mut faults) = (Vec::new(), Vec::new());
    for mut group in groups {
        let label = group.of(ScanContent::Labels).next().map(|member| member.file.clone());
        match label.filter(|_| is_other(&group)) {
            None => kept.push(group),
            Some(_) if is_model => {
                group.files.retain(|member| member.name.content != ScanContent::Labels);
                group.strays.clear();
                kept.push(group);
            }
            Some(file) => faults.push(Fault::new(&group.name, &what, Some(file))),
        }
    }
    (kept, vec![format!("{note}: their labels cannot be used")], faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_that_the_values_cannot_tell_is_told_by_the_names() {
        let names = ["old_t1ce", "old_seg", "a_t1c", "a_seg", "b_t1c", "b_seg", "none_t1c"];
        let files = names.map(|name| PathBuf::from(format!("x/{name}.nii")));
        let sort = |task: &str, is_model: bool| {
            let task = Task::builtin(task).unwrap();
            let (groups, _) = by_suffix::groups(Path::new("x"), &files, &task.channels);
            by_year(&task, groups, is_model)
        };
        let (kept, _, faults) = sort("brats2024", false);
        assert_eq!((kept.len(), faults.len(), &faults[0].case[..]), (3, 1, "old"));
        assert!(faults[0].what.contains("until 2022 (t1ce"), "{}", faults[0]);
        // 4 of 2024 would be taken for enhancing tumor; without labels nothing can be mistaken.
        let (kept, notes, faults) = sort("brats2021", false);
        assert_eq!((kept.len(), faults.len(), &kept[0].name[..]), (2, 2, "none"));
        assert!(notes[0].starts_with("3 of 4 cases have files named as since 2023"), "{notes:?}");
        // A model segments them all, without their labels.
        let (kept, _, faults) = sort("brats2021", true);
        let labeled: Vec<&str> =
            kept.iter().filter(|group| group.has_labels()).map(|group| &group.name[..]).collect();
        assert_eq!((kept.len(), labeled, faults.len()), (4, vec!["old"], 0));
        // In 2023 the values tell.
        let (kept, notes, faults) = sort("brats2023", false);
        assert_eq!((kept.len(), notes.len(), faults.len()), (4, 1, 0));
    }
}
