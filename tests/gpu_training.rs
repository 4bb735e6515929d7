//! Training on a graphics card, through wgpu, is the training that the CPU does. Built with the
//! feature `wgpu`; `cargo xtask test --gpu` runs it, on software Vulkan where there is no card.

use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use promises::skipped;
use trainer_run::config::{AugmentSettings, Float, TrainConfig};
use trainer_run::metrics_log::{History, Values};
use trainer_train::device::device;
use trainer_train::train::{TrainJob, train};

use crate::training_path::settings;

/// The card, or a software adapter. Where the build or the machine has none this says "skipped: …";
/// with `$REWIND_REQUIRE_GPU` set in a build that could have one, that is a failure.
fn card() -> Option<Device> {
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
fn steps_on_a_card_are_those_on_the_cpu() {
    let Some(card) = card() else { return };
    // Losses and norms may differ by so much, and Dice.
    for (precision, bound, dice_bound) in [(Float::F32, 2e-3, 0.02), (Float::F16, 3e-2, 0.05)] {
        let (cpu, cpu_dice) = steps(&Device::flex(), precision);
        let (gpu, gpu_dice) = steps(&card, precision);
        assert_eq!((cpu.len(), gpu.len()), (4, 4));
        for (step, (a, b)) in cpu.iter().zip(&gpu).enumerate() {
            for (what, a, b) in [("loss", a.0, b.0), ("gradient norm", a.1, b.1)] {
                let is_near = (a - b).abs() < bound * a.abs();
                assert!(is_near, "{precision:?}, step {step}: {what} {a} on the CPU, {b} here");
            }
        }
        let is_near = (cpu_dice - gpu_dice).abs() < dice_bound;
        assert!(is_near, "{precision:?}: {cpu_dice} on the CPU, {gpu_dice} here");
    }
}

/// Loss and gradient norm of each of four steps on a phantom, and the Dice that they lead to.
fn steps(device: &Device, precision: Float) -> (Vec<(f64, f64)>, f64) {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    trainer_data::phantom::write(&data, 2, 5, 32).unwrap();
    let config = TrainConfig {
        held_out: 1.0,
        steps: 4.into(),
        batch: 1,
        patch: [32; 3],
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
    let of = |norm: bool| {
        let numbers = history.training(|values| match values {
            Values::Training { loss, gradient_norm, .. } => {
                Some(if norm { *gradient_norm } else { *loss })
            }
            Values::Validation(_) => None,
        });
        numbers.into_iter().map(|(_, number)| number)
    };
    (of(false).zip(of(true)).collect(), outcome.best.expect("validated").dice)
}
