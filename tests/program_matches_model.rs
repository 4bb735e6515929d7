//! The burn module, which trains, and the program, which the page runs, compute the same network.

use burn::tensor::{Device, Tensor, TensorData};
use integration_tests::narrow_network;
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

/// Compares every preset with reduced widths, two blocks per level and a rectangular input, and the
/// presets of the page with their own widths.
#[test]
fn the_program_computes_what_the_burn_module_computes() {
    let Some(engine) = integration_tests::engine() else { return };
    let narrow =
        PRESETS.map(|preset| (preset, narrow_network(preset).with(|n| n.blocks = 2).unwrap()));
    let original = ["demo", "mbconv-slim", "mbconv-base"]
        .map(|preset| (preset, UNetConfig::preset(preset, 4, 3).unwrap()));
    for (preset, config) in narrow.into_iter().chain(original) {
        let size = config.min_size();
        let dims = [size + config.size_multiple(), size, size];
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let weights = random_weights(&config, &mut random);
        let input = uniform(&mut random, 4 * dims.iter().product::<usize>());

        let device = Device::flex();
        let network = UNet3d::new(&config, &device).load(&weights).unwrap();
        let x = TensorData::new(input.clone(), [1, 4, dims[2], dims[1], dims[0]]);
        let module = network.forward(Tensor::<5>::from_data(x, &device));
        let module = module.into_data().try_into_vec::<f32>().unwrap();

        let program = Program::new(&config, dims).unwrap();
        let plan = Plan::within(&program, u64::MAX).unwrap();
        let go_on = &mut |_| ControlFlow::Continue(());
        let output = pollster::block_on(engine.run(&plan, &weights, &input, go_on)).unwrap();
        let Output::Logits(engine) = output else { panic!("{preset}: expected logits") };

        assert_eq!(engine.len(), module.len(), "{preset}");
        let differences: Vec<f32> = engine.iter().zip(&module).map(|(a, b)| a - b).collect();
        let difference = largest(&differences) / largest(&module);
        assert!(difference <= 1e-4, "{preset} at {dims:?}: {difference}");
        assert!(largest(&module) > 0.1, "{preset}: the logits are too small for a comparison");
    }
}
