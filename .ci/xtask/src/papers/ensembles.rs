//! Three networks that differ in their initial weights, alone and as ensembles (Pendse et al. 2020).

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::runs::{evaluate, number, run_folder};
use super::tables::{Table, mean_and_deviation};
use super::variants::DataSet;
use crate::command::run;
use crate::workspace::Workspace;

/// The networks of an ensemble.
pub const MEMBERS: u64 = 3;

/// The network of every member.
const NETWORK: &str = "mbconv-base";

/// What `rewind predict --ensemble` offers.
const KINDS: [&str; 3] = ["mean", "similarity", "literal"];

/// Dice, HD95 and HD of every member alone, then of every kind of ensemble.
pub type Scores = Vec<(String, [f64; 3])>;

const RESULT: &str = "ensembles.json";

/// Returns what was measured before.
///
/// # Errors
/// If the file cannot be used.
pub fn find(folder: &Path, set: &DataSet) -> Result<Option<Scores>> {
    let file = folder.join(set.name).join(RESULT);
    if !file.exists() {
        return Ok(None);
    }
    let found: Value = serde_json::from_slice(&fs::read(&file)?)?;
    let entries = found.as_array().context("expected a list of scores")?;
    let score = |entry: &Value| -> Result<(String, [f64; 3])> {
        let name = entry["name"].as_str().context("expected a name")?.to_string();
        Ok((name, [number(&entry["dice"])?, number(&entry["hd95_mm"])?, number(&entry["hd_mm"])?]))
    };
    entries.iter().map(score).collect::<Result<Scores>>().map(Some)
}

/// Measures the members and the ensembles on the held-out cases. The profiles are of the training
/// cases, as in the paper.
///
/// # Errors
/// If a command fails.
pub fn measure(workspace: &Workspace, folder: &Path, data: &Path, set: &DataSet) -> Result<Scores> {
    if let Some(found) = find(folder, set)? {
        return Ok(found);
    }
    let (own, data) = (folder.join(set.name), data.join(set.name));
    let runs = (1..=MEMBERS).map(|seed| run_folder(folder, set, NETWORK, seed).join("run"));
    let runs: Vec<_> = runs.collect();
    let profile = own.join("profile.json");
    let mut measure = workspace.rewind().arg("profile").arg("--models").args(&runs);
    if let Some(task) = set.task {
        measure = measure.args(["--task", task]);
    }
    run(measure.arg("--data").arg(&data).args(["--device", "cpu", "--out"]).arg(&profile))?;

    let mut scores = Scores::new();
    let predicted = own.join("predicted");
    let mut score =
        |name: String, models: &[std::path::PathBuf], kind: Option<&str>| -> Result<()> {
            if predicted.exists() {
                fs::remove_dir_all(&predicted)?;
            }
            let mut predict = workspace.rewind().arg("predict").arg("--model").args(models);
            predict = predict.arg("--data").arg(&data).args(["--split", "held-out"]);
            if let Some(kind) = kind {
                predict = predict.args(["--ensemble", kind]);
                if kind != "mean" {
                    predict = predict.arg("--profile").arg(&profile);
                }
            }
            run(predict.args(["--device", "cpu", "--out"]).arg(&predicted))?;
            let found = evaluate(workspace, set, &predicted, &data, &own.join("scores.json"))?;
            scores.push((name, found));
            Ok(())
        };
    for (n, model) in runs.iter().enumerate() {
        score(format!("network {}", n + 1), std::slice::from_ref(model), None)?;
    }
    for kind in KINDS {
        score(kind.into(), &runs, Some(kind))?;
    }
    let entry = |(name, [dice, hd95_mm, hd_mm]): &(String, [f64; 3])| json!({ "name": name, "dice": dice, "hd95_mm": hd95_mm, "hd_mm": hd_mm });
    let json = Value::Array(scores.iter().map(entry).collect());
    fs::write(own.join(RESULT), format!("{json:#}\n"))?;
    Ok(scores)
}

/// Returns the table of all data sets.
pub fn table(measured: &[(&str, Scores)]) -> Table {
    let mut table = Table::new("ensembles", &["data", "", "Dice", "HD95, mm", "HD, mm"]);
    for (set, scores) in measured {
        let (alone, ensembles): (Vec<_>, Vec<_>) =
            scores.iter().partition(|(name, _)| name.starts_with("network"));
        let of = |n: usize| alone.iter().map(|(_, scores)| scores[n]).collect::<Vec<f64>>();
        table.row(vec![
            set.to_string(),
            "one network, mean of three".into(),
            mean_and_deviation(&of(0), 3),
            mean_and_deviation(&of(1), 2),
            mean_and_deviation(&of(2), 2),
        ]);
        for (name, [dice, hd95_mm, hd_mm]) in ensembles {
            table.row(vec![
                set.to_string(),
                format!("`{name}`"),
                format!("{dice:.3}"),
                format!("{hd95_mm:.2}"),
                format!("{hd_mm:.2}"),
            ]);
        }
    }
    table
}
