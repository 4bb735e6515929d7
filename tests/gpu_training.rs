//! Training on a graphics card, through wgpu, is the training that the CPU does. Built with the
//! feature `wgpu`; `cargo xtask test --gpu` runs it, on software Vulkan where there is no card.

use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use promises::skipped;
use trainer::config::{AugmentSettings, TrainConfig};
use trainer::device::device;
use trainer::metrics_log::{History, Values};
use trainer::train::{Job, train};

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
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    trainer::phantom::write(&data, 2, 5, 32).unwrap();
    let config = TrainConfig {
        held_out: 1.0,
        steps: 4.into(),
        batch: 1,
        patch: [32; 3],
        validate_every: 4.into(),
        log_every: 1.into(),
        augment: AugmentSettings::none(),
        ..settings()
    };
    let rows = |name: &str, device: &Device| {
        let out = folder.path().join(name);
        let outcome = train(Job::new(&data, &out), &config, device, &AtomicBool::new(false));
        let outcome = outcome.unwrap();
        assert!(outcome.finished);
        let best = outcome.best.expect("validated").dice;
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
        (of(false).zip(of(true)).collect::<Vec<_>>(), best)
    };
    let (cpu, cpu_dice) = rows("cpu", &Device::flex());
    let (gpu, gpu_dice) = rows("gpu", &card);
    assert_eq!(cpu.len(), 4);
    assert_eq!(gpu.len(), 4);
    for (step, (a, b)) in cpu.iter().zip(&gpu).enumerate() {
        for (what, a, b) in [("loss", a.0, b.0), ("gradient norm", a.1, b.1)] {
            assert!((a - b).abs() < 2e-3 * a.abs(), "step {step}: {what} {a} on the CPU, {b} here");
        }
    }
    assert!((cpu_dice - gpu_dice).abs() < 0.02, "{cpu_dice} on the CPU, {gpu_dice} here");
}
