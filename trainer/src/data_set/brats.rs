//! BraTS folders: `ID_{t1,t1ce,t2,flair,seg}` until 2022, `ID-{t1n,t1c,t2w,t2f,seg}` since 2023.
//!
//! The files do not say what their labels mean, and the years disagree, so the task is named.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use model_core::Task;

use super::by_suffix::{self, Channel, Found, Group};
use super::listing::folder_name;
use super::{DataSet, Layout, Wanted};

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
pub(super) fn is_same_channel(a: &str, b: &str) -> bool {
    let plain = |name: &str| {
        let letters = name.chars().filter(|c| c.is_alphanumeric());
        letters.collect::<String>().to_lowercase()
    };
    plain(a) == plain(b) || contrast(a).is_some_and(|contrast_a| contrast(b) == Some(contrast_a))
}

/// Lists the cases.
pub(super) fn open(folder: &Path, groups: Vec<Group>, wanted: Wanted) -> Result<DataSet> {
    let suffixes = || groups.iter().flat_map(|group| group.files.iter().map(|(suffix, _)| *suffix));
    let count = |names: [&str; 2]| suffixes().filter(|suffix| names.contains(suffix)).count();
    let is_old = count(["t1ce", "flair"]) >= count(["t1c", "t2f"]);
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
    let Found { cases, unlabeled, faults } = by_suffix::cases(groups, &channels, "seg");
    let notes = other_year(&task, is_old).into_iter().collect();
    let name = folder_name(folder);
    Ok(DataSet { name, licence: String::new(), task, layout, cases, unlabeled, faults, notes })
}

/// A warning where the task's year does not go with the files' names: every value of one year's
/// labels may stand in another's scheme.
fn other_year(task: &Task, is_old: bool) -> Option<String> {
    let year: u32 = task.name.strip_prefix("BraTS ")?.get(..4)?.parse().ok()?;
    let names = if is_old { "until 2022 (t1ce, flair)" } else { "since 2023 (t1c, t2f)" };
    ((year <= 2022) != is_old).then(|| {
        format!(
            "the files are named as {names}, but the task is {}: make sure that its labels are meant",
            task.name
        )
    })
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
    fn a_task_of_another_year_is_told() {
        let task = |name| Task::builtin(name).unwrap();
        assert!(other_year(&task("brats2024"), true).unwrap().contains("until 2022"));
        assert_eq!(other_year(&task("brats2024"), false), None);
        assert_eq!(other_year(&task("brats2021"), true), None);
    }
}
