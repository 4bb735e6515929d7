//! Which scans are meant by the paths of the command line: files, folders of scans, data sets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use model_core::Task;

use super::channels::{Part, part};
use super::members;
use crate::data_set::listing::{entries, file_name, folder_name, stem};
use crate::data_set::{CaseFiles, DataSet, ScanBytes};
use crate::files;
use crate::run_folder::Run;

/// Which cases of a data set are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Split {
    /// All cases, with labels and without.
    All,
    /// Those without labels, such as nnU-Net's imagesTs.
    Unlabeled,
    /// Those that the run trained on; of several runs, that all of them did.
    Training,
    /// Those that the run did not train on; of several runs, that none of them did.
    HeldOut,
}

/// The scans that were found, and what looked like one and cannot be used.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Inputs {
    /// One entry a scan; no two have one name.
    pub cases: Vec<CaseFiles>,
    /// What is wrong with others, with their files.
    pub faults: Vec<String>,
}

/// The scans that paths name: the folder of a data set, folders of scans, or files. `models` are
/// where the models came from, for the split.
///
/// # Errors
/// When nothing can be found, or it is not clear what is meant.
pub fn find(data: &[PathBuf], split: Split, models: &[PathBuf], task: &Task) -> Result<Inputs> {
    let mut found = Inputs::default();
    match data {
        [path] if split != Split::All || is_described(path) => {
            found = of_data_set(path, split, models, task)?;
        }
        paths => {
            ensure!(split == Split::All, "--split is for the folder of a data set");
            let num_folders = paths.iter().filter(|path| path.is_dir()).count();
            match num_folders {
                0 => found.cases = of_files(paths, task)?,
                n if n == paths.len() => {
                    for folder in paths {
                        of_folder(folder, task, 0, &mut found)?;
                    }
                }
                _ => bail!("--data: expected files or folders, found both"),
            }
        }
    }
    let listed: Vec<String> = data.iter().map(|path| path.display().to_string()).collect();
    ensure!(
        !found.cases.is_empty(),
        "expected at least one scan of {}, found none in {}{}",
        task.channels.join(", "),
        listed.join(", "),
        found.faults.iter().map(|fault| format!("\n  {fault}")).collect::<String>()
    );
    let mut names: Vec<&str> = found.cases.iter().map(|case| case.name.as_str()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|two| two[0] == two[1]) {
        bail!("expected scans of different names, found {:?} twice", twice[0]);
    }
    Ok(found)
}

/// Whether a file says what is in a data set; else the names of the scans do.
fn is_described(path: &Path) -> bool {
    let is_table = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
    is_table || path.join("dataset.json").is_file()
}

/// The cases of a data set, and those that lack a file. They keep their labels, which predictions
/// do not read.
///
/// # Errors
/// When the data set cannot be used, its channels are not the models', or the split is not known.
pub fn of_data_set(path: &Path, split: Split, models: &[PathBuf], task: &Task) -> Result<Inputs> {
    part_of(DataSet::open_for_model(path, task)?, split, models, path)
}

/// The cases of a data set whose labels answer what the models were asked, to score them by.
/// `named` is the data set's task as `--task` takes it, where it is not the one that it says.
///
/// # Errors
/// As [`of_data_set`]; when the labels or regions are not the models', a case lacks a file, or none
/// has labels.
pub fn labeled(
    path: &Path,
    split: Split,
    models: &[PathBuf],
    task: &Task,
    named: Option<&str>,
) -> Result<Vec<CaseFiles>> {
    let data_set = match named {
        None => DataSet::open_for_model(path, task)?,
        Some(_) => DataSet::open(path, named)?,
    };
    members::check_answers(task, &data_set.task, path)?;
    let Inputs { mut cases, faults } = part_of(data_set, split, models, path)?;
    ensure!(faults.is_empty(), "cases that cannot be used:\n  {}", faults.join("\n  "));
    cases.retain(|case| case.label.is_some());
    ensure!(!cases.is_empty(), "expected cases with labels, found none in {}", path.display());
    Ok(cases)
}

fn part_of(data_set: DataSet, split: Split, models: &[PathBuf], path: &Path) -> Result<Inputs> {
    let DataSet { mut cases, unlabeled, faults, .. } = data_set;
    let faults = faults.iter().map(ToString::to_string).collect();
    match split {
        Split::All => cases.extend(unlabeled),
        Split::Unlabeled => cases = unlabeled,
        Split::Training | Split::HeldOut => {
            // Of the run's own cases none may be missing, whatever is wrong with others.
            let cases = of_runs(cases, split, models, path)?;
            return Ok(Inputs { cases, faults: Vec::new() });
        }
    }
    Ok(Inputs { cases, faults })
}

/// Those of a data set's cases that all runs trained on, or that none did.
fn of_runs(
    mut cases: Vec<CaseFiles>,
    split: Split,
    models: &[PathBuf],
    path: &Path,
) -> Result<Vec<CaseFiles>> {
    let mut wanted: Option<Vec<String>> = None;
    for model in models {
        ensure!(
            model.is_dir(),
            "--split needs the folders of runs as --model: the bundle {} does not list cases",
            model.display()
        );
        let run = Run::read(model)?;
        let of_run = if split == Split::HeldOut { run.held_out } else { run.training };
        match &mut wanted {
            None => wanted = Some(of_run),
            Some(wanted) => wanted.retain(|name| of_run.contains(name)),
        }
    }
    let wanted = wanted.unwrap_or_default();
    ensure!(
        !wanted.is_empty(),
        "expected cases that are of the split {split:?} in all runs, found none; --split all takes \
         the whole data set"
    );
    cases.retain(|case| wanted.contains(&case.name));
    ensure!(
        cases.len() == wanted.len(),
        "expected the data set of the run with {} such cases, found {} of them in {}",
        wanted.len(),
        cases.len(),
        path.display()
    );
    Ok(cases)
}

/// Files as scans: each that holds all channels is a scan of its own, else all together are one.
fn of_files(given: &[PathBuf], task: &Task) -> Result<Vec<CaseFiles>> {
    let expected = task.channels.len();
    let counts: Vec<usize> = given.iter().map(|file| num_channels(file)).collect::<Result<_>>()?;
    let case = |images: &[PathBuf]| CaseFiles {
        name: name_of(&images[0]),
        images: images.to_vec(),
        label: None,
    };
    if counts.iter().all(|count| *count == expected) {
        return Ok(given.chunks(1).map(case).collect());
    }
    let found: usize = counts.iter().sum();
    ensure!(
        found == expected,
        "expected {expected} channels ({}), found {found} in {} files",
        task.channels.join(", "),
        given.len()
    );
    Ok(vec![case(given)])
}

fn num_channels(file: &Path) -> Result<usize> {
    let bytes = ScanBytes::read(file)?;
    let read = bytes.open().map(|reader| reader.num_channels());
    Ok(read.map_err(|error| error.in_file(file.display().to_string()))?)
}

/// A scan's name without folder and ending.
fn name_of(scan: &Path) -> String {
    stem(&file_name(scan)).map_or_else(|| files::case_name(scan), String::from)
}

/// Case folders may lie this deep, as in BraTS 2018: HGG/CASE/.
const MAX_DEPTH: usize = 2;

/// The scans in a folder: files with all channels, files for each channel, or folders of those.
fn of_folder(folder: &Path, task: &Task, depth: usize, found: &mut Inputs) -> Result<()> {
    let (mut scans, mut folders) = (Vec::new(), Vec::new());
    for (name, path) in entries(folder)? {
        if path.is_dir() {
            folders.push(path);
        } else if stem(&name).is_some() {
            scans.push(path);
        }
    }
    if scans.is_empty() && depth < MAX_DEPTH {
        for inner in folders {
            of_folder(&inner, task, depth + 1, found)?;
        }
    }
    grouped(folder, scans, task, found);
    Ok(())
}

/// Parts the scans of one folder into cases by their names.
fn grouped(folder: &Path, scans: Vec<PathBuf>, task: &Task, found: &mut Inputs) {
    let expected = task.channels.len();
    let parts: Vec<Part> = scans.iter().map(|scan| part(&name_of(scan), task)).collect();
    // A number at the end is a channel in nnU-Net's form, but it may as well be the case's own.
    let is_numbered = |part: &Part| matches!(part, Part::Numbered { .. });
    let numbers_are_channels = match parts.iter().position(is_numbered) {
        // Labels lie beside scans by other names.
        _ if expected == 1 => parts.iter().all(|p| *p == Part::Labels || is_numbered(p)),
        Some(first) => num_channels(&scans[first]).is_ok_and(|count| count != expected),
        None => false,
    };
    let mut by_case: BTreeMap<String, BTreeMap<usize, PathBuf>> = BTreeMap::new();
    for (scan, part) in scans.into_iter().zip(parts) {
        match part {
            Part::Labels => {}
            Part::Numbered { case, channel } if numbers_are_channels => {
                by_case.entry(case).or_default().insert(channel, scan);
            }
            Part::Named { case, channel } => {
                let case = if case.is_empty() { folder_name(folder) } else { case };
                by_case.entry(case).or_default().insert(channel, scan);
            }
            Part::Numbered { .. } | Part::Whole => found.cases.push(CaseFiles {
                name: name_of(&scan),
                images: vec![scan],
                label: None,
            }),
        }
    }
    for (name, images) in by_case {
        let missing = (0..expected).filter(|channel| !images.contains_key(channel));
        let missing: Vec<&str> = missing.map(|channel| task.channels[channel].as_str()).collect();
        let images: Vec<PathBuf> = images.into_values().collect();
        match missing.is_empty() {
            true => found.cases.push(CaseFiles { name, images, label: None }),
            false => found.faults.push(format!(
                "expected the channels {}, found none for {} (case {name}, {})",
                task.channels.join(", "),
                missing.join(", "),
                images[0].display()
            )),
        }
    }
}
