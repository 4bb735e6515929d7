//! Training in half precision agrees with f32: the weights are f32, the loss scale adapts and is
//! restored, and the drift of rewinding is measured.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use burn::tensor::{Device, FloatDType};
use model_core::nets::Precision;
use model_core::{BackwardMode, Task, UNetConfig, Vae};
use trainer_data::patches::Batch;
use trainer_run::config::{Float, TrainConfig};
use trainer_run::reporter::Silent;
use trainer_run::run_folder::{BEST, Run};
use trainer_train::checkpoint::{Checkpoint, LAST};
use trainer_train::drift::{Drift, MAX_DRIFT};
use trainer_train::loss::Loss;
use trainer_train::precision::network_precision;
use trainer_train::step::Learner;
use trainer_train::train::TrainJob;

use crate::training_to_prediction::{column, short, train};

fn learner(config: &TrainConfig) -> Learner {
    let task = Task::builtin("brats2021").unwrap();
    let network = config.network(&task).unwrap();
    let (loss, start) = (Loss::new(&task, config.loss), Checkpoint::initial(&network, 3));
    let precision = network_precision(config.precision(&network).unwrap());
    Learner::in_precision(&network, precision, loss, start, &Device::flex()).unwrap()
}

/// Returns two patches whose right half has label 1 and is brighter. All values are multiplied by
/// `factor`.
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
    TrainConfig { precision, stream: Some(stream), ..short() }
}

#[test]
fn losses_in_half_precision_agree_with_f32_and_weights_stay_f32() {
    let losses = [Float::F32, Float::Bf16, Float::F16].map(|float| {
        let config = in_precision(float, Float::F32);
        let mut learner = learner(&config);
        let step = |number| {
            learner.step(&config, 1e-2, vec![batch(number, &config, 1.0)]).unwrap().report.loss
        };
        let losses: Vec<f64> = (0..12).map(step).collect();
        let weights = learner.network.weights();
        // A value rounded to f16 or bf16 has at least 13 trailing zero bits.
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

/// The network has a variational branch, whose gradients are added to those of the network.
#[test]
fn the_loss_scale_does_not_change_the_gradient() {
    for backward in [BackwardMode::NonReversible, BackwardMode::Reversible] {
        let norms = [Float::F32, Float::F16].map(|float| {
            let config = TrainConfig {
                backward: Some(backward),
                vae: Some(Vae { units: 8, channels: 4, ..Vae::default() }),
                accumulate: 2,
                ..in_precision(float, Float::F32)
            };
            let mut learner = learner(&config);
            // The first steps may be skipped until the scale is small enough.
            let norms = (0..8).map(|_| {
                let batches = (0..2).map(|number| batch(number, &config, 0.5)).collect();
                let report = learner.step(&config, 1e-12, batches).unwrap();
                report.skipped.is_none().then_some(report.gradient_norm)
            });
            norms.flatten().last().expect("the scale is small enough after eight steps")
        });
        let difference = (norms[0] / norms[1] - 1.0).abs();
        assert!(difference < 0.05, "{backward:?}: {norms:?}");
    }
}

#[test]
fn a_step_whose_gradient_overflows_changes_only_the_loss_scale() {
    let config = in_precision(Float::F16, Float::F32);
    let mut learner = learner(&config);
    for number in 0..4 {
        learner.step(&config, 1e-3, vec![batch(number, &config, 1.0)]).unwrap();
    }
    let (scale, skipped) = (learner.loss_scale.factor().unwrap(), learner.loss_scale.skipped);
    let before = (learner.network.weights(), learner.average.weights(), learner.adam.state());
    // Values above 65504, the largest f16, in the first layer.
    let report = learner.step(&config, 1e-3, vec![batch(4, &config, f32::MAX)]).unwrap();
    assert_eq!(report.skipped, Some(vec!["left".to_string(), "right".to_string()]));
    let after = (learner.network.weights(), learner.average.weights(), learner.adam.state());
    assert!(before == after);
    assert_eq!(learner.loss_scale.factor(), Some(scale / 2.0));
    assert_eq!(learner.loss_scale.skipped, skipped + 1);
    let report = learner.step(&config, 1e-3, vec![batch(5, &config, 1.0)]).unwrap();
    assert!(report.skipped.is_none() && learner.network.weights() != before.0);
}

/// In f16 the scale is first reduced to its minimum. Training in bf16 has no loss scale.
#[test]
fn a_loss_that_is_not_finite_at_any_scale_is_an_error_that_names_the_cases() {
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

/// A checkpoint contains the loss scale, the optimizer's step count and the number of skipped
/// steps.
#[test]
fn a_stopped_and_resumed_run_in_f16_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    trainer_data::phantom::write(&path("data"), 3, 7, 32, &Silent).unwrap();
    let config = TrainConfig {
        steps: 12.into(),
        validate_every: 12.into(),
        drift_every: 6.into(),
        // Weights become so large that the scale has to adapt.
        learning_rate: 0.2,
        warm_up: 0.into(),
        ..in_precision(Float::F16, Float::F16)
    };
    train(&path("data"), &path("unbroken"), &config).unwrap();
    let (stopped, stop) = (path("stopped"), AtomicBool::new(false));
    let outcome = thread::scope(|scope| {
        scope.spawn(|| {
            while column(&stopped, 0).len() < 4 {
                thread::sleep(Duration::from_millis(1));
            }
            stop.store(true, Ordering::Relaxed);
        });
        let data = path("data");
        let job = TrainJob::new(&data, &stopped);
        trainer_train::train::train(job, &config, &Device::flex(), &stop).unwrap()
    });
    assert!(!outcome.finished, "the run ended before the stop");
    let network = Run::read(&stopped).unwrap().network;
    let checkpoint = Checkpoint::newest(&stopped, &network).unwrap().unwrap();
    assert!(checkpoint.loss_scale.skipped > 0, "no skipped step in {}", checkpoint.steps);
    train(&path("data"), &stopped, &config).unwrap();
    for file in [LAST, BEST] {
        let read = |run: &str| fs::read(path(run).join(file)).unwrap();
        assert!(read("unbroken") == read("stopped"), "{file} differs");
    }
    let columns = [14, 15, 16].map(|n| column(&path("unbroken"), n));
    assert_eq!(columns, [14, 15, 16].map(|n| column(&stopped, n)));
    let [scales, skipped, drift] = columns;
    assert_eq!((scales.len(), skipped.len(), drift.len()), (12, 12, 2), "{scales:?}");
    assert!(drift.iter().all(|drift| *drift > 0.0), "{drift:?}");
    let skips = *skipped.last().unwrap();
    assert_eq!(*scales.last().unwrap(), 65536.0 / skips.exp2());
    let report = fs::read_to_string(path("unbroken").join("report.html")).unwrap();
    assert!(report.contains("f16, reversible streams too") && report.contains("Loss scale"));

    let error = train(&path("data"), &path("unbroken"), &in_precision(Float::Bf16, Float::Bf16));
    let error = error.unwrap_err().to_string();
    assert!(error.contains(r#"precision: "f16", "bf16""#), "{error}");
    assert!(error.contains(r#"stream: "f16", "bf16""#), "{error}");
}

/// The network has eight blocks per level.
#[test]
fn a_deep_sequence_causes_a_warning_about_drift_in_bf16_and_not_in_f32() {
    let warning = |compute, stream| {
        let mut config = in_precision(compute, stream);
        if let Some(network) = &mut config.network {
            network.blocks = 8;
        }
        let learner = learner(&config);
        let drift =
            Drift::measure(&learner.network, &batch(0, &config, 1.0), config.patch).unwrap();
        let worst = drift.worst().1;
        assert_eq!(worst > MAX_DRIFT, drift.warning(learner.network.precision).is_some());
        (worst, drift.warning(learner.network.precision))
    };
    let (worst, text) = warning(Float::F32, Float::F32);
    assert!(text.is_none() && worst < 1e-4, "{worst}");
    let (worst, text) = warning(Float::Bf16, Float::Bf16);
    let text = text.unwrap_or_else(|| panic!("no warning at {worst}"));
    assert!(text.contains("stream = \"f32\""), "{text}");
}

#[test]
fn f16_layers_with_f32_streams_are_mixed_precision() {
    let network = UNetConfig::preset("demo", 4, 3).unwrap();
    let mixed = in_precision(Float::F16, Float::F32).precision(&network).unwrap();
    assert_eq!(network_precision(mixed), Precision::mixed(FloatDType::F16));
}
