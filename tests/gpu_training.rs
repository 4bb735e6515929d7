//! Training on a graphics card through wgpu has the losses and gradients of training on the CPU.
//!
//! These tests need the feature `wgpu`. `cargo xtask test --gpu` runs them, on software Vulkan if
//! there is no card.

use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use integration_tests::skipped;
use trainer_run::config::{AugmentSettings, Float, TrainConfig};
use trainer_run::metrics::Metric;
use trainer_run::metrics_log::History;
use trainer_run::reporter::Silent;
use trainer_train::device::device;
use trainer_train::train::{TrainJob, train};

use crate::training_to_prediction::settings;

/// Returns the graphics card or a software adapter.
///
/// If the build or the machine has none, this function prints "skipped: …" and returns `None`. In a
/// build with wgpu it panics instead if `$REWIND_REQUIRE_GPU` is set.
fn gpu() -> Option<Device> {
    match device(Some("wgpu")) {
        Ok(device) => Some(device),
        Err(error) => {
            let is_required = std::env::var_os("REWIND_REQUIRE_GPU").is_some();
            assert!(!(cfg!(feature = "wgpu") && is_required), "{error}");
            skipped(&format!("{error:#}"));
            None
        }
    }
}

#[test]
fn steps_on_a_gpu_agree_with_steps_on_the_cpu() {
    let Some(gpu_device) = gpu() else { return };
    // The tolerances of losses and gradient norms (relative) and of Dice.
    for (precision, tolerance, dice_tolerance) in
        [(Float::F32, 2e-3, 0.02), (Float::F16, 3e-2, 0.05)]
    {
        let (cpu, cpu_dice) = steps(&Device::flex(), precision);
        let (gpu, gpu_dice) = steps(&gpu_device, precision);
        assert_eq!((cpu.len(), gpu.len()), (4, 4));
        for (step, (a, b)) in cpu.iter().zip(&gpu).enumerate() {
            for (name, a, b) in [("loss", a.0, b.0), ("gradient norm", a.1, b.1)] {
                let is_near = (a - b).abs() < tolerance * a.abs();
                assert!(
                    is_near,
                    "{precision:?}, step {step}: {name} {a} on the CPU, {b} on the GPU"
                );
            }
        }
        let is_near = (cpu_dice - gpu_dice).abs() < dice_tolerance;
        assert!(is_near, "{precision:?}: {cpu_dice} on the CPU, {gpu_dice} on the GPU");
    }
}

/// Trains four steps on a phantom. Returns the loss and the gradient norm of each step, and the
/// Dice after the last.
fn steps(device: &Device, precision: Float) -> (Vec<(f64, f64)>, f64) {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    trainer_data::phantom::write(&data, 2, 5, 32, &Silent).unwrap();
    let config = TrainConfig {
        held_out: 1.0,
        steps: 4.into(),
        batch: 1,
        // Less than the whole phantom of 32 voxels: the background has the value of the foreground's
        // mean, 0, so over the whole volume its first norm is 0 but for rounding, whose sign decides
        // the gradient of a network that no step has shifted yet.
        patch: [24; 3],
        validate_every: 4.into(),
        log_every: 1.into(),
        augment: AugmentSettings::none(),
        precision,
        ..settings()
    };
    let outcome =
        train(TrainJob::new(&data, &out), &config, device, &AtomicBool::new(false)).unwrap();
    assert!(outcome.finished);
    let history = History::read(&out).unwrap();
    let values = |metric| history.values(metric).into_iter().map(|(_, value)| value);
    let steps = values(Metric::Loss).zip(values(Metric::GradientNorm));
    (steps.collect(), outcome.best.expect("validated").dice)
}
