//! The burn module, which trains, and the program, which both engines run, compute the same network.

use burn::tensor::{Device, Tensor, TensorData};
use integration_tests::{narrow_network, run_in_parts};
use model_core::cpu::{CpuOutput, CpuPlan, Part};
use model_core::nets::UNet3d;
use model_core::network::config::PRESETS;
use model_core::network::layers::parameters;
use model_core::{Array, Program, UNetConfig, Weights};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shaders::{Output, Plan};
use std::ops::ControlFlow;

fn uniform(random: &mut ChaCha8Rng, count: usize) -> Vec<f32> {
    (0..count).map(|_| random.random_range(-1.0..1.0)).collect()
}

/// Returns random weights, so that no parameter has a value that hides an error, such as a scale of
/// 1.
fn random_weights(config: &UNetConfig, random: &mut ChaCha8Rng) -> Weights {
    let array = |parameter: model_core::network::layers::Parameter| {
        let count: usize = parameter.shape.iter().product();
        let fan_in = (count / parameter.shape[0]).max(1) as f32;
        let scale = if parameter.shape.len() == 1 { 1.0 } else { (3.0 / fan_in).sqrt() };
        let values = uniform(random, count).into_iter().map(|v| v * scale).collect();
        (parameter.name, Array { shape: parameter.shape, values })
    };
    parameters(config).into_iter().map(array).collect()
}

/// Returns the largest absolute value.
fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

#[test]
fn the_parameters_of_the_bundle_are_those_of_the_burn_module() {
    for preset in PRESETS {
        let config = UNetConfig::preset(preset, 4, 3).unwrap();
        let module = UNet3d::new(&config, &Device::flex()).weights();
        let mut module: Vec<_> =
            module.into_iter().map(|(name, array)| (name, array.shape)).collect();
        let mut listed: Vec<_> =
            parameters(&config).into_iter().map(|p| (p.name, p.shape)).collect();
        module.sort();
        listed.sort();
        assert_eq!(module, listed, "{preset}");
    }
}

/// A network with random weights, an input, and the logits of the burn module.
struct Example {
    name: String,
    weights: Weights,
    program: Program,
    input: Vec<f32>,
    logits: Vec<f32>,
}

impl Example {
    fn new(preset: &str, config: &UNetConfig, dims: [usize; 3]) -> Example {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let weights = random_weights(config, &mut random);
        let input = uniform(&mut random, 4 * dims.iter().product::<usize>());
        let device = Device::flex();
        let network = UNet3d::new(config, &device).load(&weights).unwrap();
        let x = TensorData::new(input.clone(), [1, 4, dims[2], dims[1], dims[0]]);
        let logits = network.forward(Tensor::<5>::from_data(x, &device));
        let logits = logits.into_data().try_into_vec::<f32>().unwrap();
        let name = format!("{preset} at {dims:?}");
        assert!(largest(&logits) > 0.1, "{name}: the logits are too small for a comparison");
        Example { name, weights, program: Program::new(config, dims).unwrap(), input, logits }
    }

    fn assert_near(&self, engine: &str, logits: &[f32]) {
        assert_eq!(logits.len(), self.logits.len(), "{}", self.name);
        let differences: Vec<f32> = logits.iter().zip(&self.logits).map(|(a, b)| a - b).collect();
        let difference = largest(&differences) / largest(&self.logits);
        assert!(difference <= 1e-4, "{} on {engine}: {difference}", self.name);
    }
}

/// Every preset with reduced widths, two blocks per level and a rectangular input, and the presets
/// of the page with their own widths.
fn examples() -> impl Iterator<Item = Example> {
    let narrow =
        PRESETS.map(|preset| (preset, narrow_network(preset).with(|n| n.blocks = 2).unwrap()));
    let original = ["demo", "mbconv-slim", "mbconv-base"]
        .map(|preset| (preset, UNetConfig::preset(preset, 4, 3).unwrap()));
    narrow.into_iter().chain(original).map(|(preset, config)| {
        let (size, multiple) = (config.min_size(), config.size_multiple());
        Example::new(preset, &config, [size + multiple, size, size + 2 * multiple])
    })
}

#[test]
fn the_program_computes_on_the_gpu_what_the_burn_module_computes() {
    let Some(engine) = integration_tests::engine() else { return };
    for example in examples() {
        let plan = Plan::within(&example.program, u64::MAX).unwrap();
        let go_on = &mut |_| ControlFlow::Continue(());
        let output =
            pollster::block_on(engine.run(&plan, &example.weights, &example.input, go_on)).unwrap();
        let Output::Logits(logits) = output else { panic!("{}: expected logits", example.name) };
        example.assert_near("a GPU", &logits);
    }
}

/// With all channels of a block at once and one group after the other, as a whole and in parts.
#[test]
fn the_program_computes_on_the_cpu_what_the_burn_module_computes() {
    for example in examples() {
        for channel_splits in [1, 2, usize::MAX] {
            let plan = CpuPlan::new(&example.program, Part::WHOLE, channel_splits).unwrap();
            let run = || {
                let go_on = |_| ControlFlow::Continue(());
                match plan.run(&example.weights, &example.input, go_on).unwrap() {
                    CpuOutput::Logits(logits) => logits,
                    CpuOutput::Labels(_) => panic!("expected logits"),
                }
            };
            let logits = run();
            assert_eq!(logits, run(), "{}: the same input gives the same bits", example.name);
            example.assert_near(&format!("the CPU in {channel_splits} ranges"), &logits);
        }
        for count in [2, 3] {
            let logits = run_in_parts(&example.program, &example.weights, &example.input, count);
            example.assert_near(&format!("the CPU in {count} parts"), &logits);
        }
    }
}
