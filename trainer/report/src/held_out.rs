//! The results of a run's best weights on the held-out cases: `held_out.json` in the run's folder.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use model_core::metrics::{OddsCounts, Settings, Summary, score};
use model_core::{LabelMap, Task, formats::nifti};
use serde::{Deserialize, Serialize};

use trainer_run::files;
use trainer_run::run_folder::HELD_OUT;

/// The version of the file format that this code writes and reads.
pub const VERSION: u32 = 1;
/// The largest file that is read. It has room for many thousands of cases and a few pictures.
const MAX_BYTES: u64 = 256 << 20;

/// The results after training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeldOut {
    /// The version of the file format.
    pub version: u32,
    /// The step of the measured weights.
    pub steps: usize,
    /// Whether the cases are the training cases, because no case was held out.
    pub are_training_cases: bool,
    /// Whether the best of several validations on these cases chose the weights.
    pub chose_weights: bool,
    /// The name of the rule for empty regions.
    pub empty_rule: String,
    /// The tolerance of NSD, if NSD was measured.
    pub nsd_tolerance_mm: Option<f64>,
    /// The device that trained the network.
    pub device: String,
    /// The peak memory, if it is known.
    pub peak_bytes: Option<u64>,
    /// The scores of each case.
    pub cases: Vec<CaseResult>,
    /// For each region, the voxels by their predicted probability; empty if the cases are training
    /// cases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub odds: Vec<OddsCounts>,
    /// Pictures of the worst cases, the worst first.
    pub pictures: Vec<Picture>,
    /// A training case, to compare with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<PicturedCase>,
}

/// A case and its picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PicturedCase {
    /// The scores.
    pub case: CaseResult,
    /// The picture.
    pub picture: Picture,
}

/// The scores of a case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseResult {
    /// The case's name.
    pub name: String,
    /// The scores of each region, in the task's order.
    pub regions: Vec<RegionResult>,
    /// Warnings about the scan's geometry, each a sentence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The scores of a region in a case. A score is `None` if it was not measured, or if the rule for
/// empty regions defines none.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct RegionResult {
    /// Dice.
    pub dice: Option<f64>,
    /// The 95th percentile of the surface distances.
    pub hd95_mm: Option<f64>,
    /// Normalized surface Dice.
    pub nsd: Option<f64>,
    /// The volume of the prediction.
    pub predicted_ml: f64,
    /// The volume of the reference.
    pub reference_ml: f64,
}

/// A picture of a case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// The case's name.
    pub case: String,
    /// The description of the picture.
    pub caption: String,
    /// The bytes of a PNG file. JSON holds them as base64.
    #[serde(with = "as_base64")]
    pub png: Vec<u8>,
}

impl HeldOut {
    /// Writes the file atomically.
    ///
    /// # Errors
    /// Errors if the folder cannot be written to.
    pub fn save(&self, run: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self).expect("results are plain data");
        files::write(&run.join(HELD_OUT), json.as_bytes())
    }

    /// Reads the file of a run on this task. Returns `None` if the training has not ended.
    ///
    /// # Errors
    /// Errors if the file cannot be read, or is of another version or task.
    pub fn find(run: &Path, task: &Task) -> Result<Option<HeldOut>> {
        let file = run.join(HELD_OUT);
        if !file.exists() {
            return Ok(None);
        }
        let bytes = files::read(&file, MAX_BYTES)?;
        let held_out = HeldOut::parse(&bytes, task);
        held_out.map(Some).with_context(|| format!("cannot use {}", file.display()))
    }

    fn parse(bytes: &[u8], task: &Task) -> Result<HeldOut> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = serde_json::from_slice(bytes)?;
        ensure!(version == VERSION, "expected version {VERSION}, found {version}");
        let held_out: HeldOut = serde_json::from_slice(bytes)?;
        let training = held_out.training.as_ref();
        for case in held_out.cases.iter().chain(training.map(|training| &training.case)) {
            let (expected, found) = (task.regions.len(), case.regions.len());
            ensure!(
                expected == found,
                "expected {expected} regions, found {found} in {}",
                case.name
            );
        }
        let are_complete = [0, task.regions.len()].contains(&held_out.odds.len());
        ensure!(
            are_complete && held_out.odds.iter().all(OddsCounts::is_valid),
            "expected the counts of probabilities of {} regions",
            task.regions.len()
        );
        let pictures = held_out.pictures.iter().chain(training.map(|training| &training.picture));
        for Picture { case, png, .. } in pictures {
            ensure!(
                super::picture::png_size(png).is_some(),
                "expected a PNG as the picture of {case}"
            );
        }
        Ok(held_out)
    }

    /// Returns the summary of a region's score over the cases.
    pub fn summary(&self, region: usize, score: impl Fn(&RegionResult) -> Option<f64>) -> Summary {
        let scores = self.cases.iter().map(|case| score(&case.regions[region]).unwrap_or(f64::NAN));
        Summary::from_scores(&scores.collect::<Vec<f64>>())
    }
}

impl CaseResult {
    /// Scores a prediction.
    ///
    /// # Panics
    /// Panics if the two label maps are not on one grid.
    pub fn measure(
        name: &str,
        predicted: &LabelMap,
        reference: &LabelMap,
        task: &Task,
        settings: &Settings,
    ) -> CaseResult {
        let finite = |value: f64| value.is_finite().then_some(value);
        let region = |region: &model_core::Region| {
            let scores = score(predicted, reference, &region.labels, settings);
            RegionResult {
                dice: finite(scores.dice),
                hd95_mm: finite(scores.hd95_mm),
                nsd: finite(scores.nsd),
                predicted_ml: scores.predicted_ml,
                reference_ml: scores.reference_ml,
            }
        };
        CaseResult {
            name: name.into(),
            regions: task.regions.iter().map(region).collect(),
            warnings: nifti::warnings(&reference.grid().transforms),
        }
    }

    /// Returns the mean Dice of the regions, or `None` if no region has a score.
    pub fn dice(&self) -> Option<f64> {
        let scores: Vec<f64> = self.regions.iter().filter_map(|region| region.dice).collect();
        (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
    }
}

mod as_base64 {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use super::{BASE64_STANDARD, Engine};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64_STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        BASE64_STANDARD.decode(text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of version 1.
    const JSON: &str = r#"{"version": 1, "steps": 2000, "are_training_cases": false,
        "chose_weights": true, "empty_rule": "brats2023", "nsd_tolerance_mm": null,
        "device": "cpu", "peak_bytes": 1048576,
        "cases": [{"name": "a", "regions": [{"dice": 0.5, "hd95_mm": null, "nsd": null,
            "predicted_ml": 1.5, "reference_ml": 2.0}]}],
        "pictures": []}"#;

    fn task() -> Task {
        Task::exclusive("Test", vec!["MRI".into()], vec![(1, "core".to_string())]).unwrap()
    }

    #[test]
    fn results_of_the_first_version_are_read() {
        let held_out = HeldOut::parse(JSON.as_bytes(), &task()).unwrap();
        let core = &held_out.cases[0].regions[0];
        assert_eq!((held_out.steps, core.dice, core.hd95_mm), (2000, Some(0.5), None));
        let again = serde_json::to_vec(&held_out).unwrap();
        assert_eq!(HeldOut::parse(&again, &task()).unwrap(), held_out);
    }

    #[test]
    fn results_of_another_version_or_task_are_refused() {
        let picture = r#""pictures": [{"case": "a", "caption": "", "png": "PHNjcmlwdD4="}]"#;
        let cases = [
            (JSON.replace("\"version\": 1", "\"version\": 2"), "expected version 1, found 2"),
            (JSON.replace("\"pictures\": []", picture), "expected a PNG as the picture of a"),
            (JSON.replace("predicted_ml", "predicted"), "predicted_ml"),
            ("[]".into(), "expected struct Version"),
        ];
        for (json, expected) in cases {
            let error = format!("{:#}", HeldOut::parse(json.as_bytes(), &task()).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
        let two = Task::builtin("brats2023").unwrap();
        let error = HeldOut::parse(JSON.as_bytes(), &two).unwrap_err().to_string();
        assert_eq!(error, "expected 3 regions, found 1 in a");
    }

    #[test]
    fn a_case_without_any_score_has_no_dice() {
        let region = |dice| RegionResult { dice, ..RegionResult::default() };
        let case = |dice: &[Option<f64>]| CaseResult {
            name: String::new(),
            regions: dice.iter().copied().map(region).collect(),
            warnings: Vec::new(),
        };
        assert_eq!(case(&[Some(0.5), None, Some(1.0)]).dice(), Some(0.75));
        assert_eq!(case(&[None, None]).dice(), None);
    }
}
