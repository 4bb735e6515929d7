//! iSeg folders: `subject-N-{T1,T2,label}` as Analyze pairs.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use model_core::{Task, is_same_channel};

use super::by_suffix::{self, Found, Group};
use super::listing::{Listing, folder_name};
use super::{DataSet, Layout, TaskSource};

/// What files are called.
const WORDS: [&str; 3] = ["t1", "t2", "label"];

/// The channels, as all years name them.
const CHANNELS: [&str; 4] = ["T1", "T2", "T1Gd", "FLAIR"];

/// What only files of BraTS are called, whose subjects may be numbered in the same way.
const OTHERS: [&str; 7] = ["t1ce", "flair", "t1n", "t1c", "t2w", "t2f", "seg"];

/// The cases of a folder that looks like iSeg.
pub(super) fn groups(folder: &Path, files: &[PathBuf]) -> Option<Vec<Group>> {
    let (groups, _) = by_suffix::groups(folder, files, &CHANNELS.map(String::from));
    let has = |group: &Group, words: &[&str]| {
        group.files.iter().any(|member| words.contains(&member.name.word.as_str()))
    };
    if groups.iter().any(|group| has(group, &OTHERS)) {
        return None;
    }
    let is_subject =
        |group: &Group| group.name.to_lowercase().starts_with("subject-") && has(group, &WORDS);
    let groups: Vec<Group> = groups.into_iter().filter(is_subject).collect();
    (!groups.is_empty()).then_some(groups)
}

/// Lists the cases. All years share one scheme, which the names tell; another can be named.
pub(super) fn open(folder: &Path, listing: Listing, wanted: TaskSource) -> Result<DataSet> {
    let task = match wanted {
        TaskSource::Unnamed => Task::builtin("iseg2019")?,
        TaskSource::Named(task) | TaskSource::Model(task) => task,
    };
    for name in &task.channels {
        let is_known = WORDS[..2].iter().any(|word| is_same_channel(name, word));
        ensure!(is_known, "expected a task whose channels are among T1, T2, found {name:?}");
    }
    let (groups, unused) = by_suffix::groups(folder, &listing.scans, &task.channels);
    let found = by_suffix::cases(groups, &task.channels);
    let Found { cases, unlabeled, faults, notes, left } = found;
    let name = folder_name(folder);
    let mut data_set = DataSet {
        layout: Layout::Iseg,
        cases,
        unlabeled,
        faults,
        notes,
        ..DataSet::new(&name, task, Vec::new())
    };
    data_set.left = listing.left;
    data_set.left.extend(unused);
    data_set.left.extend(left);
    Ok(data_set)
}
