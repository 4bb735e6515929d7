//! Compares label maps with references: Dice of every region and case, and their summary.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use model_core::metrics::{Summary, dice};
use model_core::{EmptyRule, LabelMap, Region, Task, nifti};
use rayon::prelude::*;

use crate::data_set::DataSet;
use crate::{files, progress, run_folder};

/// Dice of every case and region.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The regions that were scored.
    pub regions: Vec<Region>,
    /// The rule for empty regions.
    pub rule: EmptyRule,
    /// For each case its name and each region's Dice; NaN where the rule gives no score.
    pub cases: Vec<(String, Vec<f64>)>,
    /// References without a prediction.
    pub num_without: usize,
}

/// A prediction and its reference.
type PairOfFiles = (String, PathBuf, PathBuf);

/// Scores predictions against references, files or folders of files of the same names.
///
/// # Errors
/// Names every pair that cannot be compared.
pub fn evaluate(
    predicted: &Path,
    reference: &Path,
    regions: Option<Vec<Region>>,
    rule: EmptyRule,
) -> Result<Evaluation> {
    let (pairs, num_without) = pairs(predicted, reference)?;
    let regions = match regions {
        Some(regions) => regions,
        None => regions_present(&pairs)?,
    };
    let bar = progress::bar("comparing", pairs.len() as u64);
    let score = |(name, predicted, reference): &PairOfFiles| -> Result<(String, Vec<f64>)> {
        let (predicted_map, reference_map) = (read(predicted)?, read(reference)?);
        reference_map
            .grid
            .check_same(&predicted_map.grid)
            .map_err(|error| error.in_file(predicted.display().to_string()))?;
        bar.inc(1);
        let dice = |region: &Region| {
            dice(&predicted_map.labels, &reference_map.labels, &region.labels, rule)
        };
        Ok((name.clone(), regions.iter().map(dice).collect()))
    };
    let results: Vec<Result<_>> = pairs.par_iter().map(score).collect();
    bar.finish_and_clear();
    let bad: Vec<String> =
        results.iter().filter_map(|r| r.as_ref().err()).map(|e| format!("  {e:#}")).collect();
    ensure!(
        bad.is_empty(),
        "{} of {} cases cannot be compared:\n{}",
        bad.len(),
        pairs.len(),
        bad.join("\n")
    );
    let cases = results.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(Evaluation { regions, rule, cases, num_without })
}

/// The regions to score: of a built-in task by name, of a bundle, a run's folder or a
/// dataset.json; without a name, of the dataset.json beside the folder of the references, if there
/// is one.
///
/// # Errors
/// When the name leads to no task.
pub fn regions(task: Option<&str>, reference: &Path) -> Result<Option<Vec<Region>>> {
    let task: Task = match task {
        Some(name) if Task::builtin(name).is_ok() => Task::builtin(name)?,
        Some(name) => {
            let path = Path::new(name);
            ensure!(
                path.exists(),
                "--task: expected brats2021, brats2023, a bundle, a run's folder or a \
                 dataset.json, found {name:?}"
            );
            if path.file_name().is_some_and(|file| file == "dataset.json") {
                DataSet::open(path.parent().unwrap_or(Path::new(".")), None)?.task
            } else {
                run_folder::read_bundle(path)?.card.task
            }
        }
        None => {
            let labels = if reference.is_dir() { Some(reference) } else { reference.parent() };
            let Some(folder) = labels.and_then(|labels| labels.canonicalize().ok()) else {
                return Ok(None);
            };
            match folder.parent() {
                Some(folder) if folder.join("dataset.json").is_file() => {
                    DataSet::open(folder, None)?.task
                }
                _ => return Ok(None),
            }
        }
    };
    Ok(Some(task.regions))
}

impl Evaluation {
    /// Each region's summary over the cases.
    pub fn summaries(&self) -> Vec<Summary> {
        let column = |n: usize| self.cases.iter().map(|(_, dice)| dice[n]).collect::<Vec<f64>>();
        (0..self.regions.len()).map(|n| Summary::of(&column(n))).collect()
    }

    /// The report as text.
    pub fn report(&self) -> String {
        let mut text = String::from("Dice\ncase");
        self.regions.iter().for_each(|region| text += &format!("\t{}", region.name));
        for (name, dice) in &self.cases {
            text += &format!("\n{name}");
            dice.iter().for_each(|dice| text += &format!("\t{dice:.4}"));
        }
        text += "\n\nregion\tmean\tmedian\tstandard deviation\tn";
        let summaries = self.summaries();
        for (region, summary) in self.regions.iter().zip(&summaries) {
            let Summary { n, mean, median, deviation } = summary;
            text += &format!("\n{}\t{mean:.4}\t{median:.4}\t{deviation:.4}\t{n}", region.name);
        }
        let mean = summaries.iter().map(|s| s.mean).sum::<f64>() / summaries.len() as f64;
        text += &format!("\nmean of the regions\t{mean:.4}");
        text += &format!("\n\nempty regions are scored by the rule {}", self.rule.name());
        if self.num_without > 0 {
            text +=
                &format!("\n{} references have no prediction and are not scored", self.num_without);
        }
        text
    }

    /// Writes every case's Dice as CSV, with the rule for empty regions in its last column.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_csv(&self, file: &Path) -> Result<()> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        let mut header = vec!["case".to_string()];
        header.extend(self.regions.iter().map(|region| format!("dice {}", region.name)));
        header.push("empty_rule".into());
        csv.write_record(&header)?;
        for (name, dice) in &self.cases {
            let mut fields = vec![name.clone()];
            fields.extend(dice.iter().map(|dice| format!("{dice:.6}")));
            fields.push(self.rule.name().into());
            csv.write_record(&fields)?;
        }
        files::write(file, &csv.into_inner()?)
    }
}

/// Pairs of files of the same name, and how many references have no prediction. A prediction
/// without reference is an error.
fn pairs(predicted: &Path, reference: &Path) -> Result<(Vec<PairOfFiles>, usize)> {
    match (predicted.is_dir(), reference.is_dir()) {
        (false, false) => {
            let name = files::case_name(predicted);
            Ok((vec![(name, predicted.into(), reference.into())], 0))
        }
        (true, true) => {
            let (predicted, reference) = (scans_in(predicted)?, scans_in(reference)?);
            ensure!(!predicted.is_empty(), "expected predictions (.nii or .nii.gz), found none");
            let num_without = reference.len().saturating_sub(predicted.len());
            let pairs = predicted.into_iter().map(|(name, file)| {
                match reference.iter().find(|(other, _)| *other == name) {
                    Some((_, reference)) => Ok((name, file, reference.clone())),
                    None => bail!("expected a reference for {}, found none", file.display()),
                }
            });
            Ok((pairs.collect::<Result<_>>()?, num_without))
        }
        _ => bail!(
            "expected two files or two folders, found {} and {}",
            predicted.display(),
            reference.display()
        ),
    }
}

/// The scans in a folder by name.
fn scans_in(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let about = || format!("cannot read {}", folder.display());
    let mut scans = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(about)? {
        let file = entry.with_context(about)?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Hidden files such as "._case.nii.gz" are a file system's own.
        if !name.starts_with('.') && (name.ends_with(".nii") || name.ends_with(".nii.gz")) {
            scans.push((files::case_name(&file), file));
        }
    }
    scans.sort();
    Ok(scans)
}

fn read(file: &Path) -> Result<LabelMap> {
    let bytes = files::read(file, files::MAX_SCAN_BYTES)?;
    Ok(nifti::read_labels(&bytes).map_err(|error| error.in_file(file.display().to_string()))?)
}

/// Without a task, each code that stands in a reference or a prediction is a region of its own.
fn regions_present(pairs: &[PairOfFiles]) -> Result<Vec<Region>> {
    let mut present = [false; 256];
    for (_, predicted, reference) in pairs {
        for file in [predicted, reference] {
            read(file)?.labels.iter().for_each(|&code| present[usize::from(code)] = true);
        }
    }
    let codes = (1..=255u8).filter(|&code| present[usize::from(code)]);
    let region = |code| Region {
        name: format!("label {code}"),
        labels: vec![code],
        writes: code,
        color: [255; 3],
    };
    let regions: Vec<Region> = codes.map(region).collect();
    ensure!(!regions.is_empty(), "expected labels, found only background; name the --task");
    Ok(regions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model_core::{Affine, Grid};

    fn write(file: &Path, labels: &[u8]) {
        let grid = Grid::new([labels.len(), 1, 1], Affine::IDENTITY);
        let map = LabelMap { grid, labels: labels.to_vec() };
        std::fs::write(file, nifti::write_labels(&map)).unwrap();
    }

    #[test]
    fn folders_are_compared_by_name_and_gaps_are_told() {
        let folder = std::env::temp_dir().join(format!("rewind-evaluate-{}", std::process::id()));
        let (predicted, reference) = (folder.join("predicted"), folder.join("reference"));
        std::fs::create_dir_all(&predicted).unwrap();
        std::fs::create_dir_all(&reference).unwrap();
        write(&predicted.join("a.nii.gz"), &[1, 1, 0, 0]);
        write(&reference.join("a.nii.gz"), &[1, 0, 0, 2]);
        write(&reference.join("b.nii.gz"), &[1, 0, 0, 0]);
        let rule = EmptyRule::Brats2023;
        let result = evaluate(&predicted, &reference, None, rule).unwrap();
        assert_eq!(result.cases, [("a".to_string(), vec![2.0 / 3.0, 0.0])]);
        let report = result.report();
        assert!(report.contains("brats2023") && report.contains("1 references have no prediction"));
        write(&predicted.join("c.nii.gz"), &[1, 1, 0, 0]);
        assert!(evaluate(&predicted, &reference, None, rule).is_err());
        write(&reference.join("c.nii.gz"), &[1, 1, 0]);
        let error = evaluate(&predicted, &reference, None, rule).unwrap_err().to_string();
        assert!(error.contains("c.nii.gz"), "{error}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
