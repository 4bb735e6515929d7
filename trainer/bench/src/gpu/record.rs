//! What a stage has found so far: a file for programs, and one for people.

use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use model_core::Score;
use model_core::metrics::Summary;
use serde::{Deserialize, Serialize};

use super::child::Found;
use super::items::Item;
use trainer_run::files::outputs::{self, Output};
use trainer_run::{DISCLAIMER, files};

/// The largest record that is read.
const MAX_BYTES: u64 = 16 << 20;

/// What an item has given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The item's name.
    pub name: String,
    /// Its command.
    pub command: String,
    /// When it ended.
    pub date: String,
    /// How long its last process took.
    pub secs: f64,
    /// What it printed.
    pub text: String,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// The held-out scores of a training.
    pub scores: Vec<Score>,
}

/// The results of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The stage.
    pub stage: String,
    /// On what.
    pub device: String,
    /// The program's version.
    pub code_version: String,
    /// Whether sizes are small ones, to see that everything runs.
    pub rehearsal: bool,
    /// In order.
    pub outcomes: Vec<Outcome>,
}

impl Outcome {
    /// Of a process that ended by itself.
    pub fn new(item: &Item, started: Instant, found: Found) -> Outcome {
        let (text, error) = match found.text {
            Ok(text) => (text, None),
            Err(error) => (String::new(), Some(error)),
        };
        Outcome {
            name: item.name.clone(),
            command: format!("rewind {}", shown(&item.args)),
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            secs: started.elapsed().as_secs_f64(),
            text: text.replace(DISCLAIMER, "").trim().to_string(),
            error,
            scores: Vec::new(),
        }
    }

    /// Of one that did not.
    pub fn failed(item: &Item, started: Instant, why: String) -> Outcome {
        Outcome::new(item, started, Found { text: Err(why) })
    }
}

/// Arguments as a line.
fn shown(args: &[String]) -> String {
    let quoted = |arg: &String| match arg.contains(' ') {
        true => format!("{arg:?}"),
        false => arg.clone(),
    };
    args.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

impl Record {
    /// The record in a folder, or a new one.
    ///
    /// # Errors
    /// When the file there is none, or one of another device or size.
    pub fn open(folder: &Path, stage: &str, device: &str, rehearsal: bool) -> Result<Record> {
        let record = Record {
            stage: stage.into(),
            device: device.into(),
            code_version: env!("CARGO_PKG_VERSION").into(),
            rehearsal,
            outcomes: Vec::new(),
        };
        let file = record.file(folder, "json");
        if !file.exists() {
            return Ok(record);
        }
        let bytes = files::read(&file, MAX_BYTES)?;
        let about = || format!("expected the results of a stage in {}", file.display());
        let found: Record = serde_json::from_slice(&bytes).with_context(about)?;
        let empty = Record { outcomes: Vec::new(), ..found.clone() };
        ensure!(
            empty == record,
            "expected results of {} on {} (version {}, rehearsal: {}), found those of {} on {} \
             (version {}, rehearsal: {}): {}",
            record.stage,
            record.device,
            record.code_version,
            record.rehearsal,
            found.stage,
            found.device,
            found.code_version,
            found.rehearsal,
            file.display()
        );
        Ok(found)
    }

    /// Whether an item has been done.
    pub fn has(&self, name: &str) -> bool {
        self.outcomes.iter().any(|outcome| outcome.name == name)
    }

    /// Adds what one has given.
    pub fn push(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
    }

    /// Where its file with this ending is.
    pub fn file(&self, folder: &Path, ending: &str) -> PathBuf {
        folder.join(format!("{}.{ending}", self.stage))
    }

    /// Writes both files.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let markdown = self.markdown();
        outputs::write(Output::Benchmark, &self.file(folder, "md"), markdown.as_bytes())?;
        files::write(&self.file(folder, "json"), &serde_json::to_vec_pretty(self)?)
    }

    fn markdown(&self) -> String {
        let Record { stage, device, code_version, rehearsal, .. } = self;
        let mut text =
            format!("# {stage}, on {device}\n\n_{DISCLAIMER}_\n\nVersion {code_version}.");
        if *rehearsal {
            text += " A rehearsal: sizes are small, and numbers mean nothing.";
        }
        text += &self.scores();
        for outcome in &self.outcomes {
            let Outcome { name, command, date, secs, text: found, error, .. } = outcome;
            text += &format!("\n\n## {name}\n\n`{command}`, {date}, {secs:.0} s\n\n{found}");
            if let Some(error) = error {
                text += &format!("\n**Failed:**\n\n```text\n{error}\n```");
            }
        }
        text + "\n"
    }

    /// The trainings' scores as one table.
    fn scores(&self) -> String {
        let trained: Vec<&Outcome> =
            self.outcomes.iter().filter(|o| !o.scores.is_empty()).collect();
        let Some(first) = trained.first() else { return String::new() };
        let regions: Vec<&str> = first.scores.iter().map(|s| s.region.as_str()).collect();
        let mut text = String::from("\n\nHeld-out Dice:\n\n| |");
        regions.iter().for_each(|region| text += &format!(" {region} |"));
        text += &format!(" n |\n|{}\n", "---|".repeat(regions.len() + 2));
        for outcome in &trained {
            text += &format!("| {} |", outcome.name);
            outcome.scores.iter().for_each(|score| text += &format!(" {:.4} |", score.dice));
            text += &format!(" {} |\n", outcome.scores.first().map_or(0, |score| score.n));
        }
        // Of the same kind: the folds, or the seeds of one precision.
        let kind = |outcome: &&Outcome| outcome.name.split(',').next().map(String::from);
        let mut kinds: Vec<Vec<&Outcome>> = Vec::new();
        for outcome in trained {
            let is_fold = outcome.name.starts_with("fold");
            match kinds.last_mut() {
                Some(last) if is_fold || kind(&last[0]) == kind(&outcome) => last.push(outcome),
                _ => kinds.push(vec![outcome]),
            }
        }
        for same in kinds {
            let first = same[0].name.split(',').next().unwrap_or_default();
            let name = if first.starts_with("fold") { "folds" } else { first };
            text += &format!("| {name}: mean ± deviation |");
            for number in 0..regions.len() {
                let values = same.iter().filter_map(|o| o.scores.get(number)).map(|s| s.dice);
                let values: Vec<f64> = values.collect();
                let Summary { mean, deviation, .. } = Summary::from_scores(&values);
                text += &format!(" {mean:.4} ± {deviation:.4} |");
            }
            let n: usize = same.iter().filter_map(|o| o.scores.first()).map(|s| s.n).sum();
            text += &format!(" {n} |\n");
        }
        text
    }
}
