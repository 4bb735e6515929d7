//! Cases that are told by the last part of their files' names, such as `ID_t1.nii.gz`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::listing::{self, folder_name, stem};
use super::{CaseFiles, Fault};

/// The files of one case.
pub(super) struct Group {
    pub name: String,
    /// Each file with the part of its name that says what it is, in small letters.
    pub files: Vec<(&'static str, PathBuf)>,
    /// Scans beside them whose names say nothing.
    pub strays: Vec<String>,
}

/// A channel, and the names of files that hold it.
pub(super) struct Channel<'a> {
    pub name: &'a str,
    pub suffixes: &'a [&'static str],
}

/// What became of groups.
#[derive(Default)]
pub(super) struct Found {
    pub cases: Vec<CaseFiles>,
    pub unlabeled: Vec<CaseFiles>,
    pub faults: Vec<Fault>,
}

/// Files by their folder and the first part of their names. A file that is named by its last part
/// alone belongs to the case that its folder names.
pub(super) fn groups(root: &Path, files: &[PathBuf], suffixes: &[&'static str]) -> Vec<Group> {
    let mut groups: BTreeMap<(PathBuf, String), Group> = BTreeMap::new();
    let mut strays: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    for file in files {
        let folder = file.parent().unwrap_or(root).to_path_buf();
        let name = listing::file_name(file);
        let stem = stem(&name).unwrap_or(&name);
        let (case, last) = stem.rsplit_once(['_', '-']).unwrap_or(("", stem));
        let Some(suffix) = suffixes.iter().find(|suffix| last.eq_ignore_ascii_case(suffix)) else {
            strays.entry(folder).or_default().push(name);
            continue;
        };
        let case = if case.is_empty() { folder_name(&folder) } else { case.to_string() };
        let new = Group { name: case.clone(), files: Vec::new(), strays: Vec::new() };
        groups.entry((folder, case)).or_insert(new).files.push((suffix, file.clone()));
    }
    let with_strays = |((folder, _), group): ((PathBuf, String), Group)| Group {
        strays: strays.get(&folder).cloned().unwrap_or_default(),
        ..group
    };
    groups.into_iter().map(with_strays).collect()
}

/// Cases with a file for each channel; the others become faults that say all that is missing.
pub(super) fn cases(groups: Vec<Group>, channels: &[Channel], label: &str) -> Found {
    let mut found = Found::default();
    let has_label = |group: &Group| group.files.iter().any(|(suffix, _)| *suffix == label);
    let some_have_labels = groups.iter().any(has_label);
    for group in groups {
        let of = |suffixes: &[&str]| -> Vec<PathBuf> {
            let named = group.files.iter().filter(|(suffix, _)| suffixes.contains(suffix));
            named.map(|(_, file)| file.clone()).collect()
        };
        let before = found.faults.len();
        let labels = of(&[label]);
        // A label file under a name of its own, as one of BraTS 2020's, would be missed in silence.
        let is_misnamed = labels.is_empty() && some_have_labels && !group.strays.is_empty();
        let is_unlabeled = labels.is_empty() && !is_misnamed;
        let mut fault = |what: String, file: Option<PathBuf>| {
            found.faults.push(Fault { is_unlabeled, ..Fault::new(&group.name, what, file) })
        };
        let folder = || group.files[0].1.parent().map(Path::to_path_buf);
        let mut images = Vec::new();
        for Channel { name, suffixes } in channels {
            let files = of(suffixes);
            match files.len() {
                0 => fault(
                    format!("expected {name} ({}), found none", suffixes.join(" or ")),
                    folder(),
                ),
                1 => {}
                _ => fault(
                    format!("expected one file of {name}, found {}", files.len()),
                    files.first().cloned(),
                ),
            }
            images.extend(files);
        }
        if labels.len() > 1 {
            fault(format!("expected one {label}, found {}", labels.len()), labels.first().cloned());
        }
        if is_misnamed {
            let strays = group.strays.join(", ");
            fault(format!("expected {label}, found only files of other names: {strays}"), folder());
        }
        if found.faults.len() > before {
            continue;
        }
        let case = CaseFiles { name: group.name, images, label: labels.into_iter().next() };
        match case.label {
            Some(_) => found.cases.push(case),
            None => found.unlabeled.push(case),
        }
    }
    found
}
