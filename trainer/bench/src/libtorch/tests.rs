//! burn's networks and libtorch's are one function, with one gradient.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData};
use model_core::nets::{UNet3d, backward};
use model_core::network::config::PRESETS;
use model_core::network::layers::parameters;
use model_core::{Array, BackwardMode, UNetConfig, Weights};

use super::{Network, numbers, tensor};
use trainer_run::rng::{RngStream, generator, normal};
use trainer_train::adam;
use trainer_train::initial::initial_weights;
use trainer_train::model;

/// A preset's network with all its levels and layers at a fraction of its widths.
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

/// Numbers that do not repeat.
fn wave(count: usize, frequency: f32) -> Vec<f32> {
    (0..count).map(|n| (n as f32 * frequency).sin()).collect()
}

/// Weights none of which is 0 or 1 throughout.
fn weights(config: &UNetConfig) -> Weights {
    let mut weights = initial_weights(config, 3);
    for (number, array) in weights.values_mut().enumerate() {
        let noise = normal(generator(7, RngStream::Weights, number as u64));
        array.values.iter_mut().zip(noise).for_each(|(value, noise)| *value += 0.05 * noise);
    }
    weights
}

struct Case {
    config: UNetConfig,
    weights: Weights,
    dims: [usize; 3],
    input: Vec<f32>,
    seed: Vec<f32>,
}

impl Case {
    /// The weights are the same for every number, the input is another.
    fn new(preset: &str, number: usize) -> Case {
        let config = shrunk(preset);
        let (least, more) = (config.min_size(), config.size_multiple());
        // No cube and two volumes, so that no axis is taken for another, unless that makes it large.
        let (dims, batch) = match least {
            ..=16 => ([least, least + more, least], 2),
            ..=32 => ([least, least, least + more], 1),
            _ => ([least; 3], 1),
        };
        let voxels: usize = batch * dims.iter().product::<usize>();
        let slow = 1.0 + 0.37 * number as f32;
        let input = wave(config.in_channels() * voxels, 0.0073 * slow);
        let seed = wave(config.out_channels() * voxels, 0.0137 * slow);
        Case { weights: weights(&config), config, dims, input, seed }
    }

    /// Logits and gradients of burn's network.
    fn ours(&self) -> (Vec<f32>, Weights) {
        let device = Device::flex().autodiff();
        let network = model::build(&self.config, &self.weights, &device).unwrap();
        let tensor =
            |values: &[f32], channels| model::tensor(values.to_vec(), channels, self.dims, &device);
        let logits = network.forward(tensor(&self.input, self.config.in_channels()));
        let found = adam::numbers(logits.clone().inner());
        let seed = tensor(&self.seed, self.config.out_channels());
        let gradients = backward(vec![(logits, seed)]);
        let mut collect = Collect { gradients, arrays: Vec::new() };
        network.visit(&mut collect);
        let names = parameters(&self.config).into_iter().map(|parameter| parameter.name);
        (found, names.zip(collect.arrays).collect())
    }

    /// Logits and gradients of libtorch's.
    fn theirs(&self, compute: tch::Kind) -> (Vec<f32>, Weights) {
        let device = tch::Device::Cpu;
        let network = Network::new(&self.config, &self.weights, compute, device).unwrap();
        let x = tensor(&self.input, self.config.in_channels(), self.dims, device);
        let seed = tensor(&self.seed, self.config.out_channels(), self.dims, device);
        let mut found = Vec::new();
        network.differentiate(&x, |logits| {
            found = numbers(logits);
            seed
        });
        let plain = difference(&numbers(&network.logits(&x)), &found);
        assert!(plain < 1e-2, "without a graph: {plain}");
        (found, network.gradients())
    }
}

/// Every parameter's gradient, in the module's order.
struct Collect {
    gradients: burn::tensor::Gradients,
    arrays: Vec<Array>,
}

impl ModuleVisitor for Collect {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        let gradient = tensor.grad(&self.gradients).expect("every parameter has a gradient");
        let data: TensorData = gradient.into_data();
        let shape = data.shape().to_vec();
        self.arrays.push(Array { shape, values: data.try_into_vec().unwrap() });
    }
}

fn length(values: impl Iterator<Item = f32>) -> f64 {
    values.map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}

/// How long the difference is, as a share of `b`.
fn difference(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    length(a.iter().zip(b).map(|(a, b)| a - b)) / length(b.iter().copied()).max(1e-9)
}

/// The parameter whose gradients differ most, and how much of them.
///
/// # Panics
/// When the logits differ.
fn worst(what: &str, case: &Case) -> (f64, String) {
    let (ours, theirs) = (case.ours(), case.theirs(tch::Kind::Float));
    let pairs = ours.0.iter().zip(&theirs.0);
    let most = pairs.fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
    assert!(most < 1e-4, "{what}: logits differ by {most}");
    assert_eq!(ours.1.len(), theirs.1.len(), "{what}");
    let each = ours.1.iter().map(|(name, gradient)| {
        (difference(&gradient.values, &theirs.1[name].values), name.clone())
    });
    each.max_by(|a, b| a.0.total_cmp(&b.0)).expect("a network has parameters")
}

/// Gradients agree in five digits, unless a value is so near to 0 that the libraries' roundings put
/// it on both sides of a rectifier: then a whole voxel's gradient comes or goes. Most inputs have no
/// such value; a wrong gradient differs on all.
#[test]
fn every_preset_is_the_same_function_as_in_libtorch_rewinding_and_plain() {
    for preset in PRESETS {
        for reversible in [true, false] {
            let what = format!("{preset}, {}", if reversible { "reversible" } else { "plain" });
            let mut differences = (0..5).map(|number| {
                let mut case = Case::new(preset, number);
                if !reversible {
                    case.config = case.config.in_mode(BackwardMode::NonReversible);
                }
                worst(&what, &case)
            });
            let mut found = Vec::new();
            let agrees = differences.any(|(difference, name)| {
                found.push((difference, name));
                difference < 1e-3
            });
            assert!(agrees, "{what}: gradients differ on every input: {found:?}");
        }
    }
}

/// Half precision rounds to 8 or 11 bits at every convolution.
#[test]
fn half_precision_gives_what_f32_gives_up_to_its_digits() {
    let case = Case::new("mbconv-slim", 0);
    let exact = case.theirs(tch::Kind::Float);
    for (compute, bound) in [(tch::Kind::BFloat16, 0.15), (tch::Kind::Half, 0.03)] {
        let half = case.theirs(compute);
        let worst = difference(&half.0, &exact.0);
        assert!(worst < bound && worst > 1e-5, "{compute:?}: {worst}");
    }
}

#[test]
fn what_is_not_there_is_refused() {
    let network = |config: &UNetConfig| {
        let weights = initial_weights(config, 0);
        Network::new(config, &weights, tch::Kind::Float, tch::Device::Cpu).map(drop)
    };
    let config = shrunk("mbconv-slim");
    network(&config).unwrap();
    let checkpointed = config.in_mode(BackwardMode::Checkpointed);
    assert!(network(&checkpointed).is_err());
    let others = initial_weights(&shrunk("demo"), 0);
    assert!(Network::new(&config, &others, tch::Kind::Float, tch::Device::Cpu).is_err());
    assert_eq!(super::device("cpu").unwrap(), tch::Device::Cpu);
    assert!(["wgpu", "cpu:1", "cuda:x", ""].iter().all(|name| super::device(name).is_err()));
}

/// Adam steps against the same gradients to the same weights.
#[test]
fn adam_steps_to_the_same_weights() {
    use burn::optim::GradientsParams;
    let case = Case::new("demo", 0);
    let device = Device::flex().autodiff();
    let mut ours: UNet3d = model::build(&case.config, &case.weights, &device).unwrap();
    let x = model::tensor(case.input.clone(), case.config.in_channels(), case.dims, &device);
    let seed = model::tensor(case.seed.clone(), case.config.out_channels(), case.dims, &device);
    let mut adam = adam::Adam::new(parameters(&case.config));
    let settings = adam::StepSettings {
        optimizer: trainer_run::config::Optimizer::Adam,
        learning_rate: 1e-3,
        weight_decay: 0.0,
        clip_norm: 0.0,
    };
    let on = tch::Device::Cpu;
    let mut theirs = Network::new(&case.config, &case.weights, tch::Kind::Float, on).unwrap();
    let their_adam = theirs.adam(1e-3).unwrap();
    let input = tensor(&case.input, case.config.in_channels(), case.dims, on);
    for _ in 0..3 {
        let gradients = backward(vec![(ours.forward(x.clone()), seed.clone())]);
        let gradients = GradientsParams::from_grads(gradients, &ours);
        ours = adam.step(settings, ours, gradients, 0.0);
        theirs.differentiate(&input, |_| {
            tensor(&case.seed, case.config.out_channels(), case.dims, on)
        });
        their_adam.step().unwrap();
        theirs.zero_gradients();
    }
    let ours = adam::numbers(ours.forward(x).inner());
    let theirs = numbers(&theirs.logits(&input));
    assert!(difference(&ours, &theirs) < 5e-3, "{}", difference(&ours, &theirs));
}
