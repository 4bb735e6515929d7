//! The models that segment: one, or several that share a task.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use burn::tensor::Device;
use model_core::nets::UNet3d;
use model_core::{Bundle, Input, Task, are_same_channels, check_weights};
use serde::{Deserialize, Serialize};

use super::backend::Backend;
use super::wgsl::{OnGpu, Planned};
use trainer_run::{cross_validation, run_folder};
use trainer_train::model;

/// A model where it runs.
pub struct Member {
    /// The model.
    pub bundle: Bundle,
    /// What records call it.
    pub id: ModelId,
    network: Network,
}

/// A network where it runs.
#[allow(clippy::large_enum_variant)] // a member of an ensemble has one
enum Network {
    /// On a device of burn's.
    Burn(Box<UNet3d>, Device),
    /// On a GPU, by the WGSL engine.
    Wgsl(OnGpu),
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
    /// Puts a model where it is to run; the WGSL engine may allocate so much.
    ///
    /// # Errors
    /// When the bundle's weights are not those of its network.
    pub fn new(bundle: Bundle, backend: &Backend, most_bytes: Option<u64>) -> Result<Member> {
        let network = match backend {
            Backend::Burn(device) => {
                let network = model::build(&bundle.card.network, &bundle.weights, device)?;
                Network::Burn(Box::new(network), device.clone())
            }
            Backend::Wgsl(gpu) => {
                check_weights(&bundle.card.network, &bundle.weights)?;
                Network::Wgsl(OnGpu::new(gpu.clone(), most_bytes))
            }
        };
        let id = ModelId { name: bundle.card.name.clone(), sha256: bundle.hash() };
        Ok(Member { bundle, id, network })
    }

    /// The network on a GPU, where the WGSL engine runs it.
    pub(super) fn on_gpu(&self) -> Option<&OnGpu> {
        match &self.network {
            Network::Burn(..) => None,
            Network::Wgsl(network) => Some(network),
        }
    }

    /// How the WGSL engine ran it, if it did.
    pub(super) fn planned(&self) -> Option<Planned> {
        self.on_gpu().and_then(OnGpu::planned)
    }

    /// The logits of all of an input, `[output][k][j][i]`; `tell` hears how far it is.
    ///
    /// # Errors
    /// What the WGSL engine reports.
    pub fn logits(&self, input: &Input, tell: &mut dyn FnMut(String)) -> Result<Vec<f32>> {
        match &self.network {
            Network::Burn(network, device) => Ok(model::logits(network, input, device)),
            Network::Wgsl(network) => network.logits(&self.bundle, input, tell),
        }
    }
}

/// The folders of runs that paths name: themselves, or the folds of the cross-validation in them;
/// files as they are.
pub fn expand(paths: &[PathBuf]) -> Vec<PathBuf> {
    let runs = |path: &PathBuf| match cross_validation::folders(path) {
        folds if folds.is_empty() => vec![path.clone()],
        folds => folds,
    };
    paths.iter().flat_map(runs).collect()
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

/// Refuses a data set whose labels answer another question than the models were asked: by its codes
/// alone it would give scores that mean nothing.
///
/// # Errors
/// Names both questions, and the data set.
pub(super) fn check_answers(task: &Task, of_data_set: &Task, path: &Path) -> Result<()> {
    ensure!(
        are_same_channels(&task.channels, &of_data_set.channels) && same_answer(task, of_data_set),
        "expected a data set of the models' task, {}, found {}; a --task that training was given in \
         place of the data set's own is needed here too (in {})",
        question(task),
        question(of_data_set),
        path.display()
    );
    Ok(())
}

/// Whether outputs of networks for these tasks mean the same. Names and colors do not matter.
fn same_question(a: &Task, b: &Task) -> bool {
    a.channels == b.channels && same_answer(a, b)
}

fn same_answer(a: &Task, b: &Task) -> bool {
    let regions = |task: &Task| -> Vec<(Vec<u8>, u8)> {
        task.regions.iter().map(|region| (region.labels.clone(), region.writes)).collect()
    };
    a.head == b.head && a.output_codes() == b.output_codes() && regions(a) == regions(b)
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
