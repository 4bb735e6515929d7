//! `rewind-bench memory`: the memory of training steps beside its estimate.

use anyhow::{Context, Result};
use burn::tensor::{Device, Distribution, Tensor};
use clap::Args;
use model_core::BackwardMode;
use model_core::UNetConfig;
use model_core::nets::{Precision, UNet3d, backward};
use model_core::network::memory_estimate::{Settings, can_rewind, estimate};
use serde::{Deserialize, Serialize};

use crate::arguments::{DeviceArgs, check_num_values};
use crate::child_process::Measurement;
use crate::counting_allocator::{held_bytes, take_peak_bytes};
use crate::stopwatch::wait;
use model_core::texts::bytes;
use trainer_run::config::describe;
use trainer_run::{DISCLAIMER, progress};
use trainer_train::device::kind;
use trainer_train::estimate::{Chosen, NetworkArgs};
use trainer_train::precision::network_precision;

/// Measure the memory of training steps, beside its estimate.
///
/// Runs steps (forward and backward pass) of a network with 1, 2, 4 and 8 blocks a level:
/// reversible, non-reversible, and with √n checkpointing. Each step has a process of its own with
/// nothing else running. On the CPU an allocator counts every byte; on a GPU the memory pool of the
/// device is read. Prints the bytes beside those of `rewind plan`.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct MemoryArgs {
    #[command(flatten)]
    network: NetworkArgs,
    /// Blocks a level.
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8")]
    blocks: Vec<usize>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Prints JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Measures one step in this process.
    #[arg(long, hide = true)]
    alone: bool,
}

const EXAMPLES: &str = "\
Examples:
  rewind-bench memory --preset mbconv-slim --size 64x64x64
  rewind-bench memory --preset brugger-1-1 --size 32x32x32 --blocks 1,8 --json

Research use only, not a medical device";

/// Bytes of a step, without the network's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepBytes {
    /// Bytes held between the forward and the backward pass.
    pub stored_bytes: u64,
    /// The most bytes held; on a GPU the bytes that its pool reserved, which include gaps.
    pub peak_bytes: u64,
}

/// The bytes of a step as estimated and as measured.
#[derive(Serialize)]
struct Comparison {
    /// Blocks a level.
    blocks: usize,
    mode: BackwardMode,
    planned: StepBytes,
    measured: StepBytes,
}

/// Runs the command.
///
/// # Errors
/// Errors if the network cannot be built or a step fails.
pub fn run(args: &MemoryArgs) -> Result<()> {
    let Chosen { name, config, dims, .. } = args.network.network(32)?;
    check_num_values(&config, dims, 1)?;
    let precision = args.network.precision(&config)?;
    if args.alone {
        let bytes =
            measure_step(&config, dims, network_precision(precision), &args.device.open()?)?;
        println!("{}", serde_json::to_string(&bytes)?);
        return Ok(());
    }
    let place = kind(args.device.name())?;
    let settings = Settings { place, batch: 1, precision: network_precision(precision) };
    let mut depths = args.blocks.clone();
    if !can_rewind(&config) && depths.len() > 1 {
        progress::say(format!("{name} has no reversible blocks: measured once"));
        depths.truncate(1);
    }
    let mut comparisons = Vec::new();
    for blocks in depths {
        let config = config.with(|config| config.blocks = blocks)?;
        for run in estimate(&config, dims, settings)?.runs {
            let title = format!("{blocks} blocks a level, {}", run.mode.name());
            if progress::is_terminal() {
                progress::say(format!("{name}, {title} …"));
            }
            let measurement = Measurement {
                config: &config.in_mode(run.mode),
                dims,
                precision,
                device: args.device.name(),
                num_threads: None,
            };
            let measured = measurement.run(&["memory", "--alone"].map(String::from));
            comparisons.push(Comparison {
                blocks,
                mode: run.mode,
                planned: StepBytes { stored_bytes: run.stored_bytes, peak_bytes: run.peak_bytes },
                measured: measured.context(title)?,
            });
        }
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&comparisons)?);
        return Ok(());
    }
    let [i, j, k] = dims;
    println!("{name}, a step on {k}×{j}×{i} voxels (k, j, i), {}\n", describe(precision));
    print!("{}", table(&comparisons));
    println!("\n{DISCLAIMER}");
    Ok(())
}

/// Returns a Markdown table.
fn table(comparisons: &[Comparison]) -> String {
    let mut text = String::from(
        "| blocks | backward | stored: plan | measured | ratio | peak: plan | measured | ratio |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for Comparison { blocks, mode, planned, measured } in comparisons {
        let cells = |planned: u64, measured: u64| {
            let ratio = planned as f64 / measured.max(1) as f64;
            format!("{} | {} | {ratio:.2}", bytes(planned), bytes(measured))
        };
        text += &format!(
            "| {blocks} | {} | {} | {} |\n",
            mode.name(),
            cells(planned.stored_bytes, measured.stored_bytes),
            cells(planned.peak_bytes, measured.peak_bytes)
        );
    }
    text
}

/// Runs two steps on random input and measures the second: the first starts threads and pools that
/// stay. Nothing else should run in the process meanwhile.
///
/// # Errors
/// Errors if the network cannot be built or does not accept `dims` (i, j, k), or if the device
/// fails.
pub fn measure_step(
    config: &UNetConfig,
    dims: [usize; 3],
    precision: Precision,
    device: &Device,
) -> Result<StepBytes> {
    config.check_size(dims)?;
    let device = device.clone().autodiff();
    let network = UNet3d::in_precision(config, precision, &device);
    step(&network, dims, &device)?;
    step(&network, dims, &device)
}

fn step(network: &UNet3d, [i, j, k]: [usize; 3], device: &Device) -> Result<StepBytes> {
    let config = &network.config;
    let random = |channels| {
        Tensor::<5>::random([1, channels, k, j, i], Distribution::Normal(0.0, 1.0), device)
    };
    let before = device_bytes(device)?;
    let x = random(config.in_channels());
    take_peak_bytes();
    let (logits, hooks) = network.forward_with_hooks(x);
    let hook = hooks.bottleneck;
    let stored = device_bytes(device)?;
    let gradient = random(config.out_channels());
    let branch_gradients = network.vae.as_ref().map(|vae| {
        let bottom = hook.take().autodiff().require_grad();
        let units = config.vae.as_ref().map_or(0, |vae| vae.units);
        let output = vae.forward(bottom.clone(), Tensor::zeros([1, units, 1, 1, 1], device));
        let mut gradients = backward(vec![(output.reconstruction, random(config.in_channels()))]);
        hook.give(bottom.grad_remove(&mut gradients).expect("the branch depends on the bottom"));
        gradients
    });
    let gradients = backward(vec![(logits, gradient)]);
    let peak = match device.memory_pool_usage() {
        Some(usage) => usage.bytes_reserved,
        None => take_peak_bytes() as u64,
    };
    drop((gradients, branch_gradients));
    Ok(StepBytes {
        stored_bytes: stored.saturating_sub(before),
        peak_bytes: peak.saturating_sub(before),
    })
}

/// Returns the bytes that the device holds now.
fn device_bytes(device: &Device) -> Result<u64> {
    wait(device)?;
    Ok(match device.memory_pool_usage() {
        Some(usage) => usage.bytes_in_use,
        None => held_bytes() as u64,
    })
}
