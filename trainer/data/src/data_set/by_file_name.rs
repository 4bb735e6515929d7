//! Groups files into cases by their names, such as `ID_t1.nii.gz`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use model_core::{ScanContent, ScanName, usual_file_names};

use super::listing::{self, folder_name};
use super::{CaseFiles, Fault, UnusedFiles};

/// The files of one case, before its channels are chosen.
pub struct CaseGroup {
    /// The case's name.
    pub name: String,
    /// The folder that holds most of the files.
    pub folder: PathBuf,
    /// The files of channels and labels.
    pub files: Vec<ScanFile>,
    /// Scans in the same folder with unrecognized names.
    pub unrecognized: Vec<PathBuf>,
    /// Whether the folder's name is the case's name.
    is_named_by_folder: bool,
}

/// A scan or label map of a case.
pub struct ScanFile {
    /// The parsed file name.
    pub name: ScanName,
    /// The file's path.
    pub file: PathBuf,
}

/// The cases and faults that a layout lists.
#[derive(Default)]
pub(super) struct ListedCases {
    pub cases: Vec<CaseFiles>,
    pub unlabeled: Vec<CaseFiles>,
    pub faults: Vec<Fault>,
    pub notes: Vec<String>,
    pub unused_files: UnusedFiles,
}

impl CaseGroup {
    /// Returns whether the case has labels.
    pub fn has_labels(&self) -> bool {
        self.files_with(ScanContent::Labels).next().is_some()
    }

    /// Returns the files with this content.
    pub fn files_with(&self, holds: ScanContent) -> impl Iterator<Item = &ScanFile> {
        self.files.iter().filter(move |member| member.name.content == holds)
    }
}

/// Groups files into cases: by their folder, and by their name without the channel or label word. A
/// file that is named only by its content belongs to the case that its folder names.
pub fn group_by_case(
    root: &Path,
    files: &[PathBuf],
    channels: &[String],
) -> (Vec<CaseGroup>, UnusedFiles) {
    let mut groups: BTreeMap<(PathBuf, String), CaseGroup> = BTreeMap::new();
    let mut unrecognized: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    let mut unused_files = UnusedFiles::default();
    for file in files {
        let folder = file.parent().unwrap_or(root).to_path_buf();
        let name = ScanName::parse(&listing::file_name(file), channels);
        match name.content {
            ScanContent::Channel(_) | ScanContent::Labels => {}
            ScanContent::OtherChannel => {
                unused_files.add(
                    format!("scans of channels that the task does not have ({})", name.word),
                    file,
                );
                continue;
            }
            ScanContent::OtherMask => {
                unused_files
                    .add(format!("masks that are not the task's labels ({})", name.word), file);
                continue;
            }
            ScanContent::Numbered(_) | ScanContent::Unknown => {
                unrecognized.entry(folder).or_default().push(file.clone());
                continue;
            }
        }
        let is_named_by_folder = name.case.is_none();
        let case = name.case.clone().unwrap_or_else(|| folder_name(&folder));
        let new = || CaseGroup {
            name: case.clone(),
            folder: folder.clone(),
            files: Vec::new(),
            unrecognized: Vec::new(),
            is_named_by_folder,
        };
        let group = groups.entry((folder.clone(), case.clone())).or_insert_with(new);
        group.files.push(ScanFile { name, file: file.clone() });
    }
    let groups = merge_across_folders(groups.into_values().collect());
    let groups = assign_unrecognized(groups, &mut unrecognized);
    let kind = "scans with names that state neither a channel nor labels";
    unrecognized.values().flatten().for_each(|file| unused_files.add(kind, file));
    (groups, unused_files)
}

/// Merges groups of one name in several folders, such as `images_structural` and `images_segm` of
/// UPENN-GBM. Groups with two files of the same content are not merged.
fn merge_across_folders(groups: Vec<CaseGroup>) -> Vec<CaseGroup> {
    let mut by_name: BTreeMap<String, Vec<CaseGroup>> = BTreeMap::new();
    for group in groups {
        let key = match group.is_named_by_folder {
            // Folders such as `visit1` have the same name for every patient.
            true => format!("{}/", group.folder.display()),
            false => group.name.to_lowercase(),
        };
        by_name.entry(key).or_default().push(group);
    }
    let merge = |mut groups: Vec<CaseGroup>| {
        let members = || groups.iter().flat_map(|group| &group.files);
        let kinds: BTreeSet<(ScanContent, &str)> =
            members().map(|member| (member.name.content, member.name.variant.as_str())).collect();
        if kinds.len() < members().count() {
            return groups;
        }
        groups.sort_by_key(|group| std::cmp::Reverse(group.files.len()));
        let mut all = groups.into_iter();
        let mut first = all.next().expect("a name has a group");
        first.files.extend(all.flat_map(|group| group.files));
        vec![first]
    };
    let mut groups: Vec<CaseGroup> = by_name.into_values().flat_map(merge).collect();
    groups.sort_by(|a, b| (&a.folder, &a.name).cmp(&(&b.folder, &b.name)));
    groups
}

/// Assigns to each group the unrecognized scans of its folder.
///
/// One case of BraTS 2020 has labels under another case name. Such labels count as an unrecognized
/// scan of the case in whose folder they lie.
fn assign_unrecognized(
    groups: Vec<CaseGroup>,
    unrecognized: &mut BTreeMap<PathBuf, Vec<PathBuf>>,
) -> Vec<CaseGroup> {
    let lacks_labels = |group: &&CaseGroup| !group.has_labels();
    let without_labels: BTreeSet<PathBuf> =
        groups.iter().filter(lacks_labels).map(|group| group.folder.clone()).collect();
    let mut cases = Vec::new();
    for group in groups {
        let is_labels = group.files.iter().all(|member| member.name.content == ScanContent::Labels);
        match is_labels && without_labels.contains(&group.folder) {
            true => {
                let files = group.files.into_iter().map(|member| member.file);
                unrecognized.entry(group.folder).or_default().extend(files);
            }
            false => cases.push(group),
        }
    }
    for group in &mut cases {
        group.unrecognized = unrecognized.get(&group.folder).cloned().unwrap_or_default();
    }
    cases
}

/// The files chosen for a case's channels and labels.
pub struct ChosenFiles<'a> {
    /// The file of each channel, if there is one.
    pub images: Vec<Option<&'a ScanFile>>,
    /// The label map.
    pub label: Option<&'a ScanFile>,
    /// Messages about contents that several files claim to hold.
    pub ambiguities: Vec<String>,
    /// Whether the channels were preprocessed in different ways, by their names.
    pub is_mixed: bool,
}

impl CaseGroup {
    /// Chooses the files of a case. Further variants of a file are recorded in `unused_files`.
    pub fn choose(&self, channels: &[String], unused_files: &mut UnusedFiles) -> ChosenFiles<'_> {
        let common = common_variant(self, channels.len());
        let mut ambiguities = Vec::new();
        let mut choose = |holds: ScanContent, variant: Option<&str>, name: &str| {
            choose_file(self, holds, variant, unused_files).unwrap_or_else(|several| {
                ambiguities.push(format!("expected one file of {name}, found {several}"));
                None
            })
        };
        let numbered = channels.iter().enumerate();
        let images: Vec<Option<&ScanFile>> = numbered
            .map(|(n, name)| choose(ScanContent::Channel(n), common.as_deref(), name))
            .collect();
        let label = choose(ScanContent::Labels, None, "labels");
        ChosenFiles { images, label, ambiguities, is_mixed: common.is_none() }
    }
}

/// Lists the cases that have a file for each channel. Other cases become faults that name all
/// missing files.
pub(super) fn cases(groups: Vec<CaseGroup>, channels: &[String]) -> ListedCases {
    let mut found = ListedCases::default();
    let some_have_labels = groups.iter().any(CaseGroup::has_labels);
    let (mut num_automatic, mut mixed) = (0, Vec::new());
    for group in groups {
        // Otherwise a misnamed label file, as one of BraTS 2020, would be ignored silently.
        let is_misnamed = !group.has_labels() && some_have_labels && !group.unrecognized.is_empty();
        let is_unlabeled = !group.has_labels() && !is_misnamed;
        let ChosenFiles { images, label, ambiguities, is_mixed } =
            group.choose(channels, &mut found.unused_files);
        let missing = |(channel, image): (&String, &Option<&ScanFile>)| {
            let names = usual_file_names(channel).join(" or ");
            image.is_none().then(|| format!("expected {channel} ({names}), found none"))
        };
        let mut messages = ambiguities;
        if messages.is_empty() {
            messages.extend(channels.iter().zip(&images).filter_map(missing));
        }
        if is_misnamed {
            let names = group.unrecognized.iter().map(|file| listing::file_name(file));
            let names = names.collect::<Vec<_>>().join(", ");
            messages
                .push(format!("expected labels (seg), found only files of other names: {names}"));
        }
        if !messages.is_empty() {
            let folder = || Some(group.folder.clone());
            let fault =
                |message| Fault { is_unlabeled, ..Fault::of_case(&group.name, message, folder()) };
            found.faults.extend(messages.into_iter().map(fault));
            continue;
        }
        if is_mixed {
            mixed.push(group.name.clone());
        }
        num_automatic += usize::from(label.is_some_and(|label| label.name.variant == "automatic"));
        let case = CaseFiles {
            name: group.name.clone(),
            images: images.into_iter().flatten().map(|member| member.file.clone()).collect(),
            label: label.map(|label| label.file.clone()),
        };
        match case.label {
            Some(_) => found.cases.push(case),
            None => found.unlabeled.push(case),
        }
    }
    if num_automatic > 0 {
        found.notes.push(format!(
            "{num_automatic} cases have labels made by an algorithm, according to their names"
        ));
    }
    if let Some(first) = mixed.first() {
        let count = mixed.len();
        found.notes.push(format!(
            "{count} cases have channels that were processed in different ways, according to their \
             names, such as {first}"
        ));
    }
    found
}

/// Returns the first variant (such as `bias` for bias-corrected scans) that all channels of a case
/// have. The empty variant, an unprocessed scan, comes first.
fn common_variant(group: &CaseGroup, num_channels: usize) -> Option<String> {
    let variants = group.files.iter().map(|member| &member.name.variant).collect::<BTreeSet<_>>();
    let has = |variant: &&&String| {
        (0..num_channels).all(|n| {
            group.files_with(ScanContent::Channel(n)).any(|file| file.name.variant == ***variant)
        })
    };
    variants.iter().find(has).map(|variant| variant.to_string())
}

/// Chooses the file of a case with this content, in `variant` or else in its first variant.
///
/// # Errors
/// Returns the names of the candidates if there are several.
fn choose_file<'a>(
    group: &'a CaseGroup,
    holds: ScanContent,
    variant: Option<&str>,
    unused_files: &mut UnusedFiles,
) -> Result<Option<&'a ScanFile>, String> {
    let first = group.files_with(holds).map(|member| member.name.variant.as_str()).min();
    let Some(variant) = variant.or(first) else { return Ok(None) };
    let (taken, other): (Vec<&ScanFile>, Vec<&ScanFile>) =
        group.files_with(holds).partition(|member| member.name.variant == variant);
    for member in other {
        let ScanName { word, variant, .. } = &member.name;
        unused_files
            .add(format!("further variants of a used file ({word} {variant})"), &member.file);
    }
    match taken[..] {
        [] => Ok(None),
        [member] => Ok(Some(member)),
        _ => {
            let names = taken.iter().map(|member| member.file.display().to_string());
            Err(names.collect::<Vec<_>>().join(" and "))
        }
    }
}
