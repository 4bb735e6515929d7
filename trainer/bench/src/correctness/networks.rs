//! Whole networks on a device, beside the CPU's.

use anyhow::{Result, ensure};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Distribution, FloatDType, Tensor};
use model_core::nets::{Precision, UNet3d, backward};
use model_core::network::config::{Parameter, parameters};
use model_core::{UNetConfig, Weights};

use super::super::gradients::{distance, values};
use super::{Row, float};
use trainer_train::adam::numbers;
use trainer_train::initial::initial_weights;

/// Volumes that a network is shown at once.
const BATCH: usize = 2;

/// A network, and what it is given.
struct Given {
    config: UNetConfig,
    weights: Weights,
    x: Tensor<5>,
    /// The logits' gradient.
    seed: Tensor<5>,
}

/// Its logits, and the gradients of its parameters.
type Found = [Vec<f32>; 2];

/// What a preset is off by: rewound and stored in f32, and rewound, if it can be, in half precision.
pub(super) fn rows(preset: &str, storages: &[String], device: &Device) -> Result<Vec<Row>> {
    let config = UNetConfig::preset(preset, 4, 3)?.for_inference();
    let edge = 2 * config.min_size();
    let random = |channels: usize| {
        let shape = [BATCH, channels, edge, edge, edge];
        Tensor::<5>::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex())
    };
    // A gradient of one sign: where signs cancel, little is left beside what is rounded. And so small
    // that its sum over all voxels stays in f16's range.
    let (x, seed) = (random(config.in_channels), random(config.out_channels).abs() / 64.0);
    let given = Given { weights: initial_weights(&config, 1), x, seed, config };
    let reversible = given.config.reversible;
    let cpu = Device::flex();
    let expected = given.run(reversible, Precision::F32, &cpu)?;
    let count: usize = parameters(&given.config).iter().map(Parameter::len).sum();
    let found = expected[1].len();
    ensure!(found == count, "expected {count} gradients, found {found}");
    let mut rows = Vec::new();
    let mut row = |what: String, error: f64, bound: f64| {
        let shape = format!("{BATCH} × {edge}×{edge}×{edge}");
        rows.push(Row { what: format!("{preset}, {what}"), shape, error, bound });
    };
    for storage in storages {
        let precision = Precision::mixed(float(storage));
        if precision == Precision::F32 {
            for rewinds in [true, false].into_iter().filter(|rewinds| reversible || !rewinds) {
                let how = if rewinds { "rewound" } else { "stored" };
                let found = given.run(rewinds, precision, device)?;
                let logits = distance(&found[0], &expected[0]);
                row(format!("{how}: logits"), logits, 1e-4);
                let (error, worst) = worst_gradient(&given.config, &expected, &found);
                row(format!("{how}: gradients, worst {worst}"), error, 2e-2);
            }
            continue;
        }
        let (usual, found) =
            (given.run(reversible, precision, &cpu)?, given.run(reversible, precision, device)?);
        for (n, what) in ["logits", "gradients"].into_iter().enumerate() {
            let error = |found: &Found| distance(&found[n], &expected[n]);
            row(format!("{storage}: {what}"), error(&found), half_bound(error(&usual), precision));
        }
    }
    Ok(rows)
}

/// How far half precision may be from f32, given how far the CPU's own is. That depends on the network:
/// from the last digit, where nothing adds up, to a tenth of a gradient and more, where a rounded value
/// falls on the other side of a rectifier, or a maximum on another voxel. Another order of sums flips
/// others of these, of which there are as many: two times as far is none of its doing, where it is more
/// than a few last digits.
fn half_bound(usual: f64, precision: Precision) -> f64 {
    let last_digit = match precision.compute {
        FloatDType::BF16 => 1.0 / 256.0,
        _ => 1.0 / 2048.0,
    };
    2.0 * usual + 4.0 * last_digit
}

impl Given {
    fn run(&self, reversible: bool, precision: Precision, device: &Device) -> Result<Found> {
        let config = UNetConfig { reversible, ..self.config.clone() };
        let device = device.clone().autodiff();
        let network = UNet3d::in_precision(&config, precision, &device).load(&self.weights)?;
        let there = |t: &Tensor<5>| Tensor::<5>::from_data(t.to_data(), &device);
        let logits = network.forward(there(&self.x));
        let found = numbers(logits.clone().inner());
        let gradients = backward(vec![(logits, there(&self.seed))]);
        let gradients = GradientsParams::from_grads(gradients, &network);
        Ok([found, values(&network, gradients)])
    }
}

/// The parameter whose gradient is off by most, and by how much. Where two f32 results differ in
/// their last digits, some voxels fall on the other side of a rectifier: that alone is some 1e-3.
fn worst_gradient(config: &UNetConfig, expected: &Found, found: &Found) -> (f64, String) {
    let ([_, expected], [_, found]) = (expected, found);
    if expected.len() != found.len() {
        return (f64::INFINITY, format!("{} of {} gradients", found.len(), expected.len()));
    }
    let mut at = 0;
    let errors = parameters(config).into_iter().map(|parameter| {
        let range = at..at + parameter.len();
        at = range.end;
        (distance(&found[range.clone()], &expected[range]), parameter.name)
    });
    let worse = |a: (f64, String), b: (f64, String)| if a.0 >= b.0 || a.0.is_nan() { a } else { b };
    errors.fold((0.0, String::new()), worse)
}
