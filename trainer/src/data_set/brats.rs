//! BraTS folders: `ID_{t1,t1ce,t2,flair,seg}` until 2022, `ID-{t1n,t1c,t2w,t2f,seg}` since 2023.
//!
//! The files do not say what their labels mean, and the years disagree, so the task is named.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use model_core::Task;

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

/// What files are called.
const SUFFIXES: [&str; 9] = ["t1", "t1ce", "t2", "flair", "t1n", "t1c", "t2w", "t2f", "seg"];

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
    let (groups, other) = by_year(&task, groups);
    let Found { cases, unlabeled, mut faults } = by_suffix::cases(groups, &channels, "seg");
    let mut notes = Vec::new();
    match other {
        Other::Faults(other) => faults.extend(other),
        Other::Note(note) => notes.extend(note),
    }
    let name = folder_name(folder);
    Ok(DataSet { name, licence: String::new(), task, layout, cases, unlabeled, faults, notes })
}

/// Whether a case's files are named as until 2022.
fn is_old(group: &Group) -> bool {
    let count = |names: &[&str]| group.files.iter().filter(|(s, _)| names.contains(s)).count();
    count(&["t1ce", "flair"]) >= count(&["t1c", "t2f", "t1n", "t2w"])
}

/// What is said of cases whose files' names are not of the task's year.
enum Other {
    Faults(Vec<Fault>),
    Note(Option<String>),
}

/// Parts off the cases of another year, where the task would take their labels for others without
/// a value that shows it: until 2022, 4 was enhancing tumor. Else the cases stay, and a note says
/// so.
fn by_year(task: &Task, groups: Vec<Group>) -> (Vec<Group>, Other) {
    let year = task.name.strip_prefix("BraTS ").and_then(|name| name.get(..4)?.parse().ok());
    let Some(year): Option<u32> = year else { return (groups, Other::Note(None)) };
    let is_other = |group: &Group| is_old(group) != (year <= 2022);
    let names = if year <= 2022 { "since 2023 (t1c, t2f)" } else { "until 2022 (t1ce, flair)" };
    if year >= 2024 {
        let (other, groups) = groups.into_iter().partition(is_other);
        let what = format!(
            "expected files of {}, found names as {names}, when label 4 was enhancing tumor; a task \
             from a file takes any names",
            task.name
        );
        let fault = |group: &Group| {
            let file = group.files.first().map(|(_, file)| file.clone());
            Fault::new(&group.name, &what, file)
        };
        let other: Vec<Group> = other;
        return (groups, Other::Faults(other.iter().map(fault).collect()));
    }
    let other = groups.iter().filter(|group| is_other(group)).count();
    let note = (other > 0).then(|| {
        format!(
            "{other} of {} cases have files named as {names}, but the task is {}: make sure that its \
             labels are meant",
            groups.len(),
            task.name
        )
    });
    (groups, Other::Note(note))
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
        let sort = |task: &str| {
            by_year(&Task::builtin(task).unwrap(), vec![case("t1ce"), case("t1c"), case("t1c")])
        };
        let (kept, Other::Faults(faults)) = sort("brats2024") else { panic!("expected a fault") };
        assert_eq!((kept.len(), faults.len(), &faults[0].case[..]), (2, 1, "t1ce"));
        let (kept, Other::Note(note)) = sort("brats2021") else { panic!("expected a note") };
        assert_eq!(kept.len(), 3);
        assert!(note.unwrap().starts_with("2 of 3 cases have files named as since 2023"));
    }
}
