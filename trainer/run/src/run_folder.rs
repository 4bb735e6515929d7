//! The folder of a run: `run.json` describes the run, `train.toml` holds its settings,
//! `last.safetensors` and `previous.safetensors` are its checkpoints, `best.safetensors` is the bundle
//! of its best validation, and `metrics.csv` its history.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use model_core::{Bundle, Task, UNetConfig};
use serde::{Deserialize, Serialize};

use crate::config::BY_CASE;
use crate::config::TrainConfig;
use crate::files;
use crate::files::outputs::SETTINGS_MARK;

/// The bundle of the best validation.
pub const BEST: &str = "best.safetensors";
/// The scores of the measured cases, at the end of a run.
pub const HELD_OUT: &str = "held_out.json";
/// The report of a run.
pub const REPORT: &str = "report.html";
/// The description of a run.
pub const RUN: &str = "run.json";
/// The settings of a run.
pub const SETTINGS: &str = "train.toml";
/// The version of the description that this code writes.
pub const VERSION: u32 = 3;

/// The oldest version that is read. It states `reversible` where newer ones state `backward`.
const OLDEST_VERSION: u32 = 2;
/// The largest `run.json` that is read.
const MAX_BYTES: u64 = 64 << 20;

/// The description of a run: written at its start, compared on resuming.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Version of the description.
    pub version: u32,
    /// Version of the code that started the run.
    pub code_version: String,
    /// The settings, in a separate file that can start another run.
    #[serde(skip)]
    pub config: TrainConfig,
    /// The task.
    pub task: Task,
    /// The task of `--task`, if the data set needed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_name: Option<String>,
    /// The network.
    pub network: UNetConfig,
    /// The data set's name.
    pub data: String,
    /// The data set's license.
    #[serde(rename = "licence")]
    pub license: String,
    /// SHA-256 over the data set's files.
    pub data_fingerprint: String,
    /// The names of the training cases.
    pub training: Vec<String>,
    /// The names of the held-out cases.
    pub held_out: Vec<String>,
    /// The cases of each patient with several cases; `None` in runs of versions that did not keep a
    /// patient's cases together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patients: Option<Vec<Vec<String>>>,
}

impl Run {
    /// Writes the description and the settings.
    ///
    /// # Errors
    /// Errors if the folder cannot be written to.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let settings = toml::to_string(&self.config).expect("settings are plain values");
        let settings = format!("{SETTINGS_MARK}{settings}");
        files::write(&folder.join(SETTINGS), settings.as_bytes())?;
        // Last: this file marks the folder as a run.
        let json = serde_json::to_string_pretty(self).expect("a run is plain data");
        files::write(&folder.join(RUN), json.as_bytes())
    }

    /// Reads the description of a run; `None` for a folder without a run.
    ///
    /// # Errors
    /// Errors if a file cannot be read, or is of another version.
    pub fn find(folder: &Path) -> Result<Option<Run>> {
        let file = folder.join(RUN);
        if !file.exists() {
            return Ok(None);
        }
        let about = || format!("cannot read {} as a run of Rewind", file.display());
        let bytes = files::read(&file, MAX_BYTES)?;
        let mut run: Run = serde_json::from_slice(&bytes).with_context(about)?;
        ensure!(
            (OLDEST_VERSION..=VERSION).contains(&run.version),
            "cannot read {}: expected version {OLDEST_VERSION} to {VERSION}, found {}",
            file.display(),
            run.version
        );
        // A run of an older version goes on as one of this version.
        run.version = VERSION;
        run.config = TrainConfig::read(&folder.join(SETTINGS))?;
        if run.patients.is_none() {
            // The run's split is by case, and stays so.
            run.config.group_by.get_or_insert(BY_CASE.into());
        }
        Ok(Some(run))
    }

    /// Reads the description of a run.
    ///
    /// # Errors
    /// Errors for a folder without a run, and as [`Run::find`].
    pub fn read(folder: &Path) -> Result<Run> {
        let none =
            || format!("expected the folder of a run, found no {RUN} in {}", folder.display());
        Run::find(folder)?.with_context(none)
    }

    /// Checks that this is the run that was started in the folder. With `accept_changes`, settings may
    /// differ as long as the weights fit and the held-out cases stay unseen.
    ///
    /// # Errors
    /// Errors with the changes, and with those that cannot be accepted.
    pub fn check_same(&self, started: &Run, folder: &Path, accept_changes: bool) -> Result<()> {
        let mut never = Vec::new();
        if started.task != self.task {
            never.push("the task".to_string());
        }
        if started.network != self.network {
            never.push("the network".into());
        }
        if (&started.training, &started.held_out) != (&self.training, &self.held_out) {
            never.push("which cases are trained on and which are held out".into());
        }
        let mut changed = started.config.differences(&self.config);
        let is_known = !self.data_fingerprint.is_empty();
        if is_known && started.data_fingerprint != self.data_fingerprint {
            changed.push("the data set's files".into());
        }
        let folder = folder.display();
        // Changed settings explain the other changes.
        ensure!(
            never.is_empty() || !(accept_changes || changed.is_empty()),
            "the run in {folder} cannot go on with another:\n  {}\nto start another run, give another \
             --out",
            never.join("\n  ")
        );
        ensure!(
            changed.is_empty() || accept_changes,
            "the run in {folder} was started with other settings (then, now):\n  {}\nto resume it, \
             give the settings that it was started with, or --accept-changes to go on with these; \
             to start another, give another --out",
            changed.join("\n  ")
        );
        Ok(())
    }
}

/// Reads a bundle from a file, or the bundle of the best validation from the folder of a run.
///
/// # Errors
/// Errors if the bundle is missing or cannot be used.
pub fn read_bundle(model: &Path) -> Result<Bundle> {
    let file = match model.is_dir() {
        true => model.join(BEST),
        false => model.to_path_buf(),
    };
    let bytes = files::read(&file, files::MAX_BUNDLE_BYTES).context(
        "expected a model: a bundle, or the folder of a run that has been validated once",
    )?;
    if let Some(kind) = model_core::file_kind(&bytes) {
        bail!("expected a model bundle, found {kind} (in {})", file.display());
    }
    Ok(Bundle::from_bytes(&bytes).map_err(|error| error.in_file(file.display().to_string()))?)
}
