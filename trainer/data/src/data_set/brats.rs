//! BraTS folders: `ID_{t1,t1ce,t2,flair,seg}` until 2022, `ID-{t1n,t1c,t2w,t2f,seg}` since 2023.
//!
//! The files do not state the meaning of their labels, which changed over the years. So the user
//! must name the task.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use model_core::{ScanContent, Task};

use super::by_file_name::{self, CaseGroup, ListedCases};
use super::listing::{Listing, folder_name};
use super::task_source::TaskSource;
use super::{DataSet, Fault, Layout};

/// The channels of every year.
const CHANNELS: [&str; 4] = ["T1", "T1Gd", "T2", "FLAIR"];

/// Returns whether a folder's scans are named as in BraTS: a case has at least two such files.
pub(super) fn is_brats(folder: &Path, files: &[PathBuf]) -> bool {
    let (groups, _) = by_file_name::group_by_case(folder, files, &CHANNELS.map(String::from));
    groups.iter().any(|group| group.files.len() > 1)
}

/// Lists the cases.
pub(super) fn open(folder: &Path, listing: Listing, source: TaskSource) -> Result<DataSet> {
    let is_for_model = matches!(source, TaskSource::Model(_));
    let given_task = match source {
        TaskSource::Named(task) | TaskSource::Model(task) => Some(task),
        TaskSource::Unnamed => None,
    };
    let all = CHANNELS.map(String::from);
    let (groups, _) = by_file_name::group_by_case(folder, &listing.scans, &all);
    let num_old = groups.iter().filter(|group| is_old(group)).count();
    let is_old = 2 * num_old >= groups.len();
    let layout = if is_old { Layout::BratsUntil2022 } else { Layout::BratsSince2023 };
    let Some(task) = given_task else {
        let names = match is_old {
            true => "brats2018, brats2019, brats2020, brats2021 or brats2022",
            false => "brats2023 or brats2024",
        };
        bail!(
            "expected --task: a BraTS folder does not state what its labels mean, and 4 is enhancing \
             tumor until 2022, unused in 2023 and resection cavity in 2024. By the names of its \
             files this one is {names}; found no --task for {}",
            folder.display()
        );
    };
    let (groups, unused) = by_file_name::group_by_case(folder, &listing.scans, &task.channels);
    for (number, channel) in task.channels.iter().enumerate() {
        let has =
            |group: &CaseGroup| group.files_with(ScanContent::Channel(number)).next().is_some();
        ensure!(
            groups.iter().any(has) || model_core::is_modality(channel),
            "expected a task with channels among T1, T1Gd, T2, FLAIR, or in the names of files, \
             found {channel:?} (in {})",
            folder.display()
        );
    }
    // Otherwise labels with an unknown name would be ignored silently.
    let may_have_labels = |group: &CaseGroup| !group.has_labels() && !group.unrecognized.is_empty();
    let all_may = !groups.is_empty() && groups.iter().all(may_have_labels);
    let unrecognized_labels = (!is_for_model && all_may).then(|| {
        let message = "expected labels (seg), found none; scans with unrecognized names lie beside \
                           every case, and a CSV of paths could name them";
        Fault::of_data_set(message, groups[0].unrecognized.first().cloned())
    });
    let (groups, mut notes, other_year_faults) = check_year(&task, groups, is_for_model);
    let found = by_file_name::cases(groups, &task.channels);
    let ListedCases { cases, unlabeled, mut faults, notes: file_notes, unused_files } = found;
    faults.extend(other_year_faults);
    notes.extend(file_notes);
    faults.extend(unrecognized_labels);
    let mut data_set = DataSet {
        layout,
        cases,
        unlabeled,
        faults,
        notes,
        ..DataSet::new(&folder_name(folder), task, Vec::new())
    };
    data_set.unused_files = listing.unused_files;
    data_set.unused_files.extend(unused);
    data_set.unused_files.extend(unused_files);
    Ok(data_set)
}

/// Returns whether a case's files are named as until 2022.
fn is_old(group: &CaseGroup) -> bool {
    let count = |names: &[&str]| {
        group.files.iter().filter(|member| names.contains(&member.name.word.as_str())).count()
    };
    count(&["t1ce", "flair"]) >= count(&["t1c", "t2f", "t1n", "t2w"])
}

/// Checks that the names of the files fit the year of the task.
///
/// Label 4 was enhancing tumor until 2022 and is resection cavity in 2024, and no value would
/// reveal that they were confused. So labeled cases with names of another year become faults, and a
/// model takes such cases without their labels. 2023 has no label 4, so a note is enough. A task
/// that is not named after a BraTS year accepts any names.
fn check_year(
    task: &Task,
    groups: Vec<CaseGroup>,
    is_for_model: bool,
) -> (Vec<CaseGroup>, Vec<String>, Vec<Fault>) {
    let year = task.name.strip_prefix("BraTS ").and_then(|name| name.get(..4)?.parse().ok());
    let Some(year): Option<u32> = year else { return (groups, Vec::new(), Vec::new()) };
    let is_other = |group: &CaseGroup| is_old(group) != (year <= 2022);
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
    let message = format!(
        "expected files of {}, found names as {names}; label 4 was enhancing tumor until 2022 and is \
         resection cavity in 2024. A task from a file that is not named after a BraTS year accepts \
         any names",
        task.name
    );
    let (mut usable, mut faults) = (Vec::new(), Vec::new());
    for mut group in groups {
        let label = group.files_with(ScanContent::Labels).next().map(|member| member.file.clone());
        match label.filter(|_| is_other(&group)) {
            None => usable.push(group),
            Some(_) if is_for_model => {
                group.files.retain(|member| member.name.content != ScanContent::Labels);
                group.unrecognized.clear();
                usable.push(group);
            }
            Some(file) => faults.push(Fault::of_case(&group.name, &message, Some(file))),
        }
    }
    (usable, vec![format!("{note}: their labels cannot be used")], faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_decide_between_years_that_label_values_cannot_distinguish() {
        let names = ["old_t1ce", "old_seg", "a_t1c", "a_seg", "b_t1c", "b_seg", "none_t1c"];
        let files = names.map(|name| PathBuf::from(format!("x/{name}.nii")));
        let check = |task: &str, is_for_model: bool| {
            let task = Task::builtin(task).unwrap();
            let (groups, _) = by_file_name::group_by_case(Path::new("x"), &files, &task.channels);
            check_year(&task, groups, is_for_model)
        };
        let (usable, _, faults) = check("brats2024", false);
        assert_eq!((usable.len(), faults.len(), faults[0].case.as_deref()), (3, 1, Some("old")));
        assert!(faults[0].message.contains("until 2022 (t1ce"), "{}", faults[0]);
        // The 4 of 2024 would be taken for enhancing tumor. A case without labels cannot be
        // mistaken.
        let (usable, notes, faults) = check("brats2021", false);
        assert_eq!((usable.len(), faults.len(), &usable[0].name[..]), (2, 2, "none"));
        assert!(notes[0].starts_with("3 of 4 cases have files named as since 2023"), "{notes:?}");
        // A model takes all of them, without the labels of the other year.
        let (usable, _, faults) = check("brats2021", true);
        let labeled: Vec<&str> =
            usable.iter().filter(|group| group.has_labels()).map(|group| &group.name[..]).collect();
        assert_eq!((usable.len(), labeled, faults.len()), (4, vec!["old"], 0));
        // For 2023 the label values distinguish the years.
        let (usable, notes, faults) = check("brats2023", false);
        assert_eq!((usable.len(), notes.len(), faults.len()), (4, 1, 0));
    }
}
