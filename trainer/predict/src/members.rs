//! The models of a prediction: one model, or several models of one task.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use burn::tensor::Device;
use model_core::nets::UNet3d;
use model_core::{Bundle, Input, Task, are_same_channels, check_weights};
use serde::{Deserialize, Serialize};

use super::backend::Backend;
use super::cpu::CpuNetwork;
use super::plan_summary::PlanSummary;
use super::wgsl::WgslNetwork;
use trainer_run::{cross_validation, run_folder};
use trainer_train::model;

/// A model on its device.
pub struct Member {
    /// The model.
    pub bundle: Bundle,
    /// The model's identity in records.
    pub id: ModelId,
    network: Network,
}

/// A network on its device.
#[allow(clippy::large_enum_variant)] // each member has one
enum Network {
    /// On the processor.
    Cpu(CpuNetwork),
    /// On a GPU of burn.
    Burn(Box<UNet3d>, Device),
    /// On a GPU of the WGSL engine.
    Wgsl(WgslNetwork),
}

/// The identity of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelId {
    /// The model's name.
    pub name: String,
    /// [`Bundle::hash`] of the weights that are used, in hexadecimal.
    pub sha256: String,
}

impl Member {
    /// Loads a model onto a device. `max_bytes` limits the allocations of the WGSL engine.
    ///
    /// # Errors
    /// Errors if the bundle's weights are not those of its network.
    pub fn new(bundle: Bundle, backend: &Backend, max_bytes: Option<u64>) -> Result<Member> {
        let network = match backend {
            Backend::Cpu => {
                check_weights(&bundle.card.network, &bundle.weights)?;
                Network::Cpu(CpuNetwork::default())
            }
            Backend::Burn(device) => {
                let network = model::build(&bundle.card.network, &bundle.weights, device)?;
                Network::Burn(Box::new(network), device.clone())
            }
            Backend::Wgsl(gpu) => {
                check_weights(&bundle.card.network, &bundle.weights)?;
                Network::Wgsl(WgslNetwork::new(gpu.clone(), max_bytes))
            }
        };
        let id = ModelId { name: bundle.card.name.clone(), sha256: bundle.hash() };
        Ok(Member { bundle, id, network })
    }

    /// Returns the network on the processor, if the model runs there.
    pub(super) fn cpu_network(&self) -> Option<&CpuNetwork> {
        match &self.network {
            Network::Cpu(network) => Some(network),
            _ => None,
        }
    }

    /// Returns the network of the WGSL engine, if that engine runs the model.
    pub(super) fn wgsl_network(&self) -> Option<&WgslNetwork> {
        match &self.network {
            Network::Wgsl(network) => Some(network),
            _ => None,
        }
    }

    /// Returns the plan that the WGSL engine ran, if that engine runs the model.
    pub(super) fn last_plan(&self) -> Option<PlanSummary> {
        self.wgsl_network().and_then(WgslNetwork::last_plan)
    }

    /// Computes the logits of an input. `on_progress` receives texts about the progress.
    ///
    /// # Shapes
    /// - input: `[channel][k][j][i]`
    /// - output: `[output][k][j][i]`
    ///
    /// # Errors
    /// The errors of the engine.
    pub fn logits(&self, input: &Input, on_progress: &mut dyn FnMut(String)) -> Result<Vec<f32>> {
        match &self.network {
            Network::Cpu(network) => network.logits(&self.bundle, input, on_progress),
            Network::Burn(network, device) => Ok(model::logits(network, input, device)),
            Network::Wgsl(network) => network.logits(&self.bundle, input, on_progress),
        }
    }
}

/// Replaces each folder of a cross-validation by the folders of its folds.
pub fn expand(paths: &[PathBuf]) -> Vec<PathBuf> {
    let runs = |path: &PathBuf| match cross_validation::folders(path) {
        folds if folds.is_empty() => vec![path.clone()],
        folds => folds,
    };
    paths.iter().flat_map(runs).collect()
}

/// Reads the models of an ensemble.
///
/// # Errors
/// Errors if a model cannot be read, if the tasks differ, or if two models are equal.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Bundle>> {
    let bundles: Vec<Bundle> =
        paths.iter().map(|path| run_folder::read_bundle(path)).collect::<Result<_>>()?;
    for (n, bundle) in bundles.iter().enumerate() {
        let (first, task) = (&bundles[0].card.task, &bundle.card.task);
        ensure!(
            are_same_tasks(first, task),
            "expected models of one task, found {} and {} (in {})",
            describe(first),
            describe(task),
            paths[n].display()
        );
        if let Some(equal) = bundles[..n].iter().position(|other| other.weights == bundle.weights) {
            let (a, b) = (paths[equal].display(), paths[n].display());
            anyhow::bail!("expected different models, found the same twice: {a} and {b}");
        }
    }
    Ok(bundles)
}

/// Checks that a data set's labels mean the same as the models'. With other meanings of the same
/// codes, the scores would mean nothing.
///
/// # Errors
/// Errors with both tasks and the data set.
pub(super) fn check_same_labels(task: &Task, data_set_task: &Task, path: &Path) -> Result<()> {
    ensure!(
        are_same_channels(&task.channels, &data_set_task.channels)
            && have_same_outputs(task, data_set_task),
        "expected a data set of the models' task, {}, found {}; a --task that training was given in \
         place of the data set's own is needed here too (in {})",
        describe(task),
        describe(data_set_task),
        path.display()
    );
    Ok(())
}

/// Returns whether networks of two tasks have the same inputs and outputs. Names and colors may
/// differ.
fn are_same_tasks(a: &Task, b: &Task) -> bool {
    a.channels == b.channels && have_same_outputs(a, b)
}

fn have_same_outputs(a: &Task, b: &Task) -> bool {
    let regions = |task: &Task| -> Vec<(Vec<u8>, u8)> {
        task.regions.iter().map(|region| (region.labels.clone(), region.writes)).collect()
    };
    a.head == b.head && a.output_codes() == b.output_codes() && regions(a) == regions(b)
}

/// Describes a task in an error.
fn describe(task: &Task) -> String {
    let regions: Vec<String> =
        task.regions.iter().map(|region| format!("{} {:?}", region.name, region.labels)).collect();
    format!("{:?} ({}; {})", task.name, task.channels.join(", "), regions.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_with_other_codes_or_channels_differ() {
        let [a, mut b] = ["brats2021", "brats2023"].map(|name| Task::builtin(name).unwrap());
        assert!(!are_same_tasks(&a, &b), "the enhancing tumor has another code");
        b = a.with(|task| task.name = "mine".into()).unwrap();
        assert!(are_same_tasks(&a, &b));
        b = b.with(|task| task.channels.swap(0, 1)).unwrap();
        assert!(!are_same_tasks(&a, &b));
        assert!(describe(&a).contains("enhancing tumor [4]"), "{}", describe(&a));
    }
}
