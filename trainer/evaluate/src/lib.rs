//! Scores label maps against references: each region of each case, and a summary of the cases.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use model_core::metrics::{
    self, LesionScores, Scores, Settings, Summary, Surface, lesion_scores, missing_lesions, score,
};
use model_core::{EmptyRule, Region};

use trainer_data::data_set::{ScanBytes, WarningCounts};
use trainer_run::budget::Budget;
use trainer_run::files::outputs::{self, Output};
use trainer_run::reporter::Reporter;

mod label_files;
mod measure;
mod options;
mod pairs;
mod report;
mod tables;
mod task;

pub use measure::{LESION_MEASURES, Measure, REGION_MEASURES};
pub use options::{Missing, Options};
pub use task::find_task;

use label_files::{for_all_pairs, read_labels};
use pairs::CasePair;

/// The largest memory of the cases that are scored at once. A larger case is scored alone.
const MAX_BYTES_AT_ONCE: u64 = 4 << 30;

/// The memory for scoring a voxel, at most: two label maps, two masks, squared distances, a dilated
/// mask, and components and surfaces. A ragged region has nearly as many of these as voxels.
const BYTES_PER_VOXEL: u64 = 64;

/// The scores of all regions and cases.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The task's name, if there is a task.
    pub task: Option<String>,
    /// The regions that were scored.
    pub regions: Vec<Region>,
    /// The rule for empty regions.
    pub rule: EmptyRule,
    /// The largest distance at which surfaces agree, for NSD.
    pub tolerance_mm: f64,
    /// The definition of a region's surface.
    pub surface: Surface,
    /// The cases, ordered by name.
    pub cases: Vec<CaseScores>,
    /// The names of references without a prediction that were not scored.
    pub skipped: Vec<String>,
    /// Warnings about the files, such as two voxel sizes in one header.
    pub warnings: Vec<String>,
}

/// The scores of a case.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseScores {
    /// The case's name.
    pub name: String,
    /// Whether there was a prediction. Without one, the scores are the worst of the rule.
    pub has_prediction: bool,
    /// The scores of each region.
    pub scores: Vec<Scores>,
    /// The scores of each region's lesions, if lesions are scored.
    pub lesions: Option<Vec<LesionScores>>,
}

/// Scores predictions against references: two files, two folders with files of the same names, or a
/// folder and a data set. Cases are scored in parallel, as many at once as memory allows.
///
/// # Errors
/// Errors with every file that cannot be compared, with every prediction without a reference, and,
/// with [`Missing::Refuse`], with every reference without a prediction.
pub fn evaluate(
    predicted: &Path,
    reference: &Path,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Evaluation> {
    let mut pairs = pairs::find(predicted, reference, options.task.as_ref(), reporter)?;
    let missing = pairs.iter().filter(|pair| pair.predicted.is_none());
    let missing: Vec<String> = missing.map(|pair| pair.name.clone()).collect();
    ensure!(missing.len() < pairs.len(), "expected predictions of these references, found none");
    let mut skipped = Vec::new();
    match options.missing {
        Missing::Worst => {}
        Missing::Skip => {
            pairs.retain(|pair| pair.predicted.is_some());
            skipped = missing;
        }
        Missing::Refuse => ensure!(
            missing.is_empty(),
            "expected a prediction for each of {} references, found none for {}:\n  {}\n\
             --missing worst scores them as the worst, --missing skip leaves them out",
            pairs.len(),
            missing.len(),
            missing.join("\n  ")
        ),
    }
    let budget = Budget::new(MAX_BYTES_AT_ONCE);
    let regions = match &options.task {
        Some(task) => task.regions.clone(),
        None => task::regions_present(&pairs, &budget, reporter)?,
    };
    let warnings = WarningCounts::default();
    let scorer = CaseScorer { regions: &regions, options, budget: &budget, warnings: &warnings };
    let cases = for_all_pairs("scoring", &pairs, reporter, |pair| scorer.score(pair))?;
    let Settings { rule, tolerance_mm, surface } = options.settings;
    let task = options.task.as_ref().map(|task| task.name.clone());
    let warnings = warnings.lines();
    Ok(Evaluation { task, regions, rule, tolerance_mm, surface, cases, skipped, warnings })
}

/// Scores cases one by one.
struct CaseScorer<'a> {
    regions: &'a [Region],
    options: &'a Options,
    budget: &'a Budget,
    warnings: &'a WarningCounts,
}

impl CaseScorer<'_> {
    fn score(&self, pair: &CasePair) -> Result<CaseScores> {
        let scoring_bytes = |voxels: u64, _| voxels.saturating_mul(BYTES_PER_VOXEL);
        let mut needed_bytes = ScanBytes::working_bytes(&pair.reference, scoring_bytes)?;
        if let Some(file) = &pair.predicted {
            // The prediction has the reference's size, or is refused.
            needed_bytes += ScanBytes::working_bytes(file, |_, _| 0)?;
        }
        let _reserved = self.budget.take(needed_bytes);
        let Options { settings, lesion_wise, .. } = self.options;
        let reference = read_labels(&pair.reference, None, self.options, self.warnings)?;
        let regions = self.regions.iter().map(|region| &region.labels[..]);
        let Some(file) = &pair.predicted else {
            let scores = regions.clone().map(|r| metrics::missing_scores(&reference, r, settings));
            let lesions = regions.map(|region| missing_lesions(&reference, region));
            return Ok(CaseScores {
                name: pair.name.clone(),
                has_prediction: false,
                scores: scores.collect(),
                lesions: lesion_wise.then(|| lesions.collect()),
            });
        };
        let predicted = read_labels(file, Some(reference.grid()), self.options, self.warnings)?;
        let scores = regions.clone().map(|r| score(&predicted, &reference, r, settings));
        let lesions = regions.map(|r| lesion_scores(&predicted, &reference, r, settings.surface));
        Ok(CaseScores {
            name: pair.name.clone(),
            has_prediction: true,
            scores: scores.collect(),
            lesions: lesion_wise.then(|| lesions.collect()),
        })
    }
}

impl Evaluation {
    /// Returns the summary of each region's Dice over the cases.
    pub fn summaries(&self) -> Vec<Summary> {
        (0..self.regions.len()).map(|region| self.summary(region, &REGION_MEASURES[0])).collect()
    }

    /// Returns the summary of a region's measure over the cases.
    pub fn summary(&self, region: usize, measure: &Measure<Scores>) -> Summary {
        let values = self.cases.iter().map(|case| (measure.value)(&case.scores[region]));
        Summary::from_scores(&values.collect::<Vec<f64>>())
    }

    /// Returns the summary of a lesion measure of a region over the cases, or `None` if lesions
    /// were not scored.
    pub fn lesion_summary(
        &self,
        region: usize,
        measure: &Measure<LesionScores>,
    ) -> Option<Summary> {
        let value = |case: &CaseScores| Some((measure.value)(&case.lesions.as_ref()?[region]));
        let values = self.cases.iter().map(value).collect::<Option<Vec<f64>>>()?;
        Some(Summary::from_scores(&values))
    }

    /// Writes the scores of all cases as CSV, with a row for each case and region. A missing score
    /// is an empty field.
    ///
    /// # Errors
    /// Errors if the file cannot be written.
    pub fn write_csv(&self, file: &Path) -> Result<()> {
        outputs::write(Output::ScoresCsv, file, &self.csv()?)
    }

    /// Writes all scores, their summaries and definitions as JSON. A missing score is null.
    ///
    /// # Errors
    /// Errors if the file cannot be written.
    pub fn write_json(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.json())
            .context("cannot write the scores as JSON")?;
        outputs::write(Output::ScoresJson, file, text.as_bytes())
    }
}
