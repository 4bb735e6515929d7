//! iSeg folders: `subject-N-{T1,T2,label}` as Analyze pairs.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use model_core::{Task, is_same_channel};

use super::by_file_name::{self, CaseGroup, ListedCases};
use super::listing::{Listing, folder_name};
use super::task_source::TaskSource;
use super::{DataSet, Layout};

/// The words at the end of the files' names.
const WORDS: [&str; 3] = ["t1", "t2", "label"];

/// The channels that are looked for to recognize the layout.
const CHANNELS: [&str; 4] = ["T1", "T2", "T1Gd", "FLAIR"];

/// Words that only BraTS files have. BraTS subjects may be numbered in the same way.
const OTHERS: [&str; 7] = ["t1ce", "flair", "t1n", "t1c", "t2w", "t2f", "seg"];

/// Returns the cases of a folder if it looks like iSeg.
pub(super) fn groups(folder: &Path, files: &[PathBuf]) -> Option<Vec<CaseGroup>> {
    let (groups, _) = by_file_name::group_by_case(folder, files, &CHANNELS.map(String::from));
    let has = |group: &CaseGroup, words: &[&str]| {
        group.files.iter().any(|member| words.contains(&member.name.word.as_str()))
    };
    if groups.iter().any(|group| has(group, &OTHERS)) {
        return None;
    }
    let is_subject =
        |group: &CaseGroup| group.name.to_lowercase().starts_with("subject-") && has(group, &WORDS);
    let groups: Vec<CaseGroup> = groups.into_iter().filter(is_subject).collect();
    (!groups.is_empty()).then_some(groups)
}

/// Lists the cases. The default task is `iseg2019`, because all years share one label scheme.
pub(super) fn open(folder: &Path, listing: Listing, source: TaskSource) -> Result<DataSet> {
    let task = match source {
        TaskSource::Unnamed => Task::builtin("iseg2019")?,
        TaskSource::Named(task) | TaskSource::Model(task) => task,
    };
    for name in &task.channels {
        let is_known = WORDS[..2].iter().any(|word| is_same_channel(name, word));
        ensure!(is_known, "expected a task with channels among T1, T2, found {name:?}");
    }
    let (groups, unused) = by_file_name::group_by_case(folder, &listing.scans, &task.channels);
    let found = by_file_name::cases(groups, &task.channels);
    let ListedCases { cases, unlabeled, faults, notes, unused_files } = found;
    let name = folder_name(folder);
    let mut data_set = DataSet {
        layout: Layout::Iseg,
        cases,
        unlabeled,
        faults,
        notes,
        ..DataSet::new(&name, task, Vec::new())
    };
    data_set.unused_files = listing.unused_files;
    data_set.unused_files.extend(unused);
    data_set.unused_files.extend(unused_files);
    Ok(data_set)
}
