//! burn's networks and libtorch's are the same function, with the same gradient.

use burn::optim::GradientsParams;
use burn::tensor::Device;
use model_core::nets::backward;
use model_core::network::config::PRESETS;
use model_core::network::layers::parameters;
use model_core::{BackwardMode, UNetConfig, Weights};

use super::network::Network;
use super::{tensor, to_vec};
use crate::gradients::{LogitsAndGradients, forward_backward, relative_error, worst_gradient};
use trainer_run::config::Optimizer;
use trainer_run::rng::{RngStream, generator, normal};
use trainer_train::adam::{Adam, StepSettings, numbers};
use trainer_train::initial::initial_weights;
use trainer_train::model;

/// A preset with all its levels and layers at a fraction of its widths.
fn shrunk(preset: &str) -> UNetConfig {
    let config = UNetConfig::preset(preset, 4, 3).unwrap();
    let (numerator, denominator) = match config.groups {
        None => (1, config.widths[0] / 4),
        Some(groups) => (2, groups),
    };
    let widths = config.widths.iter().map(|width| width * numerator / denominator).collect();
    let shrunk = config.with(|shrunk| {
        shrunk.widths = widths;
        shrunk.groups = shrunk.groups.map(|groups| groups.min(2));
        shrunk.reflections = 2;
    });
    shrunk.unwrap()
}

/// Returns values that do not repeat.
fn wave(count: usize, frequency: f32) -> Vec<f32> {
    (0..count).map(|n| (n as f32 * frequency).sin()).collect()
}

/// Returns weights of which none is 0 or 1 throughout.
fn noisy_weights(config: &UNetConfig) -> Weights {
    let mut weights = initial_weights(config, 3);
    for (number, array) in weights.values_mut().enumerate() {
        let noise = normal(generator(7, RngStream::Weights, number as u64));
        array.values.iter_mut().zip(noise).for_each(|(value, noise)| *value += 0.05 * noise);
    }
    weights
}

struct TestCase {
    config: UNetConfig,
    weights: Weights,
    dims: [usize; 3],
    input: Vec<f32>,
    /// The gradient of the logits.
    seed: Vec<f32>,
}

impl TestCase {
    /// Cases of different numbers have the same weights and different inputs.
    fn new(preset: &str, number: usize) -> TestCase {
        let config = shrunk(preset);
        let (size, multiple) = (config.min_size(), config.size_multiple());
        // Not a cube, and two volumes, so that no axis is taken for another, unless that is large.
        let (dims, batch) = match size {
            ..=16 => ([size, size + multiple, size], 2),
            17..=32 => ([size, size, size + multiple], 1),
            _ => ([size; 3], 1),
        };
        let num_voxels: usize = batch * dims.iter().product::<usize>();
        let factor = 1.0 + 0.37 * number as f32;
        let input = wave(config.in_channels() * num_voxels, 0.0073 * factor);
        let seed = wave(config.out_channels() * num_voxels, 0.0137 * factor);
        TestCase { weights: noisy_weights(&config), config, dims, input, seed }
    }

    fn with_burn(&self) -> LogitsAndGradients {
        let device = Device::flex().autodiff();
        let network = model::build(&self.config, &self.weights, &device).unwrap();
        let tensor =
            |values: &[f32], channels| model::tensor(values.to_vec(), channels, self.dims, &device);
        let x = tensor(&self.input, self.config.in_channels());
        forward_backward(&network, x, |_| tensor(&self.seed, self.config.out_channels()))
    }

    fn with_libtorch(&self, compute: tch::Kind) -> LogitsAndGradients {
        let device = tch::Device::Cpu;
        let network = Network::new(&self.config, &self.weights, compute, device).unwrap();
        let x = tensor(&self.input, self.config.in_channels(), self.dims, device);
        let seed = tensor(&self.seed, self.config.out_channels(), self.dims, device);
        let mut logits = Vec::new();
        network.differentiate(&x, |output| {
            logits = to_vec(output);
            seed
        });
        let error = relative_error(&to_vec(&network.logits(&x)), &logits);
        assert!(error < 1e-2, "without a graph: {error}");
        let by_name = network.gradients();
        let names = parameters(&self.config).into_iter().map(|parameter| parameter.name);
        let gradients = names.flat_map(|name| by_name[&name].values.clone()).collect();
        LogitsAndGradients { logits, gradients }
    }
}

/// Gradients agree in five digits, unless a value is so near to 0 that the libraries round it to
/// different sides of a rectifier. Then the gradient of a whole voxel differs. Most inputs have no
/// such value, but a wrong gradient differs on every input.
#[test]
fn every_preset_is_the_same_function_in_libtorch_reversible_and_non_reversible() {
    for preset in PRESETS {
        for mode in [BackwardMode::Reversible, BackwardMode::NonReversible] {
            let title = format!("{preset}, {}", mode.name());
            let mut differences = Vec::new();
            let agrees = (0..5).any(|number| {
                let mut case = TestCase::new(preset, number);
                if mode == BackwardMode::NonReversible {
                    case.config = case.config.in_mode(mode);
                }
                let (ours, theirs) = (case.with_burn(), case.with_libtorch(tch::Kind::Float));
                let pairs = ours.logits.iter().zip(&theirs.logits);
                let largest = pairs.fold(0.0f32, |max, (a, b)| max.max((a - b).abs()));
                assert!(largest < 1e-4, "{title}: logits differ by {largest}");
                let (error, name) =
                    worst_gradient(&case.config, &ours.gradients, &theirs.gradients);
                differences.push((error, name));
                error < 1e-3
            });
            assert!(agrees, "{title}: gradients differ on every input: {differences:?}");
        }
    }
}

/// Half precision rounds to 8 or 11 bits at every convolution.
#[test]
fn half_precision_agrees_with_f32_up_to_its_digits() {
    let case = TestCase::new("mbconv-slim", 0);
    let exact = case.with_libtorch(tch::Kind::Float);
    for (compute, bound) in [(tch::Kind::BFloat16, 0.15), (tch::Kind::Half, 0.03)] {
        let error = relative_error(&case.with_libtorch(compute).logits, &exact.logits);
        assert!(error < bound && error > 1e-5, "{compute:?}: {error}");
    }
}

#[test]
fn unsupported_networks_foreign_weights_and_unknown_devices_are_refused() {
    let network = |config: &UNetConfig, weights: &UNetConfig| {
        let weights = initial_weights(weights, 0);
        Network::new(config, &weights, tch::Kind::Float, tch::Device::Cpu).map(drop)
    };
    let config = shrunk("mbconv-slim");
    network(&config, &config).unwrap();
    let checkpointed = config.in_mode(BackwardMode::Checkpointed);
    assert!(network(&checkpointed, &checkpointed).is_err());
    assert!(network(&config, &shrunk("demo")).is_err());
    assert_eq!(super::device("cpu").unwrap(), tch::Device::Cpu);
    assert!(["wgpu", "cpu:1", "cuda:x", ""].iter().all(|name| super::device(name).is_err()));
}

#[test]
fn adam_steps_on_the_same_gradients_reach_the_same_weights() {
    let case = TestCase::new("demo", 0);
    let device = Device::flex().autodiff();
    let mut ours = model::build(&case.config, &case.weights, &device).unwrap();
    let x = model::tensor(case.input.clone(), case.config.in_channels(), case.dims, &device);
    let seed = model::tensor(case.seed.clone(), case.config.out_channels(), case.dims, &device);
    let mut adam = Adam::new(parameters(&case.config));
    let (optimizer, learning_rate) = (Optimizer::Adam, 1e-3);
    let settings = StepSettings { optimizer, learning_rate, weight_decay: 0.0, clip_norm: 0.0 };
    let cpu = tch::Device::Cpu;
    let mut theirs = Network::new(&case.config, &case.weights, tch::Kind::Float, cpu).unwrap();
    let their_adam = theirs.adam(learning_rate).unwrap();
    let input = tensor(&case.input, case.config.in_channels(), case.dims, cpu);
    for _ in 0..3 {
        let gradients = backward(vec![(ours.forward(x.clone()), seed.clone())]);
        let gradients = GradientsParams::from_grads(gradients, &ours);
        ours = adam.step(settings, ours, gradients, 0.0);
        theirs.differentiate(&input, |_| {
            tensor(&case.seed, case.config.out_channels(), case.dims, cpu)
        });
        their_adam.step().unwrap();
        theirs.zero_gradients();
    }
    let ours = numbers(ours.forward(x).inner());
    let error = relative_error(&ours, &to_vec(&theirs.logits(&input)));
    assert!(error < 5e-3, "{error}");
}
