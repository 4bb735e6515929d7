//! The memory of a training step agrees with the memory estimate, and that of a run on the processor
//! with its plan.

use std::ops::ControlFlow;

use burn::tensor::FloatDType;
use model_core::cpu::{CpuPlan, Part};
use model_core::nets::Precision;
use model_core::network::config::Vae;
use model_core::network::layers::parameters;
use model_core::network::memory_estimate::{Settings, can_rewind, estimate};
use model_core::{Array, BackwardMode, Program, UNetConfig};
use trainer_bench::measure_step;

/// Parses the child process's argument: preset, blocks, mode, size, variational branch, precision.
fn parse(argument: &str) -> (UNetConfig, [usize; 3], Precision) {
    let words: Vec<&str> = argument.split(' ').collect();
    let number = |n: usize| words[n].parse().unwrap();
    let config = integration_tests::narrow_network(words[0]);
    let dims = [number(3), number(3), number(3) + 2 * config.size_multiple()];
    let vae = Vae { units: 8, channels: 4, patch: Some(dims), ..Vae::default() };
    let config = config.with(|config| {
        config.blocks = number(1);
        config.vae = (words[4] == "vae").then_some(vae);
    });
    let config = config.unwrap();
    let mode = BackwardMode::ALL.into_iter().find(|mode| mode.name() == words[2]).unwrap();
    let precision = match words[5] {
        "mixed" => Precision::mixed(FloatDType::F16),
        _ => Precision::F32,
    };
    (config.in_mode(mode), dims, precision)
}

/// Returns the stored bytes and the peak bytes of a step in a child process, where nothing else
/// allocates.
fn measured_bytes(test: &str, argument: &str) -> [u64; 2] {
    let outcome = integration_tests::in_child_process(test, argument, |argument| {
        let (config, dims, precision) = parse(argument);
        let device = burn::tensor::Device::flex();
        let measurement = measure_step(&config, dims, precision, &device).unwrap();
        format!("{} {}", measurement.stored_bytes, measurement.peak_bytes)
    });
    let answer = outcome.answer.unwrap();
    let numbers: Vec<u64> = answer.split(' ').map(|n| n.parse().unwrap()).collect();
    [numbers[0], numbers[1]]
}

/// Stored and peak bytes agree within a tenth, in half precision the peak within 15 %: the CPU
/// computes it on copies.
#[test]
fn the_memory_of_a_step_agrees_with_the_estimate() {
    let name = "memory::the_memory_of_a_step_agrees_with_the_estimate";
    let cases = [
        "pendse-baseline 1 S 32 - f32",
        "mbconv-base 2 S 32 - f32",
        "mbconv-slim 2 S 48 - f32",
        "brugger-1-1 2 S 32 - f32",
        "brugger-baseline 1 S 32 - f32",
        "unet3d 1 S 32 - f32",
        "partially-invres 1 S 32 vae f32",
        "fully-invres 2 S 32 - f32",
        "fully-invres 1 S 32 vae f32",
        "mbconv-slim 2 S 48 - mixed",
        "brugger-1-1 1 S 48 - mixed",
    ];
    let mut disagreements = Vec::new();
    for case in cases {
        for mode in BackwardMode::ALL {
            let argument = case.replace('S', mode.name());
            let (config, dims, precision) = parse(&argument);
            if mode == BackwardMode::Reversible && !can_rewind(&config) {
                continue;
            }
            let settings = Settings { precision, ..Settings::default() };
            let runs = estimate(&config, dims, settings).unwrap().runs;
            let run = runs.into_iter().find(|run| run.mode == mode).unwrap();
            let [stored, peak] = measured_bytes(name, &argument);
            let ratios =
                [run.stored_bytes as f64 / stored as f64, run.peak_bytes as f64 / peak as f64];
            let text = format!(
                "{argument}: stored {} estimated, {stored} measured ({:.3}); peak {} estimated, {peak} measured \
                 ({:.3})",
                run.stored_bytes, ratios[0], run.peak_bytes, ratios[1]
            );
            eprintln!("{text}");
            let of_peak = if argument.ends_with("f32") { 0.1 } else { 0.15 };
            if (ratios[0] - 1.0).abs() > 0.1 || (ratios[1] - 1.0).abs() > of_peak {
                disagreements.push(text);
            }
        }
    }
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
}

/// The peak of a run on the processor is what its plan states, with all channels of a block at once
/// and one group after the other.
#[test]
fn the_memory_of_a_run_on_the_processor_is_what_the_plan_states() {
    let name = "memory::the_memory_of_a_run_on_the_processor_is_what_the_plan_states";
    for preset in ["demo", "mbconv-base", "brugger-1-1", "unet3d", "fully-invres"] {
        for channel_splits in [1, usize::MAX] {
            let argument = format!("{preset} {channel_splits}");
            let outcome = integration_tests::in_child_process(name, &argument, |argument| {
                let (preset, splits) = argument.split_once(' ').unwrap();
                let config = integration_tests::narrow_network(preset);
                let program = Program::new(&config, [64; 3]).unwrap();
                let plan = CpuPlan::new(&program, Part::WHOLE, splits.parse().unwrap()).unwrap();
                let zeros = parameters(&config).into_iter().map(|parameter| {
                    let values = vec![0.5; parameter.shape.iter().product()];
                    (parameter.name, Array { shape: parameter.shape, values })
                });
                let (weights, input) = (zeros.collect(), vec![1.0; 4 * 64 * 64 * 64]);
                let run = || plan.run(&weights, &input, |_| ControlFlow::Continue(())).unwrap();
                // The first run starts the threads.
                drop(run());
                let before = integration_tests::held_bytes();
                integration_tests::take_peak_bytes();
                let output = run();
                let peak = integration_tests::take_peak_bytes() - before;
                drop(output);
                format!("{} {peak}", plan.memory.total_bytes())
            });
            let answer = outcome.answer.unwrap();
            let (stated, measured) = answer.split_once(' ').unwrap();
            let ratio = stated.parse::<f64>().unwrap() / measured.parse::<f64>().unwrap();
            eprintln!("{argument}: {stated} stated, {measured} measured ({ratio:.4})");
            assert!((ratio - 1.0).abs() < 0.02, "{argument}: {answer}");
        }
    }
}
