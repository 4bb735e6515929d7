//! Compares label maps with references: every score of every region and case, and their summary.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use model_core::metrics::{
    self, LesionScores, Scores, Settings, Summary, Surface, lesion_scores, missing_lesions, score,
};
use model_core::{DEFAULT_TOLERANCE_VOXELS, EmptyRule, Grid, LabelMap, Region, Task};
use rayon::prelude::*;

use trainer_data::data_set::{ScanBytes, WarningCounts};
use trainer_run::budget::Budget;
use trainer_run::files::outputs::{self, Output};
use trainer_run::progress;

mod measure;
mod pairs;
mod report;
mod tables;
mod task;

pub use measure::{LESION_MEASURES, MEASURES, Measure};
pub use task::find_task;

use pairs::Files;

/// The most that the cases in work may take together; a larger case is scored alone.
const WHOLE_BYTES: u64 = 4 << 30;

/// What scoring takes for each voxel at most: two label maps, two masks, squared distances, a dilated
/// mask, and components and surfaces, which of a ragged region are nearly as many as voxels.
const BYTES_PER_VOXEL: u64 = 64;

/// What an evaluation depends on.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the labels and regions are; without it each label that is found is a region.
    pub task: Option<Task>,
    /// The rule for empty regions, the kind of surface and its tolerance.
    pub settings: Settings,
    /// Whether lesions are scored one by one too.
    pub lesion_wise: bool,
    /// What happens with a reference that has no prediction.
    pub missing: Missing,
    /// How far apart a prediction and its reference may lie, in voxels.
    pub tolerance_voxels: f64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            task: None,
            settings: Settings::default(),
            lesion_wise: false,
            missing: Missing::default(),
            tolerance_voxels: DEFAULT_TOLERANCE_VOXELS,
        }
    }
}

/// What happens with a reference that has no prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Missing {
    /// An error that lists them.
    #[default]
    Refuse,
    /// Scored as the rule's worst, also where the reference is empty.
    Worst,
    /// Left out; the report lists them.
    Skip,
}

/// Every score of every region and case.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The task's name, where there is a task.
    pub task: Option<String>,
    /// The regions that were scored.
    pub regions: Vec<Region>,
    /// The rule for empty regions.
    pub rule: EmptyRule,
    /// How far apart surfaces may be for NSD.
    pub tolerance_mm: f64,
    /// What the surface of a region is.
    pub surface: Surface,
    /// The cases by name.
    pub cases: Vec<CaseScores>,
    /// References without a prediction that were left out.
    pub skipped: Vec<String>,
    /// What a user should know about the files, such as two voxel sizes in one header.
    pub warnings: Vec<String>,
}

/// One case's scores.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseScores {
    /// The case's name.
    pub name: String,
    /// Whether there was a prediction; without one the scores are the rule's worst.
    pub has_prediction: bool,
    /// For each region its scores.
    pub scores: Vec<Scores>,
    /// For each region the scores over its lesions, where those were asked for.
    pub lesions: Option<Vec<LesionScores>>,
}

/// Scores predictions against references: two files, or two folders that hold files of the same
/// names, or a folder and a data set (see `rewind evaluate --help`). Cases are scored in parallel, as many at once as memory
/// allows.
///
/// # Errors
/// Names every file that cannot be compared, every prediction without reference, and, unless
/// [`Options::missing`] says otherwise, every reference without prediction.
pub fn evaluate(predicted: &Path, reference: &Path, options: &Options) -> Result<Evaluation> {
    let mut files = pairs::find(predicted, reference, options.task.as_ref())?;
    let without = |files: &Files| files.predicted.is_none();
    let names: Vec<String> = files.iter().filter(|f| without(f)).map(|f| f.name.clone()).collect();
    ensure!(names.len() < files.len(), "expected predictions of these references, found none");
    let mut skipped = Vec::new();
    match options.missing {
        Missing::Worst => {}
        Missing::Skip => {
            files.retain(|files| !without(files));
            skipped = names;
        }
        Missing::Refuse => ensure!(
            names.is_empty(),
            "expected a prediction for each of {} references, found none for {}:\n  {}\n\
             --missing worst scores them as the worst, --missing skip leaves them out",
            files.len(),
            names.len(),
            names.join("\n  ")
        ),
    }
    let budget = Budget::new(WHOLE_BYTES);
    let regions = match &options.task {
        Some(task) => task.regions.clone(),
        None => task::regions_present(&files, &budget)?,
    };
    let warnings = WarningCounts::default();
    let cases = for_all("scoring", &files, |files| {
        score_case(files, &regions, options, &budget, &warnings)
    })?;
    let Settings { rule, tolerance_mm, surface } = options.settings;
    let task = options.task.as_ref().map(|task| task.name.clone());
    let warnings = warnings.lines();
    Ok(Evaluation { task, regions, rule, tolerance_mm, surface, cases, skipped, warnings })
}

/// Does something for every case in parallel, and lists all that fail.
fn for_all<T: Send>(
    what: &str,
    files: &[Files],
    work: impl Fn(&Files) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let bar = progress::bar(what, files.len() as u64);
    let work = |files: &Files| {
        let done = work(files);
        bar.inc(1);
        done
    };
    let results: Vec<Result<T>> = files.par_iter().map(work).collect();
    bar.finish_and_clear();
    let failed = results.iter().filter_map(|result| result.as_ref().err());
    let failed: Vec<String> = failed.map(|error| format!("  {error:#}")).collect();
    ensure!(
        failed.is_empty(),
        "{} of {} cases cannot be compared:\n{}",
        failed.len(),
        files.len(),
        failed.join("\n")
    );
    results.into_iter().collect()
}

fn score_case(
    files: &Files,
    regions: &[Region],
    options: &Options,
    budget: &Budget,
    warnings: &WarningCounts,
) -> Result<CaseScores> {
    let scoring = |voxels: u64, _| voxels.saturating_mul(BYTES_PER_VOXEL);
    let mut needed = ScanBytes::working_bytes(&files.reference, scoring)?;
    if let Some(file) = &files.predicted {
        // On the reference's grid, or refused.
        needed += ScanBytes::working_bytes(file, |_, _| 0)?;
    }
    let _held = budget.take(needed);
    let reference = read_labels(&files.reference, None, options, warnings)?;
    let settings = &options.settings;
    let Some(file) = &files.predicted else {
        let scores =
            regions.iter().map(|r| metrics::missing_scores(&reference, &r.labels, settings));
        let lesions = regions.iter().map(|r| missing_lesions(&reference, &r.labels));
        return Ok(CaseScores {
            name: files.name.clone(),
            has_prediction: false,
            scores: scores.collect(),
            lesions: options.lesion_wise.then(|| lesions.collect()),
        });
    };
    let predicted = read_labels(file, Some(reference.grid()), options, warnings)?;
    let scores = regions.iter().map(|r| score(&predicted, &reference, &r.labels, settings));
    let lesions =
        regions.iter().map(|r| lesion_scores(&predicted, &reference, &r.labels, settings.surface));
    Ok(CaseScores {
        name: files.name.clone(),
        has_prediction: true,
        scores: scores.collect(),
        lesions: options.lesion_wise.then(|| lesions.collect()),
    })
}

/// As a message that ends with the file, without a source that would be told once more.
fn in_file(file: &Path) -> impl Fn(model_core::Error) -> anyhow::Error {
    move |error| anyhow::Error::msg(error.in_file(file.display().to_string()).to_string())
}

/// A label map on the grid that is given, whose codes are of the task's scheme, where there is one.
fn read_labels(
    file: &Path,
    grid: Option<&Grid>,
    options: &Options,
    warnings: &WarningCounts,
) -> Result<LabelMap> {
    let bytes = ScanBytes::read(file)?;
    let reader = bytes.open().map_err(in_file(file))?;
    let grid = grid.unwrap_or(reader.grid()).clone();
    let (map, found) = reader.labels_on(&grid, options.tolerance_voxels).map_err(in_file(file))?;
    found.iter().for_each(|text| warnings.add(text, file));
    if let Some(task) = &options.task {
        task.check_codes(map.labels()).map_err(in_file(file))?;
    }
    Ok(map)
}

impl Evaluation {
    /// Each region's Dice over the cases.
    pub fn summaries(&self) -> Vec<Summary> {
        (0..self.regions.len()).map(|region| self.summary(region, &MEASURES[0])).collect()
    }

    /// One measure of one region over the cases.
    pub fn summary(&self, region: usize, measure: &Measure<Scores>) -> Summary {
        let values = self.cases.iter().map(|case| (measure.of)(&case.scores[region]));
        Summary::from_scores(&values.collect::<Vec<f64>>())
    }

    /// One measure of one region over the cases' lesions; none where those were not scored.
    pub fn lesion_summary(
        &self,
        region: usize,
        measure: &Measure<LesionScores>,
    ) -> Option<Summary> {
        let value = |case: &CaseScores| Some((measure.of)(&case.lesions.as_ref()?[region]));
        let values = self.cases.iter().map(value).collect::<Option<Vec<f64>>>()?;
        Some(Summary::from_scores(&values))
    }

    /// Writes every case's scores as CSV, a row for each case and region; a score that the rule does
    /// not give is an empty field.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_csv(&self, file: &Path) -> Result<()> {
        outputs::write(Output::ScoresCsv, file, &self.csv()?)
    }

    /// Writes all scores, their summary and definitions as JSON; a score that the rule does not give
    /// is null.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_json(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.json()).context("cannot write as JSON")?;
        outputs::write(Output::ScoresJson, file, text.as_bytes())
    }
}
