//! Which scans are meant by the paths of the command line: files, folders of scans, data sets.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use model_core::{ScanContent, ScanName, Task, scan_stem};

use super::channels::sort;
use super::members;
use trainer_data::data_set::listing::{self, file_name};
use trainer_data::data_set::{CaseFiles, DataSet, ScanBytes, UnusedFiles};
use trainer_run::run_folder::Run;

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
    /// What lies beside them and is not segmented.
    pub unused_files: UnusedFiles,
    /// What a person should be told.
    pub notes: Vec<String>,
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
                0 => of_files(paths, task, &mut found)?,
                n if n == paths.len() => {
                    for folder in paths {
                        let listing = listing::list_recursively(folder)?;
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
    // Some file systems do not tell capitals.
    let mut cases: Vec<&CaseFiles> = found.cases.iter().collect();
    cases.sort_by_key(|case| case.name.to_lowercase());
    let is_twice = |two: &&[&CaseFiles]| two[0].name.to_lowercase() == two[1].name.to_lowercase();
    if let Some([a, b]) = cases.windows(2).find(is_twice) {
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

/// Whether a file says what is in a data set; else the names of the scans do.
fn is_described(path: &Path) -> bool {
    let is_table = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
    let is_list = file_name(path) == "dataset.json" && path.is_file();
    is_table || is_list || path.join("dataset.json").is_file()
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
    let Inputs { mut cases, faults, .. } = part_of(data_set, split, models, path)?;
    ensure!(faults.is_empty(), "cases that cannot be used:\n  {}", faults.join("\n  "));
    cases.retain(|case| case.label.is_some());
    ensure!(!cases.is_empty(), "expected cases with labels, found none in {}", path.display());
    Ok(cases)
}

fn part_of(data_set: DataSet, split: Split, models: &[PathBuf], path: &Path) -> Result<Inputs> {
    let DataSet { mut cases, unlabeled, faults, unused_files, notes, .. } = data_set;
    let faults = faults.iter().map(ToString::to_string).collect();
    match split {
        Split::All => cases.extend(unlabeled),
        Split::Unlabeled => cases = unlabeled,
        Split::Training | Split::HeldOut => {
            // Of the run's own cases none may be missing, whatever is wrong with others.
            let cases = of_runs(cases, split, models, path)?;
            return Ok(Inputs { cases, ..Inputs::default() });
        }
    }
    Ok(Inputs { cases, faults, unused_files, notes })
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

/// Files as scans: each that holds all channels is a scan of its own, else all together are one. Of
/// more files than that, as `CASE/*` gives, those count whose names tell the model's channels.
fn of_files(given: &[PathBuf], task: &Task, found: &mut Inputs) -> Result<()> {
    let expected = task.channels.len();
    let told: Vec<ScanName> =
        given.iter().map(|file| ScanName::parse(&file_name(file), &task.channels)).collect();
    let case = |images: Vec<PathBuf>| CaseFiles { name: name_of(&images[0]), images, label: None };
    if let ([file], [name]) = (given, &told[..]) {
        let is_other = matches!(
            name.content,
            ScanContent::OtherChannel | ScanContent::Labels | ScanContent::OtherMask
        );
        if is_other && expected == 1 && model_core::is_specific_channel(&task.channels[0]) {
            found.notes.push(format!(
                "{} is taken for {}, though its name says {}",
                file.display(),
                task.channels[0],
                name.word
            ));
        }
    } else if expected == 1 {
        sort(None, given.to_vec(), task, found);
        return Ok(());
    }
    let counts: Vec<usize> = given.iter().map(|file| num_channels(file)).collect::<Result<_>>()?;
    if counts.iter().all(|count| *count == expected) {
        found.cases = given.iter().map(|file| case(vec![file.clone()])).collect();
        return Ok(());
    }
    let sum: usize = counts.iter().sum();
    if sum == expected {
        let images =
            if sum == given.len() { in_order(given, &told, task)? } else { given.to_vec() };
        found.cases.push(case(images));
        return Ok(());
    }
    let is_channel = |name: &ScanName| {
        matches!(name.content, ScanContent::Channel(_) | ScanContent::Numbered(_))
    };
    ensure!(
        sum > expected && told.iter().any(is_channel),
        "expected {expected} channels ({}), found {sum} in {} files",
        task.channels.join(", "),
        given.len()
    );
    sort(None, given.to_vec(), task, found);
    Ok(())
}

/// A file for each channel, in the task's order: by their names where these tell it, else as they
/// are given.
fn in_order(given: &[PathBuf], told: &[ScanName], task: &Task) -> Result<Vec<PathBuf>> {
    let channel = |name: &ScanName| match name.content {
        ScanContent::Channel(n) | ScanContent::Numbered(n) => Some(n),
        _ => None,
    };
    let places: Vec<Option<usize>> = told.iter().map(channel).collect();
    let by_name = |n: usize| places.iter().position(|place| *place == Some(n)).map(|at| &given[at]);
    let all: Option<Vec<&PathBuf>> = (0..given.len()).map(by_name).collect();
    if let Some(all) = all {
        return Ok(all.into_iter().cloned().collect());
    }
    for (at, (file, name)) in given.iter().zip(told).enumerate() {
        let is_other = match name.content {
            ScanContent::Channel(n) | ScanContent::Numbered(n) => n != at,
            ScanContent::Unknown => false,
            _ => true,
        };
        ensure!(
            !is_other,
            "expected the channels {} in this order, or names that tell all of them, found a name of \
             another in the place of {} (in {})",
            task.channels.join(", "),
            task.channels[at],
            file.display()
        );
    }
    Ok(given.to_vec())
}

/// How many channels a file holds.
pub(super) fn num_channels(file: &Path) -> Result<usize> {
    let bytes = ScanBytes::read(file)?;
    let read = bytes.open().map(|reader| reader.num_channels());
    Ok(read.map_err(|error| error.in_file(file.display().to_string()))?)
}

/// A scan's name without folder and ending.
pub(super) fn name_of(scan: &Path) -> String {
    let name = file_name(scan);
    scan_stem(&name).unwrap_or(&name).to_string()
}
