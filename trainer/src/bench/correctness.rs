//! `rewind bench correctness`: whether a device's kernels compute what the CPU's do.

use anyhow::{Result, bail, ensure};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Distribution, FloatDType, Tensor};
use clap::Args;
use model_core::UNetConfig;
use model_core::config::{PRESETS, Parameter, parameters};
use model_core::nets::{Precision, UNet3d, backward};
use serde::Serialize;

use super::gradients::{distance, values};
use super::kernels::passes::{Of, Operands, Pass, passes};
use crate::adam::numbers;
use crate::initial::initial_weights;
use crate::{DISCLAIMER, device};

/// Hold a device's kernels and networks to those of the CPU.
///
/// Every kernel on odd shapes, in f32 and with tensors in half precision; every preset at a small
/// size, its logits and gradients, rewinding and storing everything. The CPU computes the same in
/// f32. Ends with an error when one is off by more than its bound.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct CorrectnessArgs {
    /// Only kernels and presets whose name contains one of these.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The types of the kernels' tensors. WebGPU knows no bf16.
    #[arg(long, value_delimiter = ',', default_value = "f32,f16", value_parser = ["f32", "f16", "bf16"])]
    storage: Vec<String>,
    /// cpu, wgpu, wgpu:N, cuda or cuda:N; by default the best that is compiled in and present.
    #[arg(long)]
    device: Option<String>,
    /// Prints JSON instead of a table.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  rewind bench correctness --device wgpu --only depthwise,pool,demo
  rewind bench correctness --device cuda --storage f32,f16,bf16

Research use only, not a medical device";

/// Channels and voxels (i, j, k): that fill no tile, but are multiples of two, which pooling needs; and
/// one of many voxels.
const SHAPES: [(usize, [usize; 3]); 5] =
    [(6, [34, 6, 10]), (30, [14, 18, 2]), (2, [2, 2, 66]), (60, [10, 22, 6]), (16, [32, 32, 32])];

/// One comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Row {
    /// The kernel and its pass, or the preset and what was compared.
    what: String,
    /// Where.
    shape: String,
    /// The largest difference over the largest value; of networks, the length of the
    /// difference over that of the expected numbers.
    error: f64,
    /// What is allowed.
    bound: f64,
}

/// Runs the command.
///
/// # Errors
/// When a device is not there, fails, or computes something else.
pub fn run(args: &CorrectnessArgs) -> Result<()> {
    let device = device::device(args.device.as_deref())?;
    let wanted = |name: &str| {
        args.only.is_empty() || args.only.iter().any(|part| name.contains(part.as_str()))
    };
    let mut rows = Vec::new();
    for pass in passes().into_iter().filter(|pass| wanted(&pass.name())) {
        for storage in &args.storage {
            for shape in SHAPES {
                rows.push(kernel(pass, shape, storage, &device)?);
            }
        }
    }
    for preset in PRESETS.into_iter().filter(|preset| wanted(preset)) {
        rows.extend(network(preset, &device)?);
    }
    ensure!(!rows.is_empty(), "--only: expected a part of a name, found {:?}", args.only);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        println!(
            "{} beside the CPU\n\n| what | shape | relative error | allowed |\n|---|---|---|---|",
            device::describe(&device)
        );
        for Row { what, shape, error, bound } in &rows {
            println!("| {what} | {shape} | {error:.1e} | {bound:.1e} |");
        }
        println!("\n{DISCLAIMER}");
    }
    // A NaN is larger than any bound.
    let is_off = |row: &&Row| !matches!(row.error.partial_cmp(&row.bound), Some(o) if o.is_le());
    let off: Vec<String> =
        rows.iter().filter(is_off).map(|row| format!("{} on {}", row.what, row.shape)).collect();
    if !off.is_empty() {
        bail!("{} of {} differ by more than allowed: {}", off.len(), rows.len(), off.join(", "));
    }
    Ok(())
}

/// A kernel's pass on the CPU in f32 and on the device, from numbers that the storage can hold.
fn kernel(
    pass: Pass,
    (channels, dims): (usize, [usize; 3]),
    storage: &str,
    device: &Device,
) -> Result<Row> {
    let (float, bound) = match storage {
        "f16" => (FloatDType::F16, 4e-3),
        "bf16" => (FloatDType::BF16, 3e-2),
        _ => (FloatDType::F32, 3e-5),
    };
    let rounded = |x: Tensor<5>| x.cast(float).cast(FloatDType::F32);
    let Operands { x, weight } = pass.op.operands(channels, dims, FloatDType::F32, &Device::flex());
    let (x, weight) = (rounded(x), rounded(weight));
    let y = pass.op.ours(x.clone(), weight.clone());
    let seed = rounded(y.random_like(Distribution::Normal(0.0, 1.0)));
    let there = |t: &Tensor<5>| Tensor::<5>::from_data(t.to_data(), device).cast(float);
    let expected = found(pass, x.clone(), weight.clone(), seed.clone());
    let found = found(pass, there(&x), there(&weight), there(&seed));
    let error = expected.iter().zip(&found).map(|(a, b)| relative(a, b)).fold(0.0, nan_max);
    let [i, j, k] = dims;
    Ok(Row {
        what: format!("{}, {storage}", pass.name()),
        shape: format!("{channels} × {k}×{j}×{i}"),
        error,
        bound,
    })
}

/// What a pass gives.
fn found(pass: Pass, x: Tensor<5>, weight: Tensor<5>, seed: Tensor<5>) -> Vec<Vec<f32>> {
    let read = |t: Tensor<5>| numbers(t.cast(FloatDType::F32));
    if pass.of == Of::Forward {
        return vec![read(pass.op.ours(x, weight))];
    }
    let x = x.autodiff().set_require_grad(pass.of != Of::Weight);
    let weight = weight.autodiff().set_require_grad(pass.of != Of::Input);
    let y = pass.op.ours(x.clone(), weight.clone());
    let mut gradients = backward(vec![(y, seed.autodiff())]);
    let found = [&x, &weight].map(|t| t.grad_remove(&mut gradients));
    found.into_iter().flatten().map(read).collect()
}

/// A preset's logits and gradients.
fn network(preset: &str, device: &Device) -> Result<Vec<Row>> {
    let config = UNetConfig::preset(preset, 4, 3)?.for_inference();
    let edge = 2 * config.min_size();
    let dims = [edge, edge, edge];
    let weights = initial_weights(&config, 1);
    let random = |channels: usize| {
        let shape = [1, channels, edge, edge, edge];
        Tensor::<5>::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex())
    };
    let (x, seed) = (random(config.in_channels), random(config.out_channels));
    let run = |reversible: bool, precision: Precision, device: &Device| -> Result<[Vec<f32>; 2]> {
        let config = UNetConfig { reversible, ..config.clone() };
        let device = device.clone().autodiff();
        let network = UNet3d::in_precision(&config, precision, &device).load(&weights)?;
        let there = |t: &Tensor<5>| Tensor::<5>::from_data(t.to_data(), &device);
        let logits = network.forward(there(&x));
        let found = numbers(logits.clone().inner());
        let gradients = backward(vec![(logits, there(&seed))]);
        let gradients = GradientsParams::from_grads(gradients, &network);
        Ok([found, values(&network, gradients)])
    };
    let expected = run(config.reversible, Precision::F32, &Device::flex())?;
    let count: usize = parameters(&config).iter().map(Parameter::len).sum();
    ensure!(expected[1].len() == count, "expected {count} gradients, found {}", expected[1].len());
    let mut rows = Vec::new();
    let backwards: &[(bool, &str)] = match config.reversible {
        true => &[(true, "rewound"), (false, "stored")],
        false => &[(false, "stored")],
    };
    for &(reversible, how) in backwards {
        let found = run(reversible, Precision::F32, device)?;
        let shape = dims.map(|n| n.to_string()).join("×");
        let logits = distance(&found[0], &expected[0]);
        let what = format!("{preset}, {how}: logits");
        rows.push(Row { what, shape: shape.clone(), error: logits, bound: 1e-4 });
        let (error, worst) = worst_gradient(&config, &expected[1], &found[1]);
        let what = format!("{preset}, {how}: gradients, worst {worst}");
        rows.push(Row { what, shape, error, bound: 2e-2 });
    }
    Ok(rows)
}

/// The largest difference over the largest value.
fn relative(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() {
        return f64::INFINITY;
    }
    let largest = a.iter().fold(0.0f64, |most, v| nan_max(most, f64::from(v.abs())));
    let difference = |(a, b): (&f32, &f32)| f64::from((a - b).abs());
    a.iter().zip(b).map(difference).fold(0.0, nan_max) / largest.max(1e-30)
}

/// The parameter whose gradient is off by most, and by how much. Where two f32 results differ in
/// their last digits, some voxels fall on the other side of a rectifier: that alone is some 1e-3.
fn worst_gradient(config: &UNetConfig, expected: &[f32], found: &[f32]) -> (f64, String) {
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

/// The larger; a NaN stays.
fn nan_max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}
