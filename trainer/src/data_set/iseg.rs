//! iSeg folders: `subject-N-{T1,T2,label}` as Analyze pairs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use model_core::{DEFAULT_TOLERANCE_VOXELS, Task};

use super::brats::is_same_channel;
use super::by_suffix::{self, Channel, Found, Group};
use super::listing::folder_name;
use super::{DataSet, Layout, Wanted};

/// What label files are called.
pub(super) const LABEL: &str = "label";

const SUFFIXES: [&str; 3] = ["t1", "t2", LABEL];

/// What only files of BraTS are called, whose subjects may be numbered in the same way.
const OTHERS: [&str; 7] = ["t1ce", "flair", "t1n", "t1c", "t2w", "t2f", "seg"];

/// The cases of a folder that looks like iSeg.
pub(super) fn groups(folder: &Path, files: &[PathBuf]) -> Option<Vec<Group>> {
    if !by_suffix::groups(folder, files, &OTHERS).is_empty() {
        return None;
    }
    let groups = by_suffix::groups(folder, files, &SUFFIXES);
    let is_subject = |group: &Group| group.name.to_lowercase().starts_with("subject-");
    let groups: Vec<Group> = groups.into_iter().filter(is_subject).collect();
    (!groups.is_empty()).then_some(groups)
}

/// Lists the cases. All years share one scheme, which the names tell; another can be named.
pub(super) fn open(folder: &Path, groups: Vec<Group>, wanted: Wanted) -> Result<DataSet> {
    let task = match wanted {
        Wanted::Unnamed => Task::builtin("iseg2019")?,
        Wanted::Named(task) | Wanted::Model(task) => task,
    };
    let suffix = |name: &String| {
        let known = SUFFIXES[..2].iter().position(|suffix| is_same_channel(name, suffix));
        let about = || format!("expected a task whose channels are among T1, T2, found {name:?}");
        known.with_context(about)
    };
    let places = task.channels.iter().map(suffix).collect::<Result<Vec<usize>>>()?;
    let channel =
        |(name, place): (&'static str, usize)| Channel { name, suffixes: &SUFFIXES[place..=place] };
    let names = places.iter().map(|&place| (["T1", "T2"][place], place));
    let channels: Vec<Channel> = names.map(channel).collect();
    let Found { cases, unlabeled, faults } = by_suffix::cases(groups, &channels, LABEL);
    Ok(DataSet {
        name: folder_name(folder),
        licence: String::new(),
        task,
        layout: Layout::Iseg,
        cases,
        unlabeled,
        faults,
        notes: Vec::new(),
        tolerance_voxels: DEFAULT_TOLERANCE_VOXELS,
    })
}
