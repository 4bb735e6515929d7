//! Every network and its variational branch train with every kind of backward pass.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use burn::tensor::Device;
use model_core::network::config::PRESETS;
use model_core::{
    BackwardMode, Bundle, Foreground, NetworkSettings, PreprocessConfig, Task, Vae, Weights,
    check_weights,
};
use trainer_data::patches::Batch;
use trainer_predict::Predictor;
use trainer_run::config::{AugmentSettings, LossKind, Optimizer, TrainConfig};
use trainer_run::reporter::Silent;
use trainer_run::rng::{RngStream, generator, normal};
use trainer_run::run_folder::{BEST, Run};
use trainer_train::adam::numbers;
use trainer_train::checkpoint::{Checkpoint, LAST};
use trainer_train::loss::Loss;
use trainer_train::loss::deep::coarser;
use trainer_train::model;
use trainer_train::step::Learner;
use trainer_train::train::TrainJob;

use crate::training_to_prediction::cache;

/// Returns settings with a narrow network of two levels and a variational branch.
fn narrow(preset: &str) -> TrainConfig {
    let network = NetworkSettings::preset(preset).unwrap();
    // Space-to-depth needs four times the width.
    let widths = if preset.starts_with("fully-invres") { vec![8, 32] } else { vec![8, 16] };
    let groups = network.groups.map(|groups| groups.min(2));
    TrainConfig {
        network: Some(NetworkSettings { widths, groups, ..network }),
        vae: Some(Vae { units: 8, channels: 4, ..Vae::default() }),
        preprocess: PreprocessConfig {
            foreground: Foreground::Nonzero,
            ..PreprocessConfig::default()
        },
        cache: cache(),
        ..TrainConfig::default()
    }
}

/// Returns [`narrow`] settings with deep supervision of the lower level.
fn supervised(preset: &str) -> TrainConfig {
    let mut config = narrow(preset);
    // A path of pixel shuffles is one sequence, with no end of a level to read.
    let network = config.network.as_mut().expect("a network");
    network.deep_supervision = usize::from(!preset.starts_with("fully-invres"));
    config
}

/// Returns a batch of random values whose right half has label 1.
fn batch(patch: [usize; 3]) -> Batch {
    let num_voxels: usize = patch.iter().product();
    let values = normal(generator(1, RngStream::Patch, 0)).take(2 * 4 * num_voxels).collect();
    let labels = (0..2 * num_voxels).map(|voxel| u8::from(voxel % patch[0] >= patch[0] / 2));
    let cases = vec!["a".into(), "b".into()];
    Batch { number: 0, values, labels: labels.collect(), cases }
}

/// The loss is the weighted sum of the losses of both levels, and so is the gradient: its norm is that
/// of finite differences along itself.
#[test]
fn deep_supervision_trains_with_the_loss_of_every_level() {
    let task = Task::builtin("brats2021").unwrap();
    let patch = [8, 12, 16];
    let config = TrainConfig { patch, vae: None, ..supervised("demo") };
    let network = config.network(&task).unwrap();
    let start = Checkpoint::initial(&network, 3);
    let Batch { values, labels, .. } = batch(patch);
    let loss_of = |weights: &Weights| {
        let module = model::build(&network, weights, &Device::flex()).unwrap();
        let x = model::tensor(values.clone(), 4, patch, &Device::flex());
        let (logits, hooks) = module.forward_with_hooks(x);
        let deep = module.deep_logits(&hooks).remove(0);
        assert_eq!((deep.dims(), logits.dims()), ([2, 3, 8, 6, 4], [2, 3, 16, 12, 8]));
        let loss = Loss::new(&task, LossKind::DiceCe);
        let of = |logits, labels: &[u8]| loss.of(&numbers::<5>(logits), labels, 2).0.loss;
        of(logits, &labels) * 2.0 / 3.0 + of(deep, &coarser(&labels, patch, 2)) / 3.0
    };
    let learner_loss = Loss::new(&task, LossKind::DiceCe);
    let mut learner = Learner::new(&network, learner_loss, start.clone(), &Device::flex()).unwrap();
    // Adam's first step has the signs of the gradient, times the rate.
    let rate = 1e-5;
    let settings = TrainConfig { optimizer: Optimizer::Adam, weight_decay: 0.0, ..config };
    let report = learner.step(&settings, rate, vec![batch(patch)]).unwrap();
    let expected = loss_of(&start.weights);
    assert!((report.report.loss - expected).abs() < 1e-6, "{expected}, found {report:?}");
    let fallen = expected - loss_of(&learner.network.weights());
    let moments = learner.adam.state()[0].clone();
    let absolute_sum: f64 = moments.values().flatten().map(|m| f64::from(m.abs()) * 10.0).sum();
    let predicted = rate * absolute_sum;
    assert!((fallen / predicted - 1.0).abs() < 0.05, "{predicted}, found {fallen}");
}

/// Also compares losses and gradient norms of the three kinds of backward pass.
#[test]
fn a_step_moves_every_parameter_of_every_network_in_every_mode() {
    let task = Task::builtin("brats2021").unwrap();
    for preset in PRESETS {
        let mut results = Vec::new();
        for backward in BackwardMode::ALL {
            let patch = [8, 12, 16];
            let config = TrainConfig { patch, backward: Some(backward), ..supervised(preset) };
            let network = config.network(&task).unwrap();
            let loss = Loss::new(&task, LossKind::DiceCe);
            let start = Checkpoint::initial(&network, 3);
            let before = start.weights.clone();
            let mut learner = Learner::new(&network, loss, start, &Device::flex()).unwrap();
            let report = learner.step(&config, 1e-3, vec![batch(patch)]).unwrap();
            let after = learner.network.weights();
            check_weights(&network, &after).unwrap();
            let unchanged: Vec<&String> =
                before.keys().filter(|name| before[*name] == after[*name]).collect();
            assert!(unchanged.is_empty(), "{preset}, {backward:?}: {unchanged:?} did not change");
            check_weights(&network.for_inference(), &learner.average.weights()).unwrap();
            let moments = learner.adam.state();
            assert!(moments.iter().all(|moments| moments.keys().eq(before.keys())), "{preset}");
            let [l2, kl] = report.branch.unwrap();
            results.push([report.report.loss, l2, kl, report.gradient_norm]);
        }
        for (mode, numbers) in results.iter().enumerate() {
            for (a, b) in numbers.iter().zip(&results[0]) {
                assert!((a - b).abs() <= 1e-3 * b.abs(), "{preset}, mode {mode}: {results:?}");
            }
        }
    }
}

/// Compares the slope of the loss along the encoder's gradient with that gradient's length. In the
/// encoder the gradients of the branch and of the network are added.
#[test]
fn the_gradient_is_that_of_the_sum_of_all_losses() {
    let task = Task::builtin("brats2021").unwrap();
    let patch = [8, 12, 16];
    for preset in ["unet3d", "partially-invres", "fully-invres"] {
        for backward in BackwardMode::ALL {
            let config =
                TrainConfig { patch, backward: Some(backward), clip_norm: 0.0, ..narrow(preset) };
            let network = config.network(&task).unwrap();
            let start = Checkpoint::initial(&network, 3);
            // With large intensities, most of the loss is that of the reconstruction.
            let step = |weights: &Weights| {
                let start = Checkpoint { weights: weights.clone(), ..start.clone() };
                let loss = Loss::new(&task, LossKind::DiceCe);
                let mut learner = Learner::new(&network, loss, start, &Device::flex()).unwrap();
                let mut batch = batch(patch);
                batch.values.iter_mut().for_each(|value| *value = 5.0 * *value + 1.0);
                let report = learner.step(&config, 1e-3, vec![batch]).unwrap();
                let [first, _] = learner.adam.state();
                (report.report.loss, first)
            };
            // Adam's first moment after one step is a tenth of the gradient.
            let mut gradient = step(&start.weights).1;
            gradient.retain(|name, _| name.starts_with("encoder."));
            let squares = gradient.values().flatten().map(|g| (10.0 * f64::from(*g)).powi(2));
            let length = squares.sum::<f64>().sqrt();
            let loss_at = |distance: f64| {
                let mut weights = start.weights.clone();
                for (name, slopes) in &gradient {
                    let values = &mut weights.get_mut(name).unwrap().values;
                    for (value, slope) in values.iter_mut().zip(slopes) {
                        *value += (distance * 10.0 / length) as f32 * slope;
                    }
                }
                step(&weights).0
            };
            let numeric = (loss_at(0.01) - loss_at(-0.01)) / 0.02;
            let difference = (numeric - length).abs() / length;
            assert!(difference < 0.02, "{preset}, {backward:?}: {numeric} and {length}");
        }
    }
}

fn train(data: &Path, out: &Path, config: &TrainConfig, stop: &AtomicBool) {
    trainer_train::train::train(TrainJob::new(data, out), config, &Device::flex(), stop).unwrap();
}

/// Returns the numbers of metrics.csv by column name.
fn metrics(run: &Path) -> BTreeMap<String, Vec<f64>> {
    let text = fs::read_to_string(run.join("metrics.csv")).unwrap_or_default();
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let mut columns = BTreeMap::<String, Vec<f64>>::new();
    for line in lines {
        for (name, field) in names.iter().zip(line.split(',')) {
            let column = columns.entry(name.to_string()).or_default();
            column.extend(field.parse::<f64>());
        }
    }
    columns
}

#[test]
fn a_stopped_and_resumed_run_with_a_branch_ends_with_the_same_weights() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (data, stopped, unbroken) = (path("data"), path("stopped"), path("unbroken"));
    trainer_data::phantom::write(&data, 3, 7, 32, &Silent).unwrap();
    let config = TrainConfig {
        held_out: 0.4,
        steps: 24.into(),
        patch: [16; 3],
        validate_every: 12.into(),
        log_every: 1.into(),
        ..narrow("partially-invres")
    };
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| train(&data, &stopped, &config, &stop));
        while metrics(&stopped).get("loss").is_none_or(|rows| rows.len() < 5) {
            thread::sleep(Duration::from_millis(1));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let network = Run::read(&stopped).unwrap().network;
    let steps = Checkpoint::newest(&stopped, &network).unwrap().unwrap().steps;
    assert!((5..24).contains(&steps), "expected a run that was stopped before its end: {steps}");
    let never = AtomicBool::new(false);
    train(&data, &stopped, &config, &never);
    train(&data, &unbroken, &config, &never);
    for file in [LAST, BEST] {
        let read = |run: &Path| fs::read(run.join(file)).unwrap();
        assert!(read(&stopped) == read(&unbroken), "{file} differs");
    }
    let (a, b) = (metrics(&stopped), metrics(&unbroken));
    for name in ["step", "loss", "vae_l2", "vae_kl"] {
        assert_eq!(a[name], b[name], "{name}");
    }
    assert_eq!((a["vae_l2"].len(), a["vae_kl"].len()), (24, 24));

    // The bundle contains only the network that predicts, without the branch.
    assert!(network.vae.is_some());
    let bundle = Bundle::from_bytes(&fs::read(stopped.join(BEST)).unwrap()).unwrap();
    assert_eq!(bundle.card.network, network.for_inference());
    assert!(bundle.weights.keys().all(|name| !name.starts_with("vae.")));
    Predictor::new(bundle, &Device::flex()).unwrap();
}

#[test]
fn a_fully_invertible_network_learns_with_its_branch() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    trainer_data::phantom::write(&data, 1, 7, 32, &Silent).unwrap();
    let config = TrainConfig {
        held_out: 0.0,
        steps: 60.into(),
        batch: 1,
        learning_rate: 1e-2,
        warm_up: 5.into(),
        validate_every: 60.into(),
        log_every: 10.into(),
        augment: AugmentSettings::none(),
        ..narrow("fully-invres")
    };
    train(&data, &out, &config, &AtomicBool::new(false));
    let metrics = metrics(&out);
    for (name, factor) in [("loss", 0.5), ("vae_l2", 0.8)] {
        let column = &metrics[name];
        let (first, last) = (column[0], column[column.len() - 1]);
        assert!(last < factor * first, "{name} went from {first} to {last}: {column:?}");
    }
}
