//! Training in half precision goes where f32 goes: masters in f32, a loss scale that finds itself
//! and is never lost, and an eye on what rewinding drifts.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use burn::tensor::{Device, FloatDType};
use model_core::nets::Precision;
use model_core::{Task, UNetConfig, Vae};
use trainer_data::patches::Batch;
use trainer_run::config::{Backward, Float, TrainConfig};
use trainer_run::run_folder::{BEST, Run};
use trainer_train::checkpoint::{Checkpoint, LAST};
use trainer_train::drift::{BOUND, Drift};
use trainer_train::loss::Loss;
use trainer_train::precision::network_precision;
use trainer_train::step::Learner;
use trainer_train::train::TrainJob;

use crate::training_to_prediction::{column, short, train};

fn learner(config: &TrainConfig) -> Learner {
    let task = Task::builtin("brats2021").unwrap();
    let network = config.network(&task).unwrap();
    let (loss, start) = (Loss::new(&task, config.loss), Checkpoint::initial(&network, 3));
    let precision = network_precision(config.precision().unwrap());
    Learner::in_precision(&network, precision, loss, start, &Device::flex()).unwrap()
}

/// Two patches whose right half is labeled and brighter; all values times `factor`.
fn batch(number: usize, config: &TrainConfig, factor: f32) -> Batch {
    let num_voxels: usize = config.patch.iter().product();
    let is_labeled = |voxel: usize| voxel % config.patch[0] >= config.patch[0] / 2;
    let value = |n: usize| {
        let noise = ((n * 2_654_435_761) % 1009) as f32 / 504.5 - 1.0;
        factor * (noise + f32::from(u8::from(is_labeled(n))))
    };
    Batch {
        number,
        values: (0..2 * 4 * num_voxels).map(value).collect(),
        labels: (0..2 * num_voxels).map(|voxel| u8::from(is_labeled(voxel))).collect(),
        cases: vec!["left".into(), "right".into()],
    }
}

fn in_precision(precision: Float, stream: Float) -> TrainConfig {
    TrainConfig { precision, stream, ..short() }
}

#[test]
fn half_precision_learns_what_f32_learns_and_keeps_its_weights_in_f32() {
    let losses = [Float::F32, Float::Bf16, Float::F16].map(|float| {
        let config = in_precision(float, Float::F32);
        let mut learner = learner(&config);
        let step = |number| {
            learner.step(&config, 1e-2, vec![batch(number, &config, 1.0)]).unwrap().report.loss
        };
        let losses: Vec<f64> = (0..12).map(step).collect();
        let weights = learner.network.weights();
        // The last 13 of f32's 24 digits are zeros in f16, more of them in bf16.
        let is_half = |value: &&f32| value.to_bits() & 0x1fff == 0;
        let all = || weights.values().flat_map(|array| &array.values);
        assert!(all().filter(is_half).count() * 10 < all().count());
        losses
    });
    let [single, halves @ ..] = &losses;
    assert!(single[11] < 0.8 * single[0], "{losses:?}");
    for half in halves {
        assert!((half[0] / single[0] - 1.0).abs() < 0.05, "{losses:?}");
        assert!((half[11] / single[11] - 1.0).abs() < 0.15, "{losses:?}");
    }
}

/// The gradient that f16 finds is f32's, whatever it was scaled by on the way; with a branch too,
/// whose gradients meet the network's.
#[test]
fn the_scale_is_no_part_of_the_gradient() {
    for backward in [Backward::Stored, Backward::Rewound] {
        let norms = [Float::F32, Float::F16].map(|float| {
            let config = TrainConfig {
                backward: Some(backward),
                vae: Some(Vae { units: 8, channels: 4, ..Vae::default() }),
                accumulate: 2,
                ..in_precision(float, Float::F32)
            };
            let mut learner = learner(&config);
            // The first steps may be skipped, until the scale fits.
            let norms = (0..8).map(|_| {
                let batches = (0..2).map(|number| batch(number, &config, 0.5)).collect();
                let report = learner.step(&config, 1e-12, batches).unwrap();
                report.skipped.is_none().then_some(report.gradient_norm)
            });
            norms.flatten().last().expect("a scale that fits is found in eight steps")
        });
        let apart = (norms[0] / norms[1] - 1.0).abs();
        assert!(apart < 0.05, "{backward:?}: {norms:?}");
    }
}

#[test]
fn a_step_whose_gradient_leaves_the_range_changes_nothing_but_the_scale() {
    let config = in_precision(Float::F16, Float::F32);
    let mut learner = learner(&config);
    for number in 0..4 {
        learner.step(&config, 1e-3, vec![batch(number, &config, 1.0)]).unwrap();
    }
    let (scale, skipped) = (learner.loss_scale.factor().unwrap(), learner.loss_scale.skipped);
    let before = (learner.network.weights(), learner.average.weights(), learner.adam.state());
    // Beyond 65504 from the first layer on.
    let report = learner.step(&config, 1e-3, vec![batch(4, &config, f32::MAX)]).unwrap();
    assert_eq!(report.skipped, Some(vec!["left".to_string(), "right".to_string()]));
    let after = (learner.network.weights(), learner.average.weights(), learner.adam.state());
    assert!(before == after);
    assert_eq!(learner.loss_scale.factor(), Some(scale / 2.0));
    assert_eq!(learner.loss_scale.skipped, skipped + 1);
    let report = learner.step(&config, 1e-3, vec![batch(5, &config, 1.0)]).unwrap();
    assert!(report.skipped.is_none() && learner.network.weights() != before.0);
}

/// No scale is small enough for an answer that is no number; bf16 has no scale to lower.
#[test]
fn what_no_scale_helps_ends_the_run_with_the_cases_named() {
    for (float, skips) in [(Float::F16, 16), (Float::Bf16, 0)] {
        let config = in_precision(float, Float::F32);
        let mut learner = learner(&config);
        let mut step = |number| learner.step(&config, 1e-3, vec![batch(number, &config, f32::NAN)]);
        for number in 0..skips {
            assert!(step(number).unwrap().skipped.is_some());
        }
        let error = step(skips).unwrap_err().to_string();
        assert!(error.contains("the loss is no longer") && error.contains("left"), "{error}");
    }
}

/// Killed between any two steps, a run in f16 goes on with the scale, the optimizer's own count of
/// steps and the skipped ones that it had.
#[test]
fn a_run_in_f16_that_is_stopped_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    trainer_data::phantom::write(&path("data"), 3, 7, 32).unwrap();
    let config = TrainConfig {
        steps: 12.into(),
        validate_every: 12.into(),
        drift_every: 6.into(),
        // Weights so large that the scale has something to find.
        learning_rate: 0.2,
        warm_up: 0.into(),
        ..in_precision(Float::F16, Float::F16)
    };
    train(&path("data"), &path("whole"), &config).unwrap();
    let (broken, stop) = (path("broken"), AtomicBool::new(false));
    let outcome = thread::scope(|scope| {
        scope.spawn(|| {
            while column(&broken, 0).len() < 4 {
                thread::sleep(Duration::from_millis(1));
            }
            stop.store(true, Ordering::Relaxed);
        });
        let data = path("data");
        let job = TrainJob::new(&data, &broken);
        trainer_train::train::train(job, &config, &Device::flex(), &stop).unwrap()
    });
    assert!(!outcome.finished, "stopped too late");
    let network = Run::read(&broken).unwrap().network;
    let at = Checkpoint::newest(&broken, &network).unwrap().unwrap();
    assert!(at.loss_scale.skipped > 0, "nothing was skipped in {} steps", at.steps);
    train(&path("data"), &broken, &config).unwrap();
    for file in [LAST, BEST] {
        let read = |run: &str| fs::read(path(run).join(file)).unwrap();
        assert!(read("whole") == read("broken"), "{file} differs");
    }
    let columns = [14, 15, 16].map(|n| column(&path("whole"), n));
    assert_eq!(columns, [14, 15, 16].map(|n| column(&broken, n)));
    let [scales, skipped, drift] = columns;
    assert_eq!((scales.len(), skipped.len(), drift.len()), (12, 12, 2), "{scales:?}");
    assert!(drift.iter().all(|drift| *drift > 0.0), "{drift:?}");
    let skips = *skipped.last().unwrap();
    assert_eq!(*scales.last().unwrap(), 65536.0 / skips.exp2());
    let report = fs::read_to_string(path("whole").join("report.html")).unwrap();
    assert!(report.contains("f16, reversible streams too") && report.contains("Loss scale"));

    let error = train(&path("data"), &path("whole"), &in_precision(Float::Bf16, Float::Bf16));
    let error = error.unwrap_err().to_string();
    assert!(error.contains(r#"precision: "f16", "bf16""#), "{error}");
    assert!(error.contains(r#"stream: "f16", "bf16""#), "{error}");
}

/// Eight blocks a level: in f32 rewinding finds its way back, in bf16 it does not.
#[test]
fn the_drift_of_a_deep_sequence_is_told_in_bf16_and_f32_is_silent() {
    let warning = |compute, stream| {
        let mut config = in_precision(compute, stream);
        if let Some(network) = &mut config.network {
            *network = UNetConfig { blocks: 8, ..network.clone() };
        }
        let learner = learner(&config);
        let drift = Drift::of(&learner.network, &batch(0, &config, 1.0), config.patch).unwrap();
        let worst = drift.worst().1;
        assert_eq!(worst > BOUND, drift.warning(learner.network.precision).is_some());
        (worst, drift.warning(learner.network.precision))
    };
    let (worst, told) = warning(Float::F32, Float::F32);
    assert!(told.is_none() && worst < 1e-4, "{worst}");
    let (worst, told) = warning(Float::Bf16, Float::Bf16);
    let told = told.unwrap_or_else(|| panic!("silent at {worst}"));
    assert!(told.contains("stream = \"f32\""), "{told}");
}

#[test]
fn a_precision_is_layers_and_streams() {
    let mixed = in_precision(Float::F16, Float::F32).precision().unwrap();
    assert_eq!(network_precision(mixed), Precision::mixed(FloatDType::F16));
}
