//! One training and what it reached, kept in a file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use xshell::Cmd;

use super::variants::{Changes, DataSet, VARIANTS, Variant};
use crate::command::run;
use crate::steps::Steps;
use crate::workspace::Workspace;

/// The steps of a training with patches, as `trainer/configs/experiment/` has them.
const STEPS: f64 = 400.0;

/// What one training reached.
#[derive(Debug, Clone, PartialEq)]
pub struct RunResult {
    /// Dice, HD95 and HD in mm, averaged over the regions; by region and case
    /// `rewind evaluate` measured them.
    pub scores: [f64; 3],
    /// Dice of the validations, one each tenth of the training.
    pub curve: Vec<f64>,
    /// Seconds of a step.
    pub step_secs: f64,
    /// Parameters, without those that only training has.
    pub parameters: f64,
    /// Multiply-adds of a forward pass over one patch.
    pub multiply_adds: f64,
}

/// The results so far.
pub struct Results<'a> {
    workspace: &'a Workspace,
    folder: &'a Path,
    data: &'a Path,
    /// By data set and variant, one result a seed.
    found: BTreeMap<(&'static str, &'static str), Vec<RunResult>>,
}

impl<'a> Results<'a> {
    /// Returns no results; `folder` is that of all runs, `data` that of the data sets.
    pub fn new(workspace: &'a Workspace, folder: &'a Path, data: &'a Path) -> Results<'a> {
        Results { workspace, folder, data, found: BTreeMap::new() }
    }

    /// Returns a variant's results, one a seed.
    pub fn of(&self, set: &str, variant: &str) -> &[RunResult] {
        let found = self.found.iter().find(|((s, v), _)| *s == set && *v == variant);
        found.map_or(&[], |(_, results)| results)
    }

    /// Adds what was measured before.
    ///
    /// # Errors
    /// If the file cannot be used.
    pub fn find(&mut self, set: &DataSet, variant: &Variant, seed: u64) -> Result<()> {
        let file = run_folder(self.folder, set, variant.name, seed).join(RESULT);
        if file.exists() {
            let result = RunResult::read(&file)?;
            self.found.entry((set.name, variant.name)).or_default().push(result);
        }
        Ok(())
    }

    /// Adds what was measured before, or trains and measures.
    ///
    /// # Errors
    /// If a command fails.
    pub fn measure(
        &mut self,
        steps: &mut Steps,
        title: &str,
        set: &DataSet,
        variant: &Variant,
        seed: u64,
    ) -> Result<()> {
        let folder = run_folder(self.folder, set, variant.name, seed);
        if !folder.join(RESULT).exists() {
            let settings = self.settings(set, variant)?;
            steps.run(title, || self.train(set, variant, &settings, seed, &folder))?;
        }
        self.find(set, variant, seed)
    }

    /// Returns the changes of the settings.
    fn settings(&self, set: &DataSet, variant: &Variant) -> Result<Vec<String>> {
        let owned = |settings: &[&str]| settings.iter().map(|s| s.to_string()).collect();
        Ok(match variant.changes {
            Changes::None => Vec::new(),
            Changes::Settings(settings) => owned(settings),
            Changes::Whole => owned(set.whole),
            Changes::TimeOf(other) => {
                let secs = |name: &str| {
                    let found = self.of(set.name, name).first().map(|result| result.step_secs);
                    found.with_context(|| format!("{name} is measured first"))
                };
                let ratio = secs(other)? / secs(variant.network)?;
                let steps = (STEPS / 10.0 * ratio).round().max(1.0) * 10.0;
                vec![format!("steps={steps}"), format!("validate_every={}", steps / 10.0)]
            }
        })
    }

    fn train(
        &self,
        set: &DataSet,
        variant: &Variant,
        settings: &[String],
        seed: u64,
        folder: &Path,
    ) -> Result<()> {
        let (out, data) = (folder.join("run"), self.data.join(set.name));
        let configs = "trainer/configs/experiment";
        let mut train = self.workspace.rewind().arg("train").arg("--data").arg(&data);
        train = train.args(["--config", &format!("{configs}/{}.toml", set.name)]);
        train = train.args(["--config", &format!("{configs}/networks/{}.toml", variant.network)]);
        for setting in settings {
            train = train.args(["--set", setting]);
        }
        if let Some(task) = set.task {
            train = train.args(["--task", task]);
        }
        let seed = seed.to_string();
        run(train.args(["--seed", &seed, "--device", "cpu", "--out"]).arg(&out))?;

        let predicted = folder.join("predicted");
        if predicted.exists() {
            fs::remove_dir_all(&predicted)?;
        }
        let predict = self.workspace.rewind().arg("predict").arg("--model").arg(&out);
        let predict = predict.arg("--data").arg(&data).args(["--split", "held-out"]);
        run(predict.args(["--device", "cpu", "--out"]).arg(&predicted))?;
        let scores = evaluate(self.workspace, set, &predicted, &data, &folder.join("scores.json"))?;
        fs::remove_dir_all(&predicted)?;

        let plan = self.workspace.rewind().arg("plan").arg("--config").arg(out.join("train.toml"));
        let [channels, outputs] = set.channels;
        let plan = plan.args(["--channels", channels, "--outputs", outputs, "--device", "cpu"]);
        let plan: Value = serde_json::from_str(&plan.arg("--json").quiet().read()?)?;
        let of_branch = plan["plan"]["branch"]["parameters"].as_f64().unwrap_or(0.0);
        let (curve, step_secs) = history(&out.join("metrics.csv"))?;
        let result = RunResult {
            scores,
            curve,
            step_secs,
            parameters: number(&plan["plan"]["parameters"])? - of_branch,
            multiply_adds: number(&plan["plan"]["forward_multiply_adds"])?,
        };
        result.write(&folder.join(RESULT))
    }
}

/// Scores predictions: Dice, HD95 and HD in mm, averaged over the regions.
pub fn evaluate(
    workspace: &Workspace,
    set: &DataSet,
    predicted: &Path,
    data: &Path,
    json: &Path,
) -> Result<[f64; 3]> {
    let evaluate = workspace.rewind().arg("evaluate").arg(predicted).arg(data);
    let mut evaluate: Cmd = evaluate.args(["--missing", "skip", "--json"]).arg(json);
    if let Some(task) = set.task {
        evaluate = evaluate.args(["--task", task]);
    }
    run(evaluate)?;
    let found: Value = serde_json::from_slice(&fs::read(json)?)?;
    let regions = found["regions"].as_array().context("expected regions in the scores")?;
    let mean = |measure: &str| -> Result<f64> {
        let means = regions.iter().map(|region| number(&region["summary"][measure]["mean"]));
        Ok(means.sum::<Result<f64>>()? / regions.len() as f64)
    };
    Ok([mean("dice")?, mean("hd95_mm")?, mean("hd_mm")?])
}

/// The file with a run's result.
const RESULT: &str = "result.json";

/// Returns the folder of a training.
pub fn run_folder(folder: &Path, set: &DataSet, variant: &str, seed: u64) -> PathBuf {
    debug_assert!(VARIANTS.iter().any(|known| known.name == variant));
    folder.join(set.name).join(variant).join(format!("seed-{seed}"))
}

/// Returns a number, or an error that says what was found.
pub fn number(value: &Value) -> Result<f64> {
    value.as_f64().with_context(|| format!("expected a number, found {value}"))
}

/// Returns the Dice of the validations, and the median time of a step.
fn history(metrics: &Path) -> Result<(Vec<f64>, f64)> {
    let text = fs::read_to_string(metrics)?;
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().context("expected a header in metrics.csv")?;
    let column = |name: &str| {
        let found = header.iter().position(|column| *column == name);
        found.with_context(|| format!("expected the column {name} in metrics.csv"))
    };
    let (step, dice, secs) = (column("step")?, column("held_out_dice")?, column("elapsed_secs")?);
    let rows: Vec<Vec<&str>> = lines.collect();
    let value = |row: &[&str], column: usize| row.get(column).and_then(|v| v.parse::<f64>().ok());
    let curve = rows.iter().filter_map(|row| value(row, dice)).collect();
    let times: Vec<[f64; 2]> =
        rows.iter().filter_map(|row| Some([value(row, step)?, value(row, secs)?])).collect();
    let mut steps: Vec<f64> = times
        .windows(2)
        .filter(|pair| pair[1][0] > pair[0][0])
        .map(|pair| (pair[1][1] - pair[0][1]) / (pair[1][0] - pair[0][0]))
        .collect();
    steps.sort_by(f64::total_cmp);
    let median = *steps.get(steps.len() / 2).context("expected rows in metrics.csv")?;
    Ok((curve, median))
}

impl RunResult {
    fn read(file: &Path) -> Result<RunResult> {
        let about = || format!("cannot use {}", file.display());
        let found: Value = serde_json::from_slice(&fs::read(file)?).with_context(about)?;
        let list = |key: &str| -> Result<Vec<f64>> {
            found[key].as_array().into_iter().flatten().map(number).collect()
        };
        let scores = list("scores").with_context(about)?;
        Ok(RunResult {
            scores: scores.try_into().ok().with_context(about)?,
            curve: list("curve")?,
            step_secs: number(&found["step_secs"])?,
            parameters: number(&found["parameters"])?,
            multiply_adds: number(&found["multiply_adds"])?,
        })
    }

    fn write(&self, file: &Path) -> Result<()> {
        let json = json!({
            "scores": self.scores,
            "curve": self.curve,
            "step_secs": self.step_secs,
            "parameters": self.parameters,
            "multiply_adds": self.multiply_adds,
        });
        Ok(fs::write(file, format!("{json:#}\n"))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_has_validations_and_the_median_time_of_a_step() {
        let folder = std::env::temp_dir().join("rewind-xtask-history");
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("metrics.csv");
        let text = "step,held_out_dice,elapsed_secs\n10,,2.0\n20,0.5,4.0\n30,,9.0\n40,0.75,11.0\n";
        fs::write(&file, text).unwrap();
        assert_eq!(history(&file).unwrap(), (vec![0.5, 0.75], 0.2));
        let result = RunResult {
            scores: [0.5, 4.0, 8.0],
            curve: vec![0.25],
            step_secs: 0.5,
            parameters: 7.0,
            multiply_adds: 9.0,
        };
        result.write(&file).unwrap();
        assert_eq!(RunResult::read(&file).unwrap(), result);
    }
}
