//! Which scans are a case's channels, by their names: nnU-Net numbers channels, BraTS and others
//! name them, and a scan that says nothing is a case of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model_core::{ScanContent, ScanName, Task, is_specific_channel};

use super::inputs::{Inputs, name_of, num_channels};
use trainer_data::data_set::by_file_name::{self, CaseGroup};
use trainer_data::data_set::listing::file_name;
use trainer_data::data_set::{CaseFiles, UnusedFiles};

/// Scans that were sorted into cases by their names.
pub(super) struct Sorter<'a> {
    task: &'a Task,
    found: &'a mut Inputs,
}

/// Sorts scans into cases. `root` is the folder that they were found in; of scans that were named one
/// by one there is none, and those whose names say nothing are all meant.
pub(super) fn sort(root: Option<&Path>, scans: Vec<PathBuf>, task: &Task, found: &mut Inputs) {
    let mut sorter = Sorter { task, found };
    let (mut numbered, mut named, mut untold) = (Vec::new(), Vec::new(), Vec::new());
    for scan in scans {
        match ScanName::parse(&file_name(&scan), &task.channels).content {
            ScanContent::Numbered(_) => numbered.push(scan),
            ScanContent::Unknown => untold.push(scan),
            _ => named.push(scan),
        }
    }
    let before = sorter.found.cases.len() + sorter.found.faults.len();
    sorter.named(root, named);
    untold.extend(sorter.numbered(numbered));
    let some_are_told = sorter.found.cases.len() + sorter.found.faults.len() > before;
    sorter.untold(root, untold, some_are_told);
}

impl Sorter<'_> {
    fn take(&mut self, name: String, images: Vec<PathBuf>) {
        self.found.cases.push(CaseFiles { name, images, label: None });
    }

    /// Scans whose names tell a contrast or labels.
    fn named(&mut self, root: Option<&Path>, scans: Vec<PathBuf>) {
        let channels = &self.task.channels;
        // A model of "MRI" takes any contrast, but one of a case.
        let takes_any = channels.len() == 1 && !is_specific_channel(&channels[0]);
        let (any, scans): (Vec<PathBuf>, Vec<PathBuf>) = scans.into_iter().partition(|scan| {
            let holds = ScanName::parse(&file_name(scan), channels).content;
            takes_any && matches!(holds, ScanContent::OtherChannel)
        });
        self.one_of_each_case(any);
        let (groups, unused) =
            by_file_name::group_by_case(root.unwrap_or(Path::new("")), &scans, channels);
        self.found.unused_files.extend(unused);
        for group in groups {
            for member in group.files_with(ScanContent::Labels) {
                self.found.unused_files.add("the experts' labels", &member.file);
            }
            if group.files.iter().any(|member| member.name.content != ScanContent::Labels) {
                self.group(&group);
            }
        }
    }

    fn group(&mut self, group: &CaseGroup) {
        let channels = &self.task.channels;
        // Its labels were counted, whatever forms there are of them.
        let mut unused_files = UnusedFiles::default();
        let chosen = group.choose(channels, &mut unused_files);
        let missing = channels.iter().zip(&chosen.images).filter(|(_, image)| image.is_none());
        let missing: Vec<&str> = missing.map(|(channel, _)| channel.as_str()).collect();
        let images = chosen.images.iter().flatten();
        let images: Vec<PathBuf> = images.map(|member| member.file.clone()).collect();
        let doubled: Vec<&String> =
            chosen.ambiguities.iter().filter(|text| !text.contains("of labels")).collect();
        self.found.unused_files.extend(unused_files);
        if let Some(first) = doubled.first() {
            self.found.faults.push(format!("{first} (case {})", group.name));
        } else if missing.is_empty() {
            // Where a name begins with its channel, it is the case's as it is.
            let is_whole = channels.len() == 1
                && chosen.images.iter().flatten().any(|member| !member.name.is_at_end);
            let name = if is_whole { name_of(&images[0]) } else { group.name.clone() };
            self.take(name, images);
        } else {
            self.found.faults.push(format!(
                "expected the channels {}, found none for {} (case {}, {})",
                channels.join(", "),
                missing.join(", "),
                group.name,
                images.first().unwrap_or(&group.folder).display()
            ));
        }
    }

    /// Scans of which any could be the one channel.
    fn one_of_each_case(&mut self, scans: Vec<PathBuf>) {
        let mut by_case: BTreeMap<(PathBuf, String), Vec<PathBuf>> = BTreeMap::new();
        for scan in scans {
            let case = ScanName::parse(&file_name(&scan), &[]).case.unwrap_or_default();
            let folder = scan.parent().unwrap_or(Path::new("")).to_path_buf();
            by_case.entry((folder, case)).or_default().push(scan);
        }
        for ((folder, case), scans) in by_case {
            match &scans[..] {
                [scan] => self.take(name_of(scan), scans),
                _ => {
                    let names = scans.iter().map(|scan| file_name(scan)).collect::<Vec<_>>();
                    self.found.faults.push(format!(
                        "expected one scan of {}, found {}: name the file that is meant (case \
                         {case}, {})",
                        self.task.channels[0],
                        names.join(", "),
                        folder.display()
                    ));
                }
            }
        }
    }

    /// Scans whose names end in four digits, which are channels or the case's own number. Gives back
    /// those whose number is their own.
    fn numbered(&mut self, scans: Vec<PathBuf>) -> Vec<PathBuf> {
        let mut by_folder: BTreeMap<PathBuf, Numbers> = BTreeMap::new();
        for scan in scans {
            let folder = scan.parent().unwrap_or(Path::new("")).to_path_buf();
            let ScanName { case, content, .. } = ScanName::parse(&file_name(&scan), &[]);
            let ScanContent::Numbered(number) = content else { continue };
            let files =
                by_folder.entry(folder).or_default().entry(case.unwrap_or_default()).or_default();
            files.entry(number).or_default().push(scan);
        }
        let mut own = Vec::new();
        for numbers in by_folder.into_values() {
            match self.are_channels(&numbers) {
                true => numbers.into_iter().for_each(|(case, files)| self.channels(case, files)),
                false => {
                    own.extend(numbers.into_values().flat_map(BTreeMap::into_values).flatten())
                }
            }
        }
        own
    }

    /// Whether a folder's numbers are channels.
    fn are_channels(&self, numbers: &Numbers) -> bool {
        let mut files = numbers.values().flat_map(BTreeMap::values).flatten();
        let expected = self.task.channels.len();
        match expected {
            // One name that is counted from 1 on is a list of cases.
            1 => {
                let starts_at_0 = numbers.values().any(|files| files.contains_key(&0));
                let is_counted = numbers.len() == 1 && files.count() > 1;
                starts_at_0 || !is_counted
            }
            _ => files
                .next()
                .is_some_and(|scan| num_channels(scan).is_ok_and(|count| count != expected)),
        }
    }

    /// The channels of a case by their numbers.
    fn channels(&mut self, case: String, mut files: BTreeMap<usize, Vec<PathBuf>>) {
        let channels = &self.task.channels;
        let further = files.split_off(&channels.len());
        for scan in further.values().flatten() {
            self.found.unused_files.add("numbered channels that the model does not take", scan);
        }
        let named = |numbers: Vec<usize>| {
            let name = |n: &usize| format!("{} (_{n:04})", channels[*n]);
            numbers.iter().map(name).collect::<Vec<_>>().join(", ")
        };
        let example = files.values().chain(further.values()).flatten().next().cloned();
        let example = example.unwrap_or_default();
        let missing: Vec<usize> = (0..channels.len()).filter(|n| !files.contains_key(n)).collect();
        let twice = files.iter().filter(|(_, scans)| scans.len() > 1);
        let twice: Vec<usize> = twice.map(|(number, _)| *number).collect();
        if !missing.is_empty() {
            self.found.faults.push(format!(
                "expected the channels {}, found none for {} (case {case}, {})",
                channels.join(", "),
                named(missing),
                example.display()
            ));
        } else if !twice.is_empty() {
            self.found.faults.push(format!(
                "expected one file a channel, found several for {} (case {case}, {})",
                named(twice),
                example.display()
            ));
        } else {
            self.take(case, files.into_values().flatten().collect());
        }
    }

    /// Scans whose names say nothing: cases of their own, as far as they hold all channels. Of several
    /// folders the uppermost counts, since results and derived scans lie below their scans. Beside
    /// scans that are told by their names they are something else, such as a template.
    fn untold(&mut self, root: Option<&Path>, scans: Vec<PathBuf>, some_are_told: bool) {
        let expected = self.task.channels.len();
        let depth = |scan: &Path| scan.components().count();
        let uppermost = scans.iter().map(|scan| depth(scan)).min().unwrap_or(0);
        for scan in scans {
            let is_other = some_are_told
                && (expected == 1 || num_channels(&scan).is_ok_and(|count| count != expected));
            if root.is_some() && is_other {
                let what = "scans whose names tell no channel, beside others that do";
                self.found.unused_files.add(what, &scan);
            } else if root.is_some() && depth(&scan) > uppermost {
                self.found.unused_files.add("scans in folders below others", &scan);
            } else {
                self.take(name_of(&scan), vec![scan]);
            }
        }
    }
}

/// The files of a folder by case and number.
type Numbers = BTreeMap<String, BTreeMap<usize, Vec<PathBuf>>>;
