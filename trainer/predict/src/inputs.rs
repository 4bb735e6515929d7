//! Finds the scans that the paths of the command line mean: files, folders of scans, data sets.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use model_core::{ScanContent, ScanName, Task, takes_any_contrast};

pub use super::scans::Inputs;

use super::channels::sort;
use super::members;
use super::scans::{num_channels, scan_name};
use trainer_data::data_set::listing::{self, file_name};
use trainer_data::data_set::{CaseFiles, DataSet};
use trainer_run::reporter::Reporter;
use trainer_run::run_folder::Run;

/// A part of a data set's cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Split {
    /// All cases, with labels and without.
    All,
    /// Cases without labels, such as nnU-Net's imagesTs.
    Unlabeled,
    /// Cases that every run trained on.
    Training,
    /// Cases that no run trained on.
    HeldOut,
}

/// Finds scans: in the folder of a data set, in folders of scans, or in files. `models` are the
/// paths of the models, for the split.
///
/// # Errors
/// Errors if no scan is found, if the paths are ambiguous, or if two scans have the same name.
pub fn find(
    data: &[PathBuf],
    split: Split,
    models: &[PathBuf],
    task: &Task,
    reporter: &dyn Reporter,
) -> Result<Inputs> {
    let mut found = Inputs::default();
    match data {
        [path] if split != Split::All || is_data_set(path) => {
            found = find_in_data_set(path, split, models, task, reporter)?;
        }
        paths => {
            ensure!(split == Split::All, "--split is for the folder of a data set");
            let num_folders = paths.iter().filter(|path| path.is_dir()).count();
            match num_folders {
                0 => sort_files(paths, task, &mut found)?,
                n if n == paths.len() => {
                    for folder in paths {
                        let listing = listing::list_recursively(folder, reporter)?;
                        found.unused_files.extend(listing.unused_files);
                        sort(Some(folder), listing.scans, task, &mut found);
                    }
                }
                _ => bail!("--data: expected files or folders, found both"),
            }
        }
    }
    let listed: Vec<String> = data.iter().map(|path| path.display().to_string()).collect();
    ensure!(
        !found.cases.is_empty(),
        "expected at least one scan of {}, found none in {}{}{}",
        task.channels.join(", "),
        listed.join(", "),
        found.faults.iter().map(|fault| format!("\n  {fault}")).collect::<String>(),
        found
            .unused_files
            .lines()
            .iter()
            .map(|line| format!("\n  not used: {line}"))
            .collect::<String>()
    );
    found.cases.sort_by(|a, b| a.name.cmp(&b.name));
    // Some file systems ignore capitals.
    let mut cases: Vec<&CaseFiles> = found.cases.iter().collect();
    cases.sort_by_key(|case| case.name.to_lowercase());
    let are_equal = |two: &&[&CaseFiles]| two[0].name.to_lowercase() == two[1].name.to_lowercase();
    if let Some([a, b]) = cases.windows(2).find(are_equal) {
        let first = |case: &CaseFiles| case.images[0].display().to_string();
        bail!(
            "expected scans of different names, found {:?} twice: {} and {}",
            a.name,
            first(a),
            first(b)
        );
    }
    Ok(found)
}

/// Returns whether a path is a data set with a `dataset.json` or a CSV. Other folders are described
/// by the names of their scans.
fn is_data_set(path: &Path) -> bool {
    let is_table = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
    let is_list = file_name(path) == "dataset.json" && path.is_file();
    is_table || is_list || path.join("dataset.json").is_file()
}

/// Finds the cases of a data set. They keep their labels, which predictions do not read.
///
/// # Errors
/// Errors if the data set cannot be used, if its channels are not the models', or if the split is
/// unknown.
pub fn find_in_data_set(
    path: &Path,
    split: Split,
    models: &[PathBuf],
    task: &Task,
    reporter: &dyn Reporter,
) -> Result<Inputs> {
    select_split(DataSet::open_for_model(path, task, reporter)?, split, models, path)
}

/// Finds the labeled cases of a data set, to score models with. `task_name` names the data set's
/// task as `--task` does, if it replaces the task that the data set states.
///
/// # Errors
/// See [`find_in_data_set`]. Errors if the labels or regions are not the models', if a case lacks a
/// file, or if no case has labels.
pub fn find_labeled(
    path: &Path,
    split: Split,
    models: &[PathBuf],
    task: &Task,
    task_name: Option<&str>,
    reporter: &dyn Reporter,
) -> Result<Vec<CaseFiles>> {
    let data_set = match task_name {
        None => DataSet::open_for_model(path, task, reporter)?,
        Some(_) => DataSet::open(path, task_name, reporter)?,
    };
    members::check_same_labels(task, &data_set.task, path)?;
    let Inputs { mut cases, faults, .. } = select_split(data_set, split, models, path)?;
    ensure!(faults.is_empty(), "cases that cannot be used:\n  {}", faults.join("\n  "));
    cases.retain(|case| case.label.is_some());
    ensure!(!cases.is_empty(), "expected cases with labels, found none in {}", path.display());
    Ok(cases)
}

/// Selects a part of a data set's cases.
fn select_split(
    data_set: DataSet,
    split: Split,
    models: &[PathBuf],
    path: &Path,
) -> Result<Inputs> {
    let DataSet { mut cases, unlabeled, faults, unused_files, notes, .. } = data_set;
    let faults = faults.iter().map(ToString::to_string).collect();
    match split {
        Split::All => cases.extend(unlabeled),
        Split::Unlabeled => cases = unlabeled,
        Split::Training | Split::HeldOut => {
            // Faults of other cases do not matter: all cases of the runs must be there.
            let cases = select_cases_of_runs(cases, split, models, path)?;
            return Ok(Inputs { cases, ..Inputs::default() });
        }
    }
    Ok(Inputs { cases, faults, unused_files, notes })
}

/// Selects the cases that all runs trained on, or that no run trained on.
fn select_cases_of_runs(
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
        let cases_of_run = if split == Split::HeldOut { run.held_out } else { run.training };
        match &mut wanted {
            None => wanted = Some(cases_of_run),
            Some(wanted) => wanted.retain(|name| cases_of_run.contains(name)),
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

/// Adds the cases of files that the user named.
///
/// Files that each hold all channels are one case each. Otherwise all files together are one case.
/// Of more files, as from `CASE/*`, those whose names state the model's channels are used.
fn sort_files(given: &[PathBuf], task: &Task, found: &mut Inputs) -> Result<()> {
    let num_expected = task.channels.len();
    let names: Vec<ScanName> =
        given.iter().map(|file| ScanName::parse(&file_name(file), &task.channels)).collect();
    let case =
        |images: Vec<PathBuf>| CaseFiles { name: scan_name(&images[0]), images, label: None };
    if let ([file], [name]) = (given, &names[..]) {
        let is_other = matches!(
            name.content,
            ScanContent::OtherChannel | ScanContent::Labels | ScanContent::OtherMask
        );
        if is_other && num_expected == 1 && !takes_any_contrast(&task.channels) {
            found.notes.push(format!(
                "{} is used as {}, although its name says {}",
                file.display(),
                task.channels[0],
                name.word
            ));
        }
    } else if num_expected == 1 {
        sort(None, given.to_vec(), task, found);
        return Ok(());
    }
    let counts: Vec<usize> = given.iter().map(|file| num_channels(file)).collect::<Result<_>>()?;
    if counts.iter().all(|count| *count == num_expected) {
        found.cases = given.iter().map(|file| case(vec![file.clone()])).collect();
        return Ok(());
    }
    let sum: usize = counts.iter().sum();
    if sum == num_expected {
        let images = if sum == given.len() {
            in_channel_order(given, &names, task)?
        } else {
            given.to_vec()
        };
        found.cases.push(case(images));
        return Ok(());
    }
    let is_channel = |name: &ScanName| {
        matches!(name.content, ScanContent::Channel(_) | ScanContent::Numbered(_))
    };
    ensure!(
        sum > num_expected && names.iter().any(is_channel),
        "expected {num_expected} channels ({}), found {sum} in {} files",
        task.channels.join(", "),
        given.len()
    );
    sort(None, given.to_vec(), task, found);
    Ok(())
}

/// Returns a file for each channel, in the task's order: by the names if these state all channels,
/// else in the given order.
///
/// # Errors
/// Errors if a name states another channel than that of its position.
fn in_channel_order(given: &[PathBuf], names: &[ScanName], task: &Task) -> Result<Vec<PathBuf>> {
    let channel = |name: &ScanName| match name.content {
        ScanContent::Channel(n) | ScanContent::Numbered(n) => Some(n),
        _ => None,
    };
    let channels: Vec<Option<usize>> = names.iter().map(channel).collect();
    let file_of_channel =
        |n: usize| channels.iter().position(|channel| *channel == Some(n)).map(|at| &given[at]);
    let by_name: Option<Vec<&PathBuf>> = (0..given.len()).map(file_of_channel).collect();
    if let Some(by_name) = by_name {
        return Ok(by_name.into_iter().cloned().collect());
    }
    for (position, (file, name)) in given.iter().zip(names).enumerate() {
        let is_other = match name.content {
            ScanContent::Channel(n) | ScanContent::Numbered(n) => n != position,
            ScanContent::Unknown => false,
            _ => true,
        };
        ensure!(
            !is_other,
            "expected the channels {} in this order, or names that state all of them, found a name of \
             another in the place of {} (in {})",
            task.channels.join(", "),
            task.channels[position],
            file.display()
        );
    }
    Ok(given.to_vec())
}
