//! Resolves the argument of `--task` to a task.

use std::path::Path;

use anyhow::{Context, Result, bail};
use model_core::{BUILTIN_TASKS, Task};

use super::dataset_json;
use trainer_run::suggest::did_you_mean;
use trainer_run::{files, run_folder};

/// The largest task file that is read.
const MAX_TASK_BYTES: u64 = 64 << 20;

/// Returns whether a name is that of a built-in task.
pub fn is_name(name: &str) -> bool {
    BUILTIN_TASKS.contains(&name)
}

/// Resolves a name to a task: a built-in task, or the task of a `dataset.json`, of a JSON or TOML
/// file, of a bundle, or of a run's folder.
///
/// # Errors
/// Errors if the name is neither a built-in task nor a readable file.
pub fn resolve(name: &str) -> Result<Task> {
    if is_name(name) {
        return Ok(Task::builtin(name)?);
    }
    let path = Path::new(name);
    if !path.exists() {
        let names = BUILTIN_TASKS.join(", ");
        let known: Vec<String> = BUILTIN_TASKS.iter().map(|name| format!("`{name}`")).collect();
        let hint = did_you_mean(&format!("unknown task `{name}`, expected {}", known.join(", ")));
        bail!(
            "--task: expected {names}, or a file (dataset.json, a task as JSON or TOML, a bundle, a \
             run's folder), found {name:?}{hint}"
        );
    }
    if path.is_dir() && path.join("dataset.json").is_file() {
        return Ok(dataset_json::read(path)?.task);
    }
    let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
    match ending.to_str() {
        Some("json" | "toml") if path.is_file() => read(path),
        _ => Ok(run_folder::read_bundle(path)?.card.task),
    }
}

/// Reads a task from a JSON or TOML file.
fn read(file: &Path) -> Result<Task> {
    if file.file_name().is_some_and(|name| name == "dataset.json") {
        return Ok(dataset_json::read(file.parent().unwrap_or(Path::new("")))?.task);
    }
    let about = || format!("cannot read {} as a task", file.display());
    let bytes = files::read(file, MAX_TASK_BYTES)?;
    let text = model_core::utf8_text(&bytes).map_err(|e| e.in_file(file.display().to_string()))?;
    let is_toml = file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("toml"));
    match is_toml {
        true => toml::from_str(text).with_context(about),
        false => serde_json::from_str(text).with_context(about),
    }
}
