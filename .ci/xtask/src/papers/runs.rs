//! One training and what it reached, kept in a file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use xshell::Cmd;

use super::measured::Measured;
use super::variants::{Changes, DataSet, VARIANTS, Variant};
use crate::command::run;
use crate::steps::Steps;
use crate::workspace::Workspace;

/// The steps of a training with patches, as `trainer/configs/experiment/` has them.
const STEPS: f64 = 400.0;

/// What one training reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    pub fn find(
        &mut self,
        measured: &Measured,
        set: &DataSet,
        variant: &Variant,
        seed: u64,
    ) -> Result<()> {
        if let Some(found) = measured.get(&key(set, variant.name, seed)) {
            let result = serde_json::from_value(found.clone())?;
            self.found.entry((set.name, variant.name)).or_default().push(result);
        }
        Ok(())
    }

    /// Trains and measures what was not measured before.
    ///
    /// # Errors
    /// If a command fails.
    pub fn measure(
        &self,
        measured: &mut Measured,
        steps: &mut Steps,
        title: &str,
        set: &DataSet,
        variant: &Variant,
        seed: u64,
    ) -> Result<()> {
        let key = key(set, variant.name, seed);
        if measured.get(&key).is_some() {
            return Ok(());
        }
        let result = steps.run(title, || {
            self.train(set, variant, seed)?;
            self.scores(set, variant, seed)
        })?;
        measured.insert(key, serde_json::to_value(result)?)
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

    /// Trains a network, unless its run is complete, and returns the run.
    ///
    /// # Errors
    /// If the training fails.
    pub fn train(&self, set: &DataSet, variant: &Variant, seed: u64) -> Result<PathBuf> {
        let out = run_folder(self.folder, set, variant.name, seed).join("run");
        let configs = "trainer/configs/experiment";
        let mut train = self.rewind("train", set).arg("--data").arg(self.data.join(set.name));
        train = train.args(["--config", &format!("{configs}/{}.toml", set.name)]);
        train = train.args(["--config", &format!("{configs}/networks/{}.toml", variant.network)]);
        for setting in self.settings(set, variant)? {
            train = train.args(["--set", &setting]);
        }
        let seed = seed.to_string();
        run(train.args(["--seed", &seed, "--device", "cpu", "--out"]).arg(&out))?;
        Ok(out)
    }

    fn scores(&self, set: &DataSet, variant: &Variant, seed: u64) -> Result<RunResult> {
        let out = run_folder(self.folder, set, variant.name, seed).join("run");
        let scores = self.held_out_scores(set, std::slice::from_ref(&out), &[])?;
        let plan = self.workspace.rewind().arg("plan").arg("--config").arg(out.join("train.toml"));
        let [channels, outputs] = set.channels;
        let plan = plan.args(["--channels", channels, "--outputs", outputs, "--device", "cpu"]);
        let plan: Value = serde_json::from_str(&plan.arg("--json").quiet().read()?)?;
        let of_branch = plan["plan"]["branch"]["parameters"].as_f64().unwrap_or(0.0);
        let (curve, step_secs) = history(&out.join("metrics.csv"))?;
        Ok(RunResult {
            scores,
            curve,
            step_secs,
            parameters: number(&plan["plan"]["parameters"])? - of_branch,
            multiply_adds: number(&plan["plan"]["forward_multiply_adds"])?,
        })
    }

    /// Segments the held-out cases, and returns Dice, HD95 and HD in mm, averaged over the regions.
    ///
    /// # Errors
    /// If a command fails.
    pub fn held_out_scores(
        &self,
        set: &DataSet,
        models: &[PathBuf],
        options: &[&str],
    ) -> Result<[f64; 3]> {
        let (own, data) = (self.folder.join(set.name), self.data.join(set.name));
        let (predicted, json) = (own.join("predicted"), own.join("scores.json"));
        if predicted.exists() {
            fs::remove_dir_all(&predicted)?;
        }
        let predict = self.workspace.rewind().arg("predict").arg("--model").args(models);
        let predict = predict.arg("--data").arg(&data).args(["--split", "held-out"]);
        run(predict.args(options).args(["--device", "cpu", "--out"]).arg(&predicted))?;
        let evaluate = self.rewind("evaluate", set).arg(&predicted).arg(&data);
        run(evaluate.args(["--missing", "skip", "--json"]).arg(&json))?;
        let found: Value = serde_json::from_slice(&fs::read(json)?)?;
        let regions = found["regions"].as_array().context("expected regions in the scores")?;
        let mean = |measure: &str| -> Result<f64> {
            let means = regions.iter().map(|region| number(&region["summary"][measure]["mean"]));
            Ok(means.sum::<Result<f64>>()? / regions.len() as f64)
        };
        Ok([mean("dice")?, mean("hd95_mm")?, mean("hd_mm")?])
    }

    /// Measures what tells the networks of an ensemble apart, on the training cases.
    ///
    /// # Errors
    /// If the command fails.
    pub fn profile(&self, set: &DataSet, models: &[PathBuf]) -> Result<PathBuf> {
        let file = self.folder.join(set.name).join("profile.json");
        let profile = self.rewind("profile", set).arg("--models").args(models);
        let profile = profile.arg("--data").arg(self.data.join(set.name));
        run(profile.args(["--device", "cpu", "--out"]).arg(&file))?;
        Ok(file)
    }

    /// A command of `rewind` on a data set, with its task.
    fn rewind(&self, command: &str, set: &DataSet) -> Cmd<'a> {
        let rewind = self.workspace.rewind().arg(command);
        match set.task {
            Some(task) => rewind.args(["--task", task]),
            None => rewind,
        }
    }
}

/// Returns the name of a training among what was measured.
fn key(set: &DataSet, variant: &str, seed: u64) -> String {
    format!("{}, {variant}, seed {seed}", set.name)
}

/// Returns the folder of a training.
fn run_folder(folder: &Path, set: &DataSet, variant: &str, seed: u64) -> PathBuf {
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
    }
}
