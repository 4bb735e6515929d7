//! `rewind-bench correctness`: whether a device's kernels compute what the CPU's do.

use anyhow::{Result, bail, ensure};
use burn::tensor::{Device, Distribution, FloatDType, Tensor};
use clap::Args;
use model_core::nets::backward;
use model_core::network::config::PRESETS;
use serde::Serialize;

use super::kernels::passes::{Of, Operands, Pass, passes};
use trainer_run::DISCLAIMER;
use trainer_train::adam::numbers;
use trainer_train::device;

mod networks;

/// Hold a device's kernels and networks to those of the CPU.
///
/// Every kernel on odd shapes, in f32 and with tensors in half precision; every preset on two volumes
/// of a small size, its logits and gradients, rewinding and storing everything, and with layers in half
/// precision. The CPU computes the same in f32. Ends with an error when one is off by more than its
/// bound.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct CorrectnessArgs {
    /// Only kernels and presets whose name contains one of these.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The types of the kernels' tensors, and of the networks' layers. WebGPU knows no bf16.
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
  rewind-bench correctness --device wgpu --only depthwise,pool,demo
  rewind-bench correctness --device cuda --storage f32,f16,bf16

Research use only, not a medical device";

/// Samples, channels and voxels (i, j, k): that fill no tile, but are multiples of two, which pooling
/// needs; and one of many voxels.
const SHAPES: [(usize, usize, [usize; 3]); 5] = [
    (1, 6, [34, 6, 10]),
    (2, 30, [14, 18, 2]),
    (3, 2, [2, 2, 66]),
    (2, 60, [10, 22, 6]),
    (1, 16, [32, 32, 32]),
];

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
    for storage in &args.storage {
        ensure!(
            device.supports_dtype(float(storage)),
            "--storage: expected types that {} computes in, found {storage}",
            device::describe(&device)
        );
    }
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
        rows.extend(networks::rows(preset, &args.storage, &device)?);
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
    (batch, channels, dims): (usize, usize, [usize; 3]),
    storage: &str,
    device: &Device,
) -> Result<Row> {
    let float = float(storage);
    let bound = match float {
        FloatDType::F16 => 4e-3,
        FloatDType::BF16 => 3e-2,
        _ => 3e-5,
    };
    let channels = pass.op.channels(channels);
    let rounded = |x: Tensor<5>| x.cast(float).cast(FloatDType::F32);
    let Operands { x, weight } =
        pass.op.operands(batch, channels, dims, FloatDType::F32, &Device::flex());
    let (x, weight) = (rounded(x), rounded(weight));
    let ours = pass.op.ours(batch, dims);
    let y = ours(x.clone(), weight.clone());
    let seed = rounded(y.random_like(Distribution::Normal(0.0, 1.0)));
    let there = |t: &Tensor<5>| Tensor::<5>::from_data(t.to_data(), device).cast(float);
    let expected = found(pass.of, &ours, x.clone(), weight.clone(), seed.clone());
    let found = found(pass.of, &ours, there(&x), there(&weight), there(&seed));
    let error = expected.iter().zip(&found).map(|(a, b)| relative(a, b)).fold(0.0, nan_max);
    let [i, j, k] = dims;
    Ok(Row {
        what: format!("{}, {storage}", pass.name()),
        shape: format!("{batch} × {channels} × {k}×{j}×{i}"),
        error,
        bound,
    })
}

/// What a pass gives.
fn found(
    of: Of,
    op: impl Fn(Tensor<5>, Tensor<5>) -> Tensor<5>,
    x: Tensor<5>,
    weight: Tensor<5>,
    seed: Tensor<5>,
) -> Vec<Vec<f32>> {
    let read = |t: Tensor<5>| numbers(t.cast(FloatDType::F32));
    if matches!(of, Of::Forward | Of::Whole) {
        return vec![read(op(x, weight))];
    }
    let x = x.autodiff().set_require_grad(of != Of::Weight);
    let weight = weight.autodiff().set_require_grad(of != Of::Input);
    let y = op(x.clone(), weight.clone());
    let mut gradients = backward(vec![(y, seed.autodiff())]);
    let found = [&x, &weight].map(|t| t.grad_remove(&mut gradients));
    found.into_iter().flatten().map(read).collect()
}

/// A type by name.
fn float(name: &str) -> FloatDType {
    match name {
        "f16" => FloatDType::F16,
        "bf16" => FloatDType::BF16,
        _ => FloatDType::F32,
    }
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

/// The larger; a NaN stays.
fn nan_max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}
