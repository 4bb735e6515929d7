//! The models that segment: one, or several that share a task.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use burn::tensor::Device;
use model_core::nets::UNet3d;
use model_core::{Bundle, Input, Task};
use serde::{Deserialize, Serialize};

use crate::{model, run_folder};

/// A model on a device.
pub struct Member {
    /// The model.
    pub bundle: Bundle,
    /// What records call it.
    pub id: ModelId,
    network: UNet3d,
}

/// Which model it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelId {
    /// Its name.
    pub name: String,
    /// [`Bundle::hash`]: of its weights as they are used.
    pub sha256: String,
}

impl Member {
    /// Puts a model on a device.
    ///
    /// # Errors
    /// When the bundle's weights are not those of its network.
    pub fn new(bundle: Bundle, device: &Device) -> Result<Member> {
        let network = model::build(&bundle.card.network, &bundle.weights, device)?;
        let id = ModelId { name: bundle.card.name.clone(), sha256: bundle.hash() };
        Ok(Member { bundle, id, network })
    }

    /// The logits of all of an input, `[output][k][j][i]`.
    pub fn logits(&self, input: &Input, device: &Device) -> Vec<f32> {
        model::logits(&self.network, input, device)
    }
}

/// The folders of runs that paths name: themselves, or the `fold-0`, `fold-1`, … in them; files as
/// they are.
///
/// # Errors
/// When a folder cannot be read.
pub fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        let mut folds = if path.is_dir() { folds(path)? } else { Vec::new() };
        match folds.is_empty() {
            true => found.push(path.clone()),
            false => found.append(&mut folds),
        }
    }
    Ok(found)
}

/// The runs of a cross-validation, in the order of their numbers.
fn folds(folder: &Path) -> Result<Vec<PathBuf>> {
    let about = || format!("cannot read {}", folder.display());
    let mut folds = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(about)? {
        let path = entry.with_context(about)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let number = name.strip_prefix("fold-").and_then(|number| number.parse::<u32>().ok());
        if let Some(number) = number.filter(|_| path.is_dir()) {
            folds.push((number, path));
        }
    }
    folds.sort();
    Ok(folds.into_iter().map(|(_, path)| path).collect())
}

/// Reads models that are to answer together.
///
/// # Errors
/// When one cannot be read, or they do not share a task.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Bundle>> {
    let bundles: Vec<Bundle> =
        paths.iter().map(|path| run_folder::read_bundle(path)).collect::<Result<_>>()?;
    for (n, bundle) in bundles.iter().enumerate() {
        let (first, task) = (&bundles[0].card.task, &bundle.card.task);
        ensure!(
            same_question(first, task),
            "expected models of one task, found {} and {} (in {})",
            question(first),
            question(task),
            paths[n].display()
        );
        if let Some(twin) = bundles[..n].iter().position(|other| other.weights == bundle.weights) {
            let (a, b) = (paths[twin].display(), paths[n].display());
            anyhow::bail!("expected different models, found the same twice: {a} and {b}");
        }
    }
    Ok(bundles)
}

/// Whether outputs of networks for these tasks mean the same. Names and colors do not matter.
fn same_question(a: &Task, b: &Task) -> bool {
    let regions = |task: &Task| -> Vec<(Vec<u8>, u8)> {
        task.regions.iter().map(|region| (region.labels.clone(), region.writes)).collect()
    };
    a.channels == b.channels
        && a.head == b.head
        && a.output_codes() == b.output_codes()
        && regions(a) == regions(b)
}

fn question(task: &Task) -> String {
    let regions: Vec<String> =
        task.regions.iter().map(|region| format!("{} {:?}", region.name, region.labels)).collect();
    format!("{:?} ({}; {})", task.name, task.channels.join(", "), regions.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_with_other_codes_or_channels_are_other_questions() {
        let [a, mut b] = ["brats2021", "brats2023"].map(|name| Task::builtin(name).unwrap());
        assert!(!same_question(&a, &b), "the enhancing tumor is another code");
        b = Task { name: "mine".into(), ..a.clone() };
        assert!(same_question(&a, &b));
        b.channels.swap(0, 1);
        assert!(!same_question(&a, &b));
        assert!(question(&a).contains("enhancing tumor [4]"), "{}", question(&a));
    }
}
