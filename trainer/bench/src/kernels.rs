//! `rewind-bench kernels`: the time of each kernel, beside a copy of its tensors and beside other
//! implementations.

use anyhow::{Context, Result, ensure};
use burn::tensor::Device;
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::arguments::{DeviceArgs, check_libtorch};
use crate::kernel_pass::{KernelPass, Operands, Operation, float_bytes, kernel_passes};
use crate::stock;
use crate::stopwatch::{median_secs, secs, wait};
use trainer_run::config::Float;
use trainer_run::{DISCLAIMER, progress};
use trainer_train::device::{self, DeviceId};
use trainer_train::estimate::size;
use trainer_train::precision::dtype;

/// Measure every kernel by itself, beside the copy of a tensor.
///
/// Takes the shapes of the kernels in `mbconv-base`, level by level. Prints for each the median
/// time, the bytes that no implementation can avoid, and their rate as a share of the rate of a
/// plain copy in the same run (100 %: as fast as memory). Arithmetic bounds dense convolutions
/// instead: their multiply-adds a second are printed.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct KernelsArgs {
    /// Only kernels whose name contains one of these, such as depthwise or "norm backward".
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Voxels along top, front, right at the first level; by default 160x240x240 on CUDA, 32x48x48
    /// elsewhere. Halved, and rounded down to even numbers, at every further level.
    #[arg(long, value_name = "KxJxI")]
    size: Option<String>,
    /// Channels at each level, each at half the resolution of the one before.
    #[arg(long, value_delimiter = ',', default_value = "30,60,120,180,240")]
    widths: Vec<usize>,
    /// The type of the tensors. Arithmetic, the loss and its logits are in f32.
    #[arg(long, default_value = "f32")]
    storage: Float,
    /// Timed runs of each kernel. The median counts.
    #[arg(long, default_value_t = 10)]
    repeat: usize,
    /// Other implementations to measure: burn's own operations (stock), libtorch (in builds with that
    /// feature).
    #[arg(long, value_delimiter = ',')]
    against: Vec<Peer>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Prints JSON instead of a table.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  rewind-bench kernels --device cpu --against stock
  rewind-bench kernels --device cuda --storage f16 --only depthwise --against stock,libtorch

Research use only, not a medical device";

/// The most values of one tensor: as many as a graphics card holds.
const MAX_TENSOR_VALUES: usize = 1 << 31;

/// Another implementation of the operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Peer {
    /// burn's own operations. What burn lacks, such as max pooling and trilinear up-sampling of
    /// volumes, is composed of several.
    Stock,
    /// PyTorch's, through libtorch.
    Libtorch,
}

/// A kernel on one shape.
#[derive(Serialize)]
struct KernelTime {
    /// Operation and pass, such as `depthwise forward`.
    kernel: String,
    channels: usize,
    /// Voxels along i, j, k.
    dims: [usize; 3],
    /// The fewest bytes that are read and written.
    bytes: u64,
    /// Multiply-adds of a convolution.
    multiply_adds: u64,
    /// The median of our kernel.
    secs: f64,
    /// The rate of `bytes` over that of a copy.
    share_of_copy: f64,
    /// The medians of the peers by name, or the reason why one failed.
    others: Vec<(String, Result<f64, String>)>,
}

/// The result of the command.
#[derive(Serialize)]
struct KernelTable {
    device: String,
    /// The type of the tensors.
    storage: String,
    /// Bytes read and written a second by a copy.
    copy_bytes_per_sec: f64,
    /// By level, then by kernel.
    rows: Vec<KernelTime>,
}

/// Runs the command.
///
/// # Errors
/// Errors for an illegal size, a device that is not present or fails, and a peer that is not
/// compiled in.
pub fn run(args: &KernelsArgs) -> Result<()> {
    let table = measure(args)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&table)?);
    } else {
        print!("{}\n{DISCLAIMER}\n", table.markdown());
    }
    Ok(())
}

fn measure(args: &KernelsArgs) -> Result<KernelTable> {
    ensure!(args.repeat > 0, "--repeat: expected at least 1, found 0");
    if args.against.contains(&Peer::Libtorch) {
        check_libtorch()?;
    }
    let device = args.device.open()?;
    let is_cuda = matches!(DeviceId::of(&device), DeviceId::Cuda(_));
    let usual_size = if is_cuda { "160x240x240" } else { "32x48x48" };
    let levels = levels(&args.widths, size(args.size.as_deref().unwrap_or(usual_size))?)?;
    let is_selected = |pass: &KernelPass| {
        args.only.is_empty() || args.only.iter().any(|only| pass.name().contains(only.as_str()))
    };
    let mut passes = kernel_passes();
    passes.retain(is_selected);
    let only = &args.only;
    ensure!(!passes.is_empty(), "--only: expected a word of a kernel's name, found {only:?}");
    let copy_bytes_per_sec = copy_speed(levels[0], args, &device)?;
    let bar = progress::bar("kernels", (levels.len() * passes.len()) as u64);
    let mut rows = Vec::new();
    for (level, &(channels, dims)) in levels.iter().enumerate() {
        for pass in &passes {
            bar.inc(1);
            // Only the first level has logits.
            if level > 0 && pass.operation == Operation::Loss {
                continue;
            }
            let title = format!("{} on {channels} channels", pass.name());
            bar.set_message(title.clone());
            let row = kernel_time(*pass, (channels, dims), args, copy_bytes_per_sec, &device);
            rows.push(row.with_context(|| format!("{title} of {dims:?}"))?);
        }
    }
    bar.finish_and_clear();
    let (device, storage) = (device::describe(&device), args.storage.name().into());
    Ok(KernelTable { device, storage, copy_bytes_per_sec, rows })
}

/// Returns the channels and voxels (i, j, k) of every level. The voxels are even, for pooling.
fn levels(widths: &[usize], dims: [usize; 3]) -> Result<Vec<(usize, [usize; 3])>> {
    let level_shape = |(level, &channels): (usize, &usize)| {
        let dims = dims.map(|n| (n >> level.min(60)) & !1);
        let num_values =
            dims.iter().try_fold(channels.saturating_mul(2), |product, &n| product.checked_mul(n));
        ensure!(
            channels % 2 == 0 && num_values.is_some_and(|n| (1..=MAX_TENSOR_VALUES).contains(&n)),
            "--size, --widths: expected an even number of channels, and 2 voxels or more along every \
             axis but at most {MAX_TENSOR_VALUES} values, at every level; found {channels} channels \
             of {dims:?} at level {level}"
        );
        Ok((channels, dims))
    };
    ensure!(!widths.is_empty(), "--widths: expected at least one");
    widths.iter().enumerate().map(level_shape).collect()
}

/// Returns the bytes that a pass without arithmetic reads and writes a second.
fn copy_speed(
    (channels, dims): (usize, [usize; 3]),
    args: &KernelsArgs,
    device: &Device,
) -> Result<f64> {
    let storage = dtype(args.storage);
    let Operands { x, .. } = Operation::MaxPool.operands(1, channels, dims, storage, device);
    let bytes = 2 * channels * dims.iter().product::<usize>() * float_bytes(storage);
    let secs =
        median_secs(args.repeat, || secs(|| wait(device), || Ok(x.clone().add_scalar(1.0))))?;
    Ok(bytes as f64 / secs)
}

fn kernel_time(
    pass: KernelPass,
    (channels, dims): (usize, [usize; 3]),
    args: &KernelsArgs,
    copy_bytes_per_sec: f64,
    device: &Device,
) -> Result<KernelTime> {
    let operation = pass.operation;
    let (channels, storage) =
        (operation.channels(channels), operation.storage(dtype(args.storage)));
    let operands = operation.operands(1, channels, dims, storage, device);
    let secs = pass.secs(&operands, args.repeat, operation.ours(1, dims))?;
    let others = args.against.iter().map(|peer| {
        let secs = peer.secs(pass, &operands, args.repeat);
        (peer.name().to_string(), secs.map_err(|error| format!("{error:#}")))
    });
    let bytes = (pass.num_values(channels, dims) * float_bytes(storage)) as u64;
    Ok(KernelTime {
        kernel: pass.name(),
        channels,
        dims,
        bytes,
        multiply_adds: operation.multiply_adds(channels, dims),
        secs,
        share_of_copy: bytes as f64 / secs / copy_bytes_per_sec,
        others: others.collect(),
    })
}

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Peer::Stock => "stock",
            Peer::Libtorch => "libtorch",
        }
    }

    /// Returns the median seconds of a pass.
    fn secs(self, pass: KernelPass, operands: &Operands, num_runs: usize) -> Result<f64> {
        match self {
            Peer::Stock => {
                pass.secs(operands, num_runs, stock::operation(pass.operation, operands))
            }
            #[cfg(feature = "libtorch")]
            Peer::Libtorch => crate::libtorch::kernels::secs(pass, operands, num_runs),
            #[cfg(not(feature = "libtorch"))]
            Peer::Libtorch => Err(check_libtorch().expect_err("not compiled in")),
        }
    }
}

impl KernelTable {
    /// Returns a Markdown table.
    fn markdown(&self) -> String {
        let mut text = format!(
            "{}, tensors in {}; a copy reads and writes {:.1} GB/s\n\n\
             | kernel | channels | voxels (k×j×i) | ms | MB | of copy | Gmadd/s |",
            self.device,
            self.storage,
            self.copy_bytes_per_sec / 1e9
        );
        let peers = self.rows.first().map_or(&[][..], |row| &row.others);
        peers.iter().for_each(|(name, _)| text += &format!(" {name} ms | {name} : ours |"));
        text += &format!("\n|{}\n", "---|".repeat(7 + 2 * peers.len()));
        for row in &self.rows {
            let [i, j, k] = row.dims;
            text += &format!(
                "| {} | {} | {k}×{j}×{i} | {:.3} | {:.2} | {:.0} % | {} |",
                row.kernel,
                row.channels,
                1e3 * row.secs,
                row.bytes as f64 / 1e6,
                100.0 * row.share_of_copy,
                match row.multiply_adds {
                    0 => String::new(),
                    n => format!("{:.1}", n as f64 / row.secs / 1e9),
                }
            );
            for (_, secs) in &row.others {
                text += &match secs {
                    Ok(secs) => format!(" {:.3} | {:.1} |", 1e3 * secs, secs / row.secs),
                    Err(reason) => format!(" {reason} | |"),
                };
            }
            text.push('\n');
        }
        text
    }
}
