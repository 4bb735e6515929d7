//! BraTS folders: `ID_{t1,t1ce,t2,flair,seg}` until 2022, `ID-{t1n,t1c,t2w,t2f,seg}` since 2023.
//!
//! The files do not say what their labels mean, and the years disagree, so the task is named.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use model_core::{DEFAULT_TOLERANCE_VOXELS, Task};

use super::by_suffix::{self, Channel, Found, Group};
use super::listing::folder_name;
use super::{DataSet, Fault, Layout, Wanted};

/// Each contrast's names: in files until 2022, in files since 2023, and further in tasks.
const CONTRASTS: [[&str; 4]; 4] = [
    ["t1", "t1n", "t1w", "t1"],
    ["t1ce", "t1c", "t1gd", "t1wce"],
    ["t2", "t2w", "t2", "t2"],
    ["flair", "t2f", "t2flair", "fla"],
];

/// What label files are called.
const LABEL: &str = "seg";

/// What files are called.
const SUFFIXES: [&str; 9] = ["t1", "t1ce", "t2", "flair", "t1n", "t1c", "t2w", "t2f", LABEL];

/// The cases of a folder that looks like BraTS: one with two contrasts, or with one and labels.
pub(super) fn groups(folder: &Path, files: &[PathBuf]) -> Option<Vec<Group>> {
    let groups = by_suffix::groups(folder, files, &SUFFIXES);
    groups.iter().any(|group| group.files.len() > 1).then_some(groups)
}

/// Which contrast a channel's name means.
fn contrast(channel: &str) -> Option<usize> {
    let plain: String = channel.chars().filter(|c| c.is_alphanumeric()).collect();
    let plain = plain.to_lowercase();
    CONTRASTS.iter().position(|names| names.contains(&plain.as_str()))
}

/// Whether two names mean the same channel: the same letters and digits, or the same contrast by
/// the names of different years.
pub(crate) fn is_same_channel(a: &str, b: &str) -> bool {
    let plain = |name: &str| {
        let letters = name.chars().filter(|c| c.is_alphanumeric());
        letters.collect::<String>().to_lowercase()
    };
    plain(a) == plain(b) || contrast(a).is_some_and(|contrast_a| contrast(b) == Some(contrast_a))
}

/// Whether two lists mean the same channels in the same order.
pub(crate) fn are_same_channels(a: &[String], b: &[String]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same_channel(a, b))
}

/// Lists the cases.
pub(super) fn open(folder: &Path, groups: Vec<Group>, wanted: Wanted) -> Result<DataSet> {
    let num_old = groups.iter().filter(|group| is_old(group)).count();
    let is_old = 2 * num_old >= groups.len();
    let layout = if is_old { Layout::BratsUntil2022 } else { Layout::BratsSince2023 };
    let is_model = matches!(wanted, Wanted::Model(_));
    let (Wanted::Named(task) | Wanted::Model(task)) = wanted else {
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
    let channel = |name: &String| -> Result<(String, [&'static str; 2])> {
        let found = contrast(name).with_context(|| {
            format!("expected a task whose channels are among T1, T1Gd, T2, FLAIR, found {name:?}")
        })?;
        Ok((name.clone(), [CONTRASTS[found][0], CONTRASTS[found][1]]))
    };
    let channels = task.channels.iter().map(channel).collect::<Result<Vec<_>>>()?;
    let channels: Vec<Channel> =
        channels.iter().map(|(name, suffixes)| Channel { name, suffixes }).collect();
    let (groups, notes, of_other_year) = by_year(&task, groups, is_model);
    let Found { cases, unlabeled, mut faults } = by_suffix::cases(groups, &channels, LABEL);
    faults.extend(of_other_year);
    let name = folder_name(folder);
    let (licence, tolerance_voxels) = (String::new(), DEFAULT_TOLERANCE_VOXELS);
    Ok(DataSet { name, licence, task, layout, cases, unlabeled, faults, notes, tolerance_voxels })
}

/// Whether a case's files are named as until 2022.
fn is_old(group: &Group) -> bool {
    let count = |names: &[&str]| group.files.iter().filter(|(s, _)| names.contains(s)).count();
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
        let label = group.files.iter().find(|(suffix, _)| *suffix == LABEL);
        match label.filter(|_| is_other(&group)) {
            None => kept.push(group),
            Some(_) if is_model => {
                group.files.retain(|(suffix, _)| *suffix != LABEL);
                group.strays.clear();
                kept.push(group);
            }
            Some((_, file)) => faults.push(Fault::new(&group.name, &what, Some(file.clone()))),
        }
    }
    (kept, vec![format!("{note}: their labels cannot be used")], faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrasts_have_the_names_of_all_years() {
        assert!(is_same_channel("T1Gd", "t1ce") && is_same_channel("T2-FLAIR", "t2f"));
        assert!(!is_same_channel("T1", "T1Gd") && !is_same_channel("CT", "T1"));
        assert!(is_same_channel("b-1000", "B1000"));
    }

    #[test]
    fn a_year_that_the_values_cannot_tell_is_told_by_the_names() {
        let case = |suffix: &'static str| Group {
            name: suffix.to_string(),
            files: vec![(suffix, PathBuf::from(suffix)), ("seg", PathBuf::from("seg"))],
            strays: Vec::new(),
        };
        let sort = |task: &str, is_model: bool| {
            let unlabeled = Group { files: vec![("t1c", PathBuf::from("t1c"))], ..case("none") };
            let all = vec![case("t1ce"), case("t1c"), case("t1c"), unlabeled];
            by_year(&Task::builtin(task).unwrap(), all, is_model)
        };
        let (kept, _, faults) = sort("brats2024", false);
        assert_eq!((kept.len(), faults.len(), &faults[0].case[..]), (3, 1, "t1ce"));
        assert!(faults[0].what.contains("until 2022 (t1ce"), "{}", faults[0]);
        // 4 of 2024 would be taken for enhancing tumor; without labels nothing can be mistaken.
        let (kept, notes, faults) = sort("brats2021", false);
        assert_eq!((kept.len(), faults.len(), &kept[1].name[..]), (2, 2, "none"));
        assert!(notes[0].starts_with("3 of 4 cases have files named as since 2023"), "{notes:?}");
        // A model segments them all, without their labels.
        let (kept, _, faults) = sort("brats2021", true);
        let num_labels = |group: &Group| group.files.iter().filter(|(s, _)| *s == "seg").count();
        assert_eq!(kept.iter().map(num_labels).collect::<Vec<_>>(), [1, 0, 0, 0]);
        assert!(faults.is_empty());
        // In 2023 the values tell.
        let (kept, notes, faults) = sort("brats2023", false);
        assert_eq!((kept.len(), notes.len(), faults.len()), (4, 1, 0));
    }
}
