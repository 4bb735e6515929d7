//! Sorts scans into cases and channels by their names. nnU-Net numbers channels, BraTS and others
//! name them, and a scan with an unrecognized name is a case of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model_core::{ScanContent, ScanName, Task, takes_any_contrast};

use super::scans::{Inputs, num_channels, scan_name};
use trainer_data::data_set::by_file_name::{self, CaseGroup};
use trainer_data::data_set::listing::file_name;
use trainer_data::data_set::{CaseFiles, UnusedFiles};

/// Sorts scans into cases and adds these to `inputs`.
///
/// `root` is the folder in which the scans were found, or `None` if the user named each scan. A
/// named scan is a case even if its name is not recognized.
pub(super) fn sort(root: Option<&Path>, scans: Vec<PathBuf>, task: &Task, inputs: &mut Inputs) {
    let mut sorter = ScanSorter { root, task, inputs };
    let (mut numbered, mut named, mut unrecognized) = (Vec::new(), Vec::new(), Vec::new());
    for scan in scans {
        match ScanName::parse(&file_name(&scan), &task.channels).content {
            ScanContent::Numbered(_) => numbered.push(scan),
            ScanContent::Unknown => unrecognized.push(scan),
            _ => named.push(scan),
        }
    }
    let num_before = sorter.inputs.cases.len() + sorter.inputs.faults.len();
    sorter.add_named(named);
    unrecognized.extend(sorter.add_numbered(numbered));
    let num_recognized = sorter.inputs.cases.len() + sorter.inputs.faults.len() - num_before;
    sorter.add_unrecognized(unrecognized, num_recognized > 0);
}

/// Sorts the scans of a folder, or those that the user named.
struct ScanSorter<'a> {
    root: Option<&'a Path>,
    task: &'a Task,
    inputs: &'a mut Inputs,
}

/// The files of a folder by case and channel number.
type NumberedScans = BTreeMap<String, BTreeMap<usize, Vec<PathBuf>>>;

impl ScanSorter<'_> {
    fn add_case(&mut self, name: String, images: Vec<PathBuf>) {
        self.inputs.cases.push(CaseFiles { name, images, label: None });
    }

    /// Adds the cases of scans that are named by a contrast or as labels.
    fn add_named(&mut self, scans: Vec<PathBuf>) {
        let channels = &self.task.channels;
        let takes_any = takes_any_contrast(channels);
        let (any_contrast, scans): (Vec<PathBuf>, Vec<PathBuf>) =
            scans.into_iter().partition(|scan| {
                let content = ScanName::parse(&file_name(scan), channels).content;
                takes_any && matches!(content, ScanContent::OtherChannel)
            });
        self.add_any_contrast(any_contrast);
        let (groups, unused) =
            by_file_name::group_by_case(self.root.unwrap_or(Path::new("")), &scans, channels);
        self.inputs.unused_files.extend(unused);
        for group in groups {
            for member in group.files_with(ScanContent::Labels) {
                self.inputs.unused_files.add("the experts' labels", &member.file);
            }
            if group.files.iter().any(|member| member.name.content != ScanContent::Labels) {
                self.add_group(&group);
            }
        }
    }

    fn add_group(&mut self, group: &CaseGroup) {
        let channels = &self.task.channels;
        // All label files of the group are counted as unused already.
        let mut unused_files = UnusedFiles::default();
        let chosen = group.choose(channels, &mut unused_files);
        let missing = channels.iter().zip(&chosen.images).filter(|(_, image)| image.is_none());
        let missing: Vec<&str> = missing.map(|(channel, _)| channel.as_str()).collect();
        let images = chosen.images.iter().flatten();
        let images: Vec<PathBuf> = images.map(|member| member.file.clone()).collect();
        let mut ambiguities = chosen.ambiguities.iter().filter(|text| !text.contains("of labels"));
        self.inputs.unused_files.extend(unused_files);
        if let Some(first) = ambiguities.next() {
            self.inputs.faults.push(format!("{first} (case {})", group.name));
        } else if missing.is_empty() {
            // A name that begins with its channel stays whole: the rest may not tell cases apart.
            let is_whole = channels.len() == 1
                && chosen.images.iter().flatten().any(|member| !member.name.is_at_end);
            let name = if is_whole { scan_name(&images[0]) } else { group.name.clone() };
            self.add_case(name, images);
        } else {
            self.inputs.faults.push(format!(
                "expected the channels {}, found none for {} (case {}, {})",
                channels.join(", "),
                missing.join(", "),
                group.name,
                images.first().unwrap_or(&group.folder).display()
            ));
        }
    }

    /// Adds the cases of scans of any contrast, each of which can be the only channel.
    fn add_any_contrast(&mut self, scans: Vec<PathBuf>) {
        let mut by_case: BTreeMap<(PathBuf, String), Vec<PathBuf>> = BTreeMap::new();
        for scan in scans {
            let case = ScanName::parse(&file_name(&scan), &[]).case.unwrap_or_default();
            let folder = scan.parent().unwrap_or(Path::new("")).to_path_buf();
            by_case.entry((folder, case)).or_default().push(scan);
        }
        for ((folder, case), scans) in by_case {
            match &scans[..] {
                [scan] => self.add_case(scan_name(scan), scans),
                _ => {
                    let names = scans.iter().map(|scan| file_name(scan)).collect::<Vec<_>>();
                    self.inputs.faults.push(format!(
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

    /// Adds the cases of scans whose names end in four digits, if these number channels. Returns
    /// the scans whose digits number cases.
    fn add_numbered(&mut self, scans: Vec<PathBuf>) -> Vec<PathBuf> {
        let mut by_folder: BTreeMap<PathBuf, NumberedScans> = BTreeMap::new();
        for scan in scans {
            let folder = scan.parent().unwrap_or(Path::new("")).to_path_buf();
            let ScanName { case, content, .. } = ScanName::parse(&file_name(&scan), &[]);
            let ScanContent::Numbered(number) = content else { continue };
            let files =
                by_folder.entry(folder).or_default().entry(case.unwrap_or_default()).or_default();
            files.entry(number).or_default().push(scan);
        }
        let mut numbered_cases = Vec::new();
        for scans in by_folder.into_values() {
            match self.are_channels(&scans) {
                true => {
                    scans.into_iter().for_each(|(case, files)| self.add_channels(case, files));
                }
                false => {
                    let files = scans.into_values().flat_map(BTreeMap::into_values).flatten();
                    numbered_cases.extend(files);
                }
            }
        }
        numbered_cases
    }

    /// Returns whether the numbers in a folder are channel numbers.
    fn are_channels(&self, scans: &NumberedScans) -> bool {
        let mut files = scans.values().flat_map(BTreeMap::values).flatten();
        let num_expected = self.task.channels.len();
        match num_expected {
            // One name with numbers from 1 on is a list of cases.
            1 => {
                let starts_at_0 = scans.values().any(|files| files.contains_key(&0));
                let is_list_of_cases = scans.len() == 1 && files.count() > 1;
                starts_at_0 || !is_list_of_cases
            }
            _ => files
                .next()
                .is_some_and(|scan| num_channels(scan).is_ok_and(|count| count != num_expected)),
        }
    }

    /// Adds a case by the channel numbers of its files.
    fn add_channels(&mut self, case: String, mut files: BTreeMap<usize, Vec<PathBuf>>) {
        let channels = &self.task.channels;
        let further = files.split_off(&channels.len());
        for scan in further.values().flatten() {
            self.inputs.unused_files.add("numbered channels that the model does not take", scan);
        }
        let names = |numbers: Vec<usize>| {
            let name = |n: &usize| format!("{} (_{n:04})", channels[*n]);
            numbers.iter().map(name).collect::<Vec<_>>().join(", ")
        };
        let example = files.values().chain(further.values()).flatten().next().cloned();
        let example = example.unwrap_or_default();
        let missing: Vec<usize> = (0..channels.len()).filter(|n| !files.contains_key(n)).collect();
        let duplicates = files.iter().filter(|(_, scans)| scans.len() > 1);
        let duplicates: Vec<usize> = duplicates.map(|(number, _)| *number).collect();
        if !missing.is_empty() {
            self.inputs.faults.push(format!(
                "expected the channels {}, found none for {} (case {case}, {})",
                channels.join(", "),
                names(missing),
                example.display()
            ));
        } else if !duplicates.is_empty() {
            self.inputs.faults.push(format!(
                "expected one file a channel, found several for {} (case {case}, {})",
                names(duplicates),
                example.display()
            ));
        } else {
            self.add_case(case, files.into_values().flatten().collect());
        }
    }

    /// Adds each scan with an unrecognized name as a case.
    ///
    /// In a folder, scans below the uppermost ones are left out, because results and derived scans
    /// lie below their scans. Beside recognized scans, an unrecognized one is something else, such
    /// as a template, unless it holds all channels.
    fn add_unrecognized(&mut self, scans: Vec<PathBuf>, has_recognized: bool) {
        let num_expected = self.task.channels.len();
        let depth = |scan: &Path| scan.components().count();
        let uppermost = scans.iter().map(|scan| depth(scan)).min().unwrap_or(0);
        for scan in scans {
            let is_other = has_recognized
                && (num_expected == 1
                    || num_channels(&scan).is_ok_and(|count| count != num_expected));
            if self.root.is_some() && is_other {
                let kind = "scans whose names state no channel, beside others that do";
                self.inputs.unused_files.add(kind, &scan);
            } else if self.root.is_some() && depth(&scan) > uppermost {
                self.inputs.unused_files.add("scans in folders below others", &scan);
            } else {
                self.add_case(scan_name(&scan), vec![scan]);
            }
        }
    }
}
