//! Cases that are told by their files' names, such as `ID_t1.nii.gz`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use model_core::{ScanContent, ScanName, usual_file_names};

use super::listing::{self, folder_name};
use super::{CaseFiles, Fault, LeftAside};

/// The files of one case.
pub struct Group {
    /// The case's name.
    pub name: String,
    /// The folder that most of them lie in.
    pub folder: PathBuf,
    /// The files of channels and labels.
    pub files: Vec<Member>,
    /// Scans beside them whose names say nothing.
    pub strays: Vec<PathBuf>,
    /// Whether the folder names the case.
    is_by_folder: bool,
}

/// A file of a case.
pub struct Member {
    /// What its name says.
    pub name: ScanName,
    /// Its path.
    pub file: PathBuf,
}

/// What became of groups.
#[derive(Default)]
pub(super) struct Found {
    pub cases: Vec<CaseFiles>,
    pub unlabeled: Vec<CaseFiles>,
    pub faults: Vec<Fault>,
    pub notes: Vec<String>,
    pub left: LeftAside,
}

impl Group {
    /// Whether it has labels.
    pub fn has_labels(&self) -> bool {
        self.of(ScanContent::Labels).next().is_some()
    }

    /// The files that hold this.
    pub fn of(&self, holds: ScanContent) -> impl Iterator<Item = &Member> {
        self.files.iter().filter(move |member| member.name.content == holds)
    }
}

/// Files by their case: by their folder and the rest of their names. A file whose name says only
/// what it holds belongs to the case that its folder names.
pub fn groups(root: &Path, files: &[PathBuf], channels: &[String]) -> (Vec<Group>, LeftAside) {
    let mut groups: BTreeMap<(PathBuf, String), Group> = BTreeMap::new();
    let mut strays: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    let mut left = LeftAside::default();
    for file in files {
        let folder = file.parent().unwrap_or(root).to_path_buf();
        let name = ScanName::parse(&listing::file_name(file), channels);
        match name.content {
            ScanContent::Channel(_) | ScanContent::Labels => {}
            ScanContent::OtherChannel => {
                left.add(
                    format!("scans that are none of the task's channels ({})", name.word),
                    file,
                );
                continue;
            }
            ScanContent::OtherMask => {
                left.add(format!("masks that are not the task's labels ({})", name.word), file);
                continue;
            }
            ScanContent::Numbered(_) | ScanContent::Unknown => {
                strays.entry(folder).or_default().push(file.clone());
                continue;
            }
        }
        let is_by_folder = name.case.is_none();
        let case = name.case.clone().unwrap_or_else(|| folder_name(&folder));
        let new = || Group {
            name: case.clone(),
            folder: folder.clone(),
            files: Vec::new(),
            strays: Vec::new(),
            is_by_folder,
        };
        let group = groups.entry((folder.clone(), case.clone())).or_insert_with(new);
        group.files.push(Member { name, file: file.clone() });
    }
    let groups = with_strays(united(groups.into_values().collect()), &mut strays);
    let what = "scans whose names tell neither a channel nor labels";
    strays.values().flatten().for_each(|file| left.add(what, file));
    (groups, left)
}

/// Unites what lies in several folders, as UPENN-GBM's `images_structural` and `images_segm`: groups
/// of one name, where no two files of them claim to be the same.
fn united(groups: Vec<Group>) -> Vec<Group> {
    let mut by_name: BTreeMap<String, Vec<Group>> = BTreeMap::new();
    for group in groups {
        let key = match group.is_by_folder {
            // Visits are called alike for every patient.
            true => format!("{}/", group.folder.display()),
            false => group.name.to_lowercase(),
        };
        by_name.entry(key).or_default().push(group);
    }
    let unite = |mut groups: Vec<Group>| {
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
    let mut groups: Vec<Group> = by_name.into_values().flat_map(unite).collect();
    groups.sort_by(|a, b| (&a.folder, &a.name).cmp(&(&b.folder, &b.name)));
    groups
}

/// Gives each group the scans of its folder whose names say nothing. Labels under a name of their
/// own, as of one case of BraTS 2020, are such scans to the case whose folder they lie in.
fn with_strays(groups: Vec<Group>, strays: &mut BTreeMap<PathBuf, Vec<PathBuf>>) -> Vec<Group> {
    let lacks_labels = |group: &&Group| !group.has_labels();
    let lacking: BTreeSet<PathBuf> =
        groups.iter().filter(lacks_labels).map(|group| group.folder.clone()).collect();
    let mut kept = Vec::new();
    for group in groups {
        let is_labels = group.files.iter().all(|member| member.name.content == ScanContent::Labels);
        match is_labels && lacking.contains(&group.folder) {
            true => {
                let files = group.files.into_iter().map(|member| member.file);
                strays.entry(group.folder).or_default().extend(files);
            }
            false => kept.push(group),
        }
    }
    for group in &mut kept {
        group.strays = strays.get(&group.folder).cloned().unwrap_or_default();
    }
    kept
}

/// Which files of a case hold the channels and the labels.
pub struct Chosen<'a> {
    /// For each channel its file, or none.
    pub images: Vec<Option<&'a Member>>,
    /// The labels.
    pub label: Option<&'a Member>,
    /// What several files claim to hold.
    pub doubled: Vec<String>,
    /// Whether the channels were processed in different ways.
    pub is_mixed: bool,
}

impl Group {
    /// Chooses a case's files; what is there in further forms is left aside.
    pub fn choose(&self, channels: &[String], left: &mut LeftAside) -> Chosen<'_> {
        let whole = variant_of_all(self, channels.len());
        let mut doubled = Vec::new();
        let mut one = |holds: ScanContent, variant: Option<&str>, name: &str| {
            chosen(self, holds, variant, left).unwrap_or_else(|several| {
                doubled.push(format!("expected one file of {name}, found {several}"));
                None
            })
        };
        let numbered = channels.iter().enumerate();
        let images: Vec<Option<&Member>> = numbered
            .map(|(n, name)| one(ScanContent::Channel(n), whole.as_deref(), name))
            .collect();
        let label = one(ScanContent::Labels, None, "labels");
        Chosen { images, label, doubled, is_mixed: whole.is_none() }
    }
}

/// Cases with a file for each channel; the others become faults that say all that is missing.
pub(super) fn cases(groups: Vec<Group>, channels: &[String]) -> Found {
    let mut found = Found::default();
    let some_have_labels = groups.iter().any(Group::has_labels);
    let (mut num_automatic, mut mixed) = (0, Vec::new());
    for group in groups {
        // A label file under a name of its own, as one of BraTS 2020's, would be missed in silence.
        let is_misnamed = !group.has_labels() && some_have_labels && !group.strays.is_empty();
        let is_unlabeled = !group.has_labels() && !is_misnamed;
        let Chosen { images, label, doubled, is_mixed } = group.choose(channels, &mut found.left);
        let missing = |(channel, image): (&String, &Option<&Member>)| {
            let names = usual_file_names(channel).join(" or ");
            image.is_none().then(|| format!("expected {channel} ({names}), found none"))
        };
        let mut whats = doubled;
        if whats.is_empty() {
            whats.extend(channels.iter().zip(&images).filter_map(missing));
        }
        if is_misnamed {
            let strays = group.strays.iter().map(|file| listing::file_name(file));
            let strays = strays.collect::<Vec<_>>().join(", ");
            whats.push(format!("expected labels (seg), found only files of other names: {strays}"));
        }
        if !whats.is_empty() {
            let folder = || Some(group.folder.clone());
            let fault = |what| Fault { is_unlabeled, ..Fault::new(&group.name, what, folder()) };
            found.faults.extend(whats.into_iter().map(fault));
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
            "{num_automatic} cases have labels that an algorithm made, by their names"
        ));
    }
    if let Some(first) = mixed.first() {
        let count = mixed.len();
        found.notes.push(format!(
            "{count} cases have channels that were processed in different ways, by their names, such \
             as {first}"
        ));
    }
    found
}

/// What was done to all channels of a case alike; where they are there in several forms, nothing
/// goes before something.
fn variant_of_all(group: &Group, num_channels: usize) -> Option<String> {
    let variants = group.files.iter().map(|member| &member.name.variant).collect::<BTreeSet<_>>();
    let has = |variant: &&&String| {
        (0..num_channels).all(|n| {
            group.of(ScanContent::Channel(n)).any(|member| member.name.variant == ***variant)
        })
    };
    variants.iter().find(has).map(|variant| variant.to_string())
}

/// The file of a case that holds this, of `variant` or else of the first; the names of several that
/// could be.
fn chosen<'a>(
    group: &'a Group,
    holds: ScanContent,
    variant: Option<&str>,
    left: &mut LeftAside,
) -> Result<Option<&'a Member>, String> {
    let first = group.of(holds).map(|member| member.name.variant.as_str()).min();
    let Some(variant) = variant.or(first) else { return Ok(None) };
    let (taken, other): (Vec<&Member>, Vec<&Member>) =
        group.of(holds).partition(|member| member.name.variant == variant);
    for member in other {
        let ScanName { word, variant, .. } = &member.name;
        left.add(format!("further forms of a file that is used ({word} {variant})"), &member.file);
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
