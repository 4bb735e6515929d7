//! The training loop: gradient accumulation, early stopping, cross-validation, deterministic runs,
//! and losses that are not finite.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use burn::tensor::Device;
use trainer_data::patches::Batch;
use trainer_run::config::{LossKind, StepsOrEpochs, TrainConfig};
use trainer_run::reporter::Silent;
use trainer_run::run_folder::Run;
use trainer_train::checkpoint::Checkpoint;
use trainer_train::loss::Loss;
use trainer_train::step::Learner;

use crate::training_to_prediction::{short, train};

/// Returns a batch of samples with a case name and a scale. Half of the voxels have label 1.
fn batch(number: usize, config: &TrainConfig, samples: &[(&str, f32)]) -> Batch {
    let num_voxels: usize = config.patch.iter().product();
    let values = |&(_, scale): &(&str, f32)| {
        (0..4 * num_voxels).map(move |n| scale * ((n * 31 % 17) as f32 - 8.0))
    };
    let labels = (0..samples.len() * num_voxels).map(|voxel| u8::from(voxel % 16 >= 8)).collect();
    let cases = samples.iter().map(|(name, _)| name.to_string()).collect();
    Batch { number, values: samples.iter().flat_map(values).collect(), labels, cases }
}

fn learner(config: &TrainConfig) -> Learner {
    let task = model_core::Task::builtin("brats2021").unwrap();
    let network = config.network(&task).unwrap();
    let start = Checkpoint::initial(&network, 3);
    Learner::new(&network, Loss::new(&task, config.loss), start, &Device::flex()).unwrap()
}

#[test]
fn a_loss_that_is_not_finite_is_an_error_that_names_the_case() {
    let config = short();
    let mut learner = learner(&config);
    let before = learner.network.weights();
    let batch = batch(4, &config, &[("sound", 1.0), ("broken", f32::NAN)]);
    let error = learner.step(&config, 1e-3, vec![batch]).unwrap_err().to_string();
    assert!(error.contains("step 5 on patches of broken:"), "{error}");
    assert_eq!(learner.network.weights(), before);
}

/// With a loss that is a mean over voxels, two batches of one sample equal one batch of two
/// samples.
#[test]
fn accumulated_gradients_equal_those_of_the_larger_batch() {
    let mut config = TrainConfig { loss: LossKind::Focal, ..short() };
    let (a, b) = (("a", 1.0), ("b", 0.25));
    let step = |config: &TrainConfig, batches: Vec<Batch>| {
        let mut learner = learner(config);
        let report = learner.step(config, 1e-3, batches).unwrap();
        (report, learner.adam.state())
    };
    let (large, [large_moments, _]) = step(&config, vec![batch(0, &config, &[a, b])]);
    config.accumulate = 2;
    let small = vec![batch(0, &config, &[a]), batch(1, &config, &[b])];
    let (small, [small_moments, _]) = step(&config, small);
    assert!((large.report.loss - small.report.loss).abs() < 1e-6);
    assert!((large.gradient_norm / small.gradient_norm - 1.0).abs() < 1e-4);
    for (name, values) in &large_moments {
        let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        for (large, small) in values.iter().zip(&small_moments[name]) {
            assert!((large - small).abs() <= 1e-3 * largest + 1e-8, "{name}: {large} and {small}");
        }
    }
}

#[test]
fn training_stops_early_without_a_better_dice_and_keeps_the_best_weights() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    trainer_data::phantom::write(&data, 3, 7, 32, &Silent).unwrap();
    // The learning rate is too small to change Dice.
    let config = TrainConfig {
        steps: StepsOrEpochs::Epochs(40.0),
        learning_rate: 1e-12,
        validate_every: StepsOrEpochs::Epochs(1.0),
        smooth_over: StepsOrEpochs::Epochs(2.0),
        stop_after: Some(StepsOrEpochs::Epochs(3.0)),
        ..short()
    };
    let outcome = train(&data, &out, &config).unwrap();
    assert!(outcome.finished);
    // With two training cases and two patches per step, an epoch is a step. The first validation is
    // the best.
    assert_eq!((outcome.steps, outcome.best.unwrap().steps), (4, 1));
    assert_eq!(train(&data, &out, &config).unwrap(), outcome);
}

#[test]
fn the_summary_of_a_cross_validation_covers_all_folds() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("runs"));
    trainer_data::phantom::write(&data, 3, 7, 32, &Silent).unwrap();
    let mut held_out = Vec::new();
    for fold in 0..3 {
        let config = TrainConfig {
            folds: 3,
            fold: Some(fold),
            steps: 2.into(),
            validate_every: 2.into(),
            ..short()
        };
        let run = trainer_run::cross_validation::folder(&out, fold);
        train(&data, &run, &config).unwrap();
        held_out.extend(Run::read(&run).unwrap().held_out);
    }
    held_out.sort();
    assert_eq!(held_out, ["phantom_00007", "phantom_00008", "phantom_00009"]);
    assert_eq!(trainer_run::cross_validation::folders(&out).len(), 3);
    let summary = trainer_run::cross_validation::summary(&out, 3).unwrap();
    assert!(
        summary.lines().any(|line| line.starts_with("whole tumor\t") && line.ends_with("\t3")),
        "{summary}"
    );
}

/// Returns the bytes of every file of a folder by name.
fn files_of(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let named = |file: std::path::PathBuf| {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        (name, fs::read(file).unwrap())
    };
    files.map(named).collect()
}

#[test]
fn a_deterministic_run_writes_the_same_bytes_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    trainer_data::phantom::write(&path("data"), 3, 7, 32, &Silent).unwrap();
    let run = |name: &str| {
        let config = TrainConfig {
            deterministic: true,
            steps: 6.into(),
            validate_every: 3.into(),
            ..short()
        };
        assert!(train(&path("data"), &path(name), &config).unwrap().finished);
        files_of(&path(name))
    };
    let (first, second) = (run("first"), run("second"));
    let names: Vec<&String> = first.keys().collect();
    assert_eq!(names, second.keys().collect::<Vec<_>>());
    assert!(names.iter().any(|name| *name == "report.html"), "{names:?}");
    assert!(names.iter().any(|name| name.contains("tfevents")), "{names:?}");
    for (name, bytes) in &first {
        assert!(*bytes == second[name], "{name} differs");
    }
}
