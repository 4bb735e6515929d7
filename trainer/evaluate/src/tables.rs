//! An evaluation as CSV and as JSON.

use anyhow::Result;
use model_core::metrics::{LesionScores, Scores, Summary};
use serde::Serialize;

use super::{Evaluation, LESION_MEASURES, REGION_MEASURES};
use trainer_run::DISCLAIMER;

/// The version of the JSON format.
const VERSION: u32 = 1;

/// An evaluation as JSON.
#[derive(Serialize)]
pub(super) struct JsonEvaluation<'a> {
    version: u32,
    disclaimer: &'static str,
    software: &'static str,
    task: Option<&'a str>,
    empty_rule: &'static str,
    empty_rule_means: &'static str,
    tolerance_mm: f64,
    surface: &'static str,
    definitions: serde_json::Map<String, serde_json::Value>,
    regions: Vec<JsonRegion<'a>>,
    mean_dice: f64,
    skipped: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
    cases: Vec<JsonCase<'a>>,
}

#[derive(Serialize)]
struct JsonRegion<'a> {
    name: &'a str,
    labels: &'a [u8],
    summary: serde_json::Map<String, serde_json::Value>,
}

#[derive(Serialize)]
struct JsonCase<'a> {
    name: &'a str,
    has_prediction: bool,
    regions: Vec<JsonScores<'a>>,
}

#[derive(Serialize)]
struct JsonScores<'a> {
    region: &'a str,
    #[serde(flatten)]
    scores: &'a Scores,
    #[serde(skip_serializing_if = "Option::is_none")]
    lesions: Option<&'a LesionScores>,
}

fn summary(summary: Summary) -> serde_json::Value {
    let Summary { n, mean, median, deviation, min, max } = summary;
    serde_json::json!({
        "n": n, "mean": mean, "median": median, "standard_deviation": deviation, "min": min,
        "max": max,
    })
}

impl Evaluation {
    /// Returns the mean over the regions of their mean Dice. NaN if a region has no score in any
    /// case.
    pub fn mean_dice(&self) -> f64 {
        let summaries = self.summaries();
        summaries.iter().map(|summary| summary.mean).sum::<f64>() / summaries.len() as f64
    }

    pub(super) fn json(&self) -> JsonEvaluation<'_> {
        let regions = self.regions.iter().enumerate().map(|(n, region)| {
            let scores = REGION_MEASURES
                .iter()
                .map(|measure| (measure.name.to_string(), summary(self.summary(n, measure))));
            let lesions = LESION_MEASURES.iter().filter_map(|measure| {
                Some((measure.name.to_string(), summary(self.lesion_summary(n, measure)?)))
            });
            let summary = scores.chain(lesions).collect();
            JsonRegion { name: &region.name, labels: &region.labels, summary }
        });
        let cases = self.cases.iter().map(|case| JsonCase {
            name: &case.name,
            has_prediction: case.has_prediction,
            regions: (self.regions.iter().zip(&case.scores).enumerate())
                .map(|(n, (region, scores))| JsonScores {
                    region: &region.name,
                    scores,
                    lesions: case.lesions.as_ref().map(|lesions| &lesions[n]),
                })
                .collect(),
        });
        let definitions =
            self.surface.definitions().map(|(name, text)| (name.to_string(), text.into()));
        JsonEvaluation {
            version: VERSION,
            disclaimer: DISCLAIMER,
            software: concat!("rewind ", env!("CARGO_PKG_VERSION")),
            task: self.task.as_deref(),
            empty_rule: self.rule.name(),
            empty_rule_means: self.rule.describe(),
            tolerance_mm: self.tolerance_mm,
            surface: self.surface.name(),
            definitions: definitions.into_iter().collect(),
            regions: regions.collect(),
            mean_dice: self.mean_dice(),
            skipped: &self.skipped,
            warnings: &self.warnings,
            cases: cases.collect(),
        }
    }

    pub(super) fn csv(&self) -> Result<Vec<u8>> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        let has_lesions = self.cases.iter().any(|case| case.lesions.is_some());
        let mut header = vec!["case", "region"];
        header.extend(REGION_MEASURES.iter().map(|measure| measure.name));
        if has_lesions {
            header.extend(LESION_MEASURES.iter().map(|measure| measure.name));
            header.extend(["num_lesions", "num_missed", "num_false_positives", "num_small"]);
        }
        header.extend(["has_prediction", "empty_rule", "tolerance_mm", "surface"]);
        csv.write_record(&header)?;
        for case in &self.cases {
            for (n, (region, scores)) in self.regions.iter().zip(&case.scores).enumerate() {
                let mut fields = vec![case.name.clone(), region.name.clone()];
                fields
                    .extend(REGION_MEASURES.iter().map(|measure| number((measure.value)(scores))));
                if let Some(lesions) = case.lesions.as_ref().map(|lesions| &lesions[n]) {
                    let measures = LESION_MEASURES.iter();
                    fields.extend(measures.map(|measure| number((measure.value)(lesions))));
                    let counts = [
                        lesions.num_lesions,
                        lesions.num_missed,
                        lesions.num_false_positives,
                        lesions.num_small,
                    ];
                    fields.extend(counts.map(|count| count.to_string()));
                }
                fields.push(case.has_prediction.to_string());
                let settings =
                    [self.rule.name(), &self.tolerance_mm.to_string(), self.surface.name()];
                fields.extend(settings.map(String::from));
                csv.write_record(&fields)?;
            }
        }
        Ok(csv.into_inner()?)
    }
}

/// Formats a score with six decimals. A missing score is an empty field.
fn number(value: f64) -> String {
    if value.is_nan() { String::new() } else { format!("{value:.6}") }
}
