//! `rewind-bench correctness`: compares the kernels and networks of a device with those of the CPU.

use anyhow::{Result, bail, ensure};
use burn::tensor::{Device, Distribution, FloatDType, Tensor};
use clap::Args;
use model_core::nets::{Precision, UNet3d, backward};
use model_core::network::config::PRESETS;
use model_core::network::layers::{Parameter, parameters};
use model_core::{BackwardMode, UNetConfig, Weights};
use serde::Serialize;

use crate::arguments::DeviceArgs;
use crate::gradients::{LogitsAndGradients, forward_backward, relative_error, worst_gradient};
use crate::kernel_pass::{KernelPass, Operands, kernel_passes};
use trainer_run::DISCLAIMER;
use trainer_run::config::Float;
use trainer_train::adam::numbers;
use trainer_train::device;
use trainer_train::initial::initial_weights;
use trainer_train::precision::dtype;

/// Compare a device's kernels and networks with those of the CPU.
///
/// Runs every kernel on odd shapes, in f32 and with tensors in half precision; and every preset on
/// two small volumes, its logits and gradients, reversible and non-reversible in f32, and with layers
/// in half precision. The CPU computes the same in f32. Fails if a difference is above its bound.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct CorrectnessArgs {
    /// Only kernels and presets whose name contains one of these.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The types of the kernels' tensors, and of the networks' layers. WebGPU has no bf16.
    #[arg(long, value_delimiter = ',', default_value = "f32,f16")]
    storage: Vec<Float>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Prints JSON instead of a table.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  rewind-bench correctness --device wgpu --only depthwise,pool,demo
  rewind-bench correctness --device cuda --storage f32,f16,bf16

Research use only, not a medical device";

/// Samples, channels and voxels (i, j, k). The first four fill no tile, but are multiples of two, for
/// pooling; the last has many voxels.
const SHAPES: [(usize, usize, [usize; 3]); 5] = [
    (1, 6, [34, 6, 10]),
    (2, 30, [14, 18, 2]),
    (3, 2, [2, 2, 66]),
    (2, 60, [10, 22, 6]),
    (1, 16, [32, 32, 32]),
];

/// Volumes in the input of a network.
const BATCH: usize = 2;

/// A result of the device beside that of the CPU.
#[derive(Serialize)]
struct Comparison {
    /// The kernel and its pass, or the preset and the result.
    what: String,
    shape: String,
    /// For a kernel, the largest difference over the largest value; for a network, the length of the
    /// difference over that of the expected numbers.
    error: f64,
    /// The largest error allowed.
    bound: f64,
}

/// Runs the command.
///
/// # Errors
/// Errors if the device is not present or fails, or if a result differs by more than its bound.
pub fn run(args: &CorrectnessArgs) -> Result<()> {
    let device = args.device.open()?;
    for &storage in &args.storage {
        ensure!(
            device.supports_dtype(dtype(storage)),
            "--storage: expected types that {} computes in, found {}",
            device::describe(&device),
            storage.name()
        );
    }
    let is_selected = |name: &str| {
        args.only.is_empty() || args.only.iter().any(|only| name.contains(only.as_str()))
    };
    let mut comparisons = Vec::new();
    for pass in kernel_passes().into_iter().filter(|pass| is_selected(&pass.name())) {
        for &storage in &args.storage {
            for shape in SHAPES {
                comparisons.push(compare_kernel(pass, shape, storage, &device)?);
            }
        }
    }
    for preset in PRESETS.into_iter().filter(|preset| is_selected(preset)) {
        comparisons.extend(compare_network(preset, &args.storage, &device)?);
    }
    ensure!(!comparisons.is_empty(), "--only: expected a word of a name, found {:?}", args.only);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&comparisons)?);
    } else {
        println!("{} beside the CPU\n", device::describe(&device));
        println!("| what | shape | relative error | allowed |\n|---|---|---|---|");
        for Comparison { what, shape, error, bound } in &comparisons {
            println!("| {what} | {shape} | {error:.1e} | {bound:.1e} |");
        }
        println!("\n{DISCLAIMER}");
    }
    // NaN is above every bound.
    let exceeds = |c: &&Comparison| c.error.is_nan() || c.error > c.bound;
    let wrong = comparisons.iter().filter(exceeds);
    let wrong: Vec<String> = wrong.map(|c| format!("{} on {}", c.what, c.shape)).collect();
    if !wrong.is_empty() {
        let (count, names) = (comparisons.len(), wrong.join(", "));
        bail!("{} of {count} differ by more than allowed: {names}", wrong.len());
    }
    Ok(())
}

/// Runs a kernel's pass on the CPU in f32 and on the device, on numbers that `storage` represents
/// exactly.
fn compare_kernel(
    pass: KernelPass,
    (batch, channels, dims): (usize, usize, [usize; 3]),
    storage: Float,
    device: &Device,
) -> Result<Comparison> {
    let (name, float) = (storage.name(), dtype(storage));
    let bound = match storage {
        Float::F16 => 4e-3,
        Float::Bf16 => 3e-2,
        Float::F32 => 3e-5,
    };
    let operation = pass.operation;
    let channels = operation.channels(channels);
    let rounded = |x: Tensor<5>| x.cast(float).cast(FloatDType::F32);
    let operands = operation.operands(batch, channels, dims, FloatDType::F32, &Device::flex());
    let operands = Operands { x: rounded(operands.x), weight: rounded(operands.weight) };
    let ours = operation.ours(batch, dims);
    let seed = rounded(ours(&operands).random_like(Distribution::Normal(0.0, 1.0)));
    let on_device = |t: &Tensor<5>| Tensor::<5>::from_data(t.to_data(), device).cast(float);
    let device_operands =
        Operands { x: on_device(&operands.x), weight: on_device(&operands.weight) };
    let expected = results(pass, &ours, &operands, seed.clone());
    let actual = results(pass, &ours, &device_operands, on_device(&seed));
    let error = expected.iter().zip(&actual).map(|(a, b)| max_error(a, b)).fold(0.0, nan_max);
    let [i, j, k] = dims;
    let shape = format!("{batch} × {channels} × {k}×{j}×{i}");
    Ok(Comparison { what: format!("{}, {name}", pass.name()), shape, error, bound })
}

/// Returns the results of a pass: the output, or the gradients of the tracked operands.
fn results(
    pass: KernelPass,
    operation: impl Fn(&Operands) -> Tensor<5>,
    operands: &Operands,
    seed: Tensor<5>,
) -> Vec<Vec<f32>> {
    let to_vec = |t: Tensor<5>| numbers(t.cast(FloatDType::F32));
    if pass.is_forward() {
        return vec![to_vec(operation(operands))];
    }
    let tracked = pass.tracked(operands);
    let mut gradients = backward(vec![(operation(&tracked), seed.autodiff())]);
    let results = [&tracked.x, &tracked.weight].map(|t| t.grad_remove(&mut gradients));
    results.into_iter().flatten().map(to_vec).collect()
}

/// Returns the largest difference over the largest value.
fn max_error(expected: &[f32], actual: &[f32]) -> f64 {
    if expected.len() != actual.len() {
        return f64::INFINITY;
    }
    let largest = expected.iter().fold(0.0f64, |max, v| nan_max(max, f64::from(v.abs())));
    let difference = |(a, b): (&f32, &f32)| f64::from((a - b).abs());
    expected.iter().zip(actual).map(difference).fold(0.0, nan_max) / largest.max(1e-30)
}

/// Returns the larger number, or NaN if either is NaN.
fn nan_max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// A network with its input.
struct NetworkCase {
    config: UNetConfig,
    weights: Weights,
    x: Tensor<5>,
    /// The gradient of the logits.
    seed: Tensor<5>,
}

/// Compares a preset: reversible and non-reversible in f32, and in half precision as the preset is.
fn compare_network(preset: &str, storages: &[Float], device: &Device) -> Result<Vec<Comparison>> {
    let config = UNetConfig::preset(preset, 4, 3)?.for_inference();
    let edge = 2 * config.min_size();
    let random = |channels: usize| {
        let shape = [BATCH, channels, edge, edge, edge];
        Tensor::<5>::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex())
    };
    // The gradient has one sign: if signs canceled, little would remain beside the rounding. It is
    // so small that its sum over all voxels stays in f16's range.
    let (x, seed) = (random(config.in_channels()), random(config.out_channels()).abs() / 64.0);
    let case = NetworkCase { weights: initial_weights(&config, 1), x, seed, config };
    let mode = case.config.backward;
    let reversible = mode == BackwardMode::Reversible;
    let cpu = Device::flex();
    let expected = case.run(mode, Precision::F32, &cpu)?;
    let count: usize = parameters(&case.config).iter().map(Parameter::len).sum();
    let found = expected.gradients.len();
    ensure!(found == count, "expected {count} gradients, found {found}");
    let mut comparisons = Vec::new();
    let mut push = |what: String, error: f64, bound: f64| {
        let shape = format!("{BATCH} × {edge}×{edge}×{edge}");
        comparisons.push(Comparison { what: format!("{preset}, {what}"), shape, error, bound });
    };
    for &storage in storages {
        let (name, precision) = (storage.name(), Precision::mixed(dtype(storage)));
        if storage == Float::F32 {
            let modes = [BackwardMode::Reversible, BackwardMode::NonReversible];
            for mode in modes.into_iter().skip(usize::from(!reversible)) {
                let name = mode.name();
                let actual = case.run(mode, precision, device)?;
                let error = relative_error(&actual.logits, &expected.logits);
                push(format!("{name}: logits"), error, 1e-4);
                // Where two f32 results differ in their last digits, some voxels fall on different
                // sides of a rectifier. That alone moves a gradient by about 1e-3.
                let (error, worst) =
                    worst_gradient(&case.config, &actual.gradients, &expected.gradients);
                push(format!("{name}: gradients, worst {worst}"), error, 2e-2);
            }
            continue;
        }
        let [of_cpu, of_device] = [&cpu, device].map(|on| case.run(mode, precision, on));
        let (of_cpu, of_device) = (of_cpu?, of_device?);
        let errors = |result: &LogitsAndGradients| {
            [
                relative_error(&result.logits, &expected.logits),
                relative_error(&result.gradients, &expected.gradients),
            ]
        };
        let (cpu_errors, device_errors) = (errors(&of_cpu), errors(&of_device));
        for (n, what) in ["logits", "gradients"].into_iter().enumerate() {
            let bound = half_precision_bound(cpu_errors[n], storage);
            push(format!("{name}: {what}"), device_errors[n], bound);
        }
    }
    Ok(comparisons)
}

/// Returns the largest allowed error of half precision against f32, for the error of the CPU's own.
///
/// The error depends on the network. It ranges from the last digit, where nothing accumulates, to a
/// tenth of a gradient and more, where a rounded value falls on the other side of a rectifier, or a
/// maximum on another voxel. Another order of sums moves other values, about as many. So twice the
/// error of the CPU is allowed, and a few last digits.
fn half_precision_bound(cpu_error: f64, storage: Float) -> f64 {
    let last_digit = if storage == Float::Bf16 { 1.0 / 256.0 } else { 1.0 / 2048.0 };
    2.0 * cpu_error + 4.0 * last_digit
}

impl NetworkCase {
    fn run(
        &self,
        mode: BackwardMode,
        precision: Precision,
        device: &Device,
    ) -> Result<LogitsAndGradients> {
        let config = self.config.in_mode(mode);
        let device = device.clone().autodiff();
        let network = UNet3d::in_precision(&config, precision, &device).load(&self.weights)?;
        let on_device = |t: &Tensor<5>| Tensor::<5>::from_data(t.to_data(), &device);
        Ok(forward_backward(&network, on_device(&self.x), |_| on_device(&self.seed)))
    }
}
