//! `rewind-bench kernels`: how long each kernel takes, beside what memory alone would allow and what
//! others take for the same.

use anyhow::{Context, Result, ensure};
use burn::tensor::{Device, Distribution, FloatDType, Tensor};
use clap::Args;
use serde::{Deserialize, Serialize};

use trainer_run::{DISCLAIMER, progress};
use trainer_train::device;
use trainer_train::estimate::size;

#[cfg(feature = "libtorch")]
mod libtorch;
pub(super) mod passes;
mod peers;
mod stopwatch;

use passes::{Op, Pass, passes};
use peers::Against;

/// Measure every kernel by itself, beside the copy of a tensor.
///
/// Takes the shapes that the kernels meet in `mbconv-base` on a volume, level by level. For each:
/// the median time, the bytes that no implementation can do without, and how fast these went by as a
/// share of a plain copy's speed, measured in the same run (100 % would be a kernel that is as fast
/// as memory). Dense convolutions are bound by arithmetic instead: their multiply-adds a second
/// are told.
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
    /// In which type tensors are kept; arithmetic is in f32, and so are the loss and its logits.
    #[arg(long, default_value = "f32", value_parser = ["f32", "f16", "bf16"])]
    storage: String,
    /// How often each is run; the median counts.
    #[arg(long, default_value_t = 10)]
    repeat: usize,
    /// Runs these beside: stock (burn's own operations), libtorch (in builds with that feature).
    #[arg(long, value_delimiter = ',')]
    against: Vec<Against>,
    /// cpu, wgpu, wgpu:N, cuda or cuda:N; by default the best that is compiled in and present.
    #[arg(long)]
    device: Option<String>,
    /// Prints JSON instead of a table.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  rewind-bench kernels --device cpu --against stock
  rewind-bench kernels --device cuda --storage f16 --only depthwise --against stock,libtorch

Research use only, not a medical device";

/// Most values of one tensor: what a graphics card holds.
const MAX_VALUES: usize = 1 << 31;

/// One kernel on one shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Operation and pass, such as `depthwise forward`.
    pub kernel: String,
    /// Channels.
    pub channels: usize,
    /// Voxels along i, j, k.
    pub dims: [usize; 3],
    /// The least that is read and written.
    pub bytes: u64,
    /// Multiply-adds of the convolutions.
    pub multiply_adds: u64,
    /// Median of our kernel.
    pub secs: f64,
    /// Speed of `bytes` over that of a copy in the same run.
    pub share_of_copy: f64,
    /// Medians of the others, where they have the operation, by name; in words why not, where one
    /// failed.
    pub others: Vec<(String, Result<f64, String>)>,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// The device.
    pub device: String,
    /// The tensors' type.
    pub storage: String,
    /// Bytes read and written a second by a copy.
    pub copy_bytes_per_sec: f64,
    /// By level, then by kernel.
    pub rows: Vec<Row>,
}

/// Runs the command.
///
/// # Errors
/// For sizes that are none, a device that is not there, and a peer that is not compiled in.
pub fn run(args: &KernelsArgs) -> Result<()> {
    let table = measure(args)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&table)?);
    } else {
        print!("{}\n{DISCLAIMER}\n", table.markdown());
    }
    Ok(())
}

/// The table that the options ask for.
fn measure(args: &KernelsArgs) -> Result<Table> {
    ensure!(args.repeat > 0, "--repeat: expected at least 1, found 0");
    for peer in &args.against {
        peer.check()?;
    }
    let device = device::device(args.device.as_deref())?;
    let usual = if format!("{device:?}").contains("Cuda") { "160x240x240" } else { "32x48x48" };
    let dims = size(args.size.as_deref().unwrap_or(usual))?;
    let storage = match args.storage.as_str() {
        "f16" => FloatDType::F16,
        "bf16" => FloatDType::BF16,
        _ => FloatDType::F32,
    };
    let shapes = shapes(&args.widths, dims)?;
    let wanted = |pass: &&Pass| {
        args.only.is_empty() || args.only.iter().any(|part| pass.name().contains(part.as_str()))
    };
    let passes = passes();
    let passes: Vec<&Pass> = passes.iter().filter(wanted).collect();
    ensure!(
        !passes.is_empty(),
        "--only: expected a part of a kernel's name, found {:?}",
        args.only
    );
    let copy = copy_speed(shapes[0], storage, args.repeat, &device)?;
    let at_level = |(level, shape): (usize, &(usize, [usize; 3]))| {
        // Logits are there at the first level alone.
        let passes = passes.iter().filter(move |pass| level == 0 || pass.op != Op::Loss);
        passes.map(|pass| (*pass, *shape)).collect::<Vec<_>>()
    };
    let all: Vec<(&Pass, _)> = shapes.iter().enumerate().flat_map(at_level).collect();
    let bar = progress::bar("kernels", all.len() as u64);
    let mut rows = Vec::new();
    for (pass, (channels, dims)) in all {
        bar.set_message(format!("{} on {channels} channels", pass.name()));
        let row = pass
            .row(channels, dims, storage, args.repeat, &args.against, copy, &device)
            .with_context(|| format!("{} on {channels} channels of {dims:?}", pass.name()))?;
        rows.push(row);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let device = device::describe(&device);
    Ok(Table { device, storage: args.storage.clone(), copy_bytes_per_sec: copy, rows })
}

/// Channels and voxels (i, j, k) of every level; these are even, as pooling needs them.
fn shapes(widths: &[usize], dims: [usize; 3]) -> Result<Vec<(usize, [usize; 3])>> {
    let shape = |(level, &channels): (usize, &usize)| {
        let dims = dims.map(|n| (n >> level.min(60)) & !1);
        let values =
            dims.iter().try_fold(channels.saturating_mul(2), |product, &n| product.checked_mul(n));
        ensure!(
            channels % 2 == 0 && values.is_some_and(|n| (1..=MAX_VALUES).contains(&n)),
            "--size, --widths: expected an even number of channels, and 2 voxels or more along every \
             axis but at most {MAX_VALUES} values, at every level; found {channels} channels of \
             {dims:?} at level {level}"
        );
        Ok((channels, dims))
    };
    ensure!(!widths.is_empty(), "--widths: expected at least one");
    widths.iter().enumerate().map(shape).collect()
}

/// Bytes read and written a second where nothing is computed.
fn copy_speed(
    (channels, [i, j, k]): (usize, [usize; 3]),
    storage: FloatDType,
    repeat: usize,
    device: &Device,
) -> Result<f64> {
    let normal = Distribution::Normal(0.0, 1.0);
    let x = Tensor::<5>::random([1, channels, k, j, i], normal, device).cast(storage);
    let bytes = 2 * channels * i * j * k * passes::float_bytes(storage);
    let secs = stopwatch::forward(device, repeat, || x.clone().add_scalar(1.0))?;
    Ok(bytes as f64 / secs)
}

impl Table {
    /// As a Markdown table.
    fn markdown(&self) -> String {
        let mut text = format!(
            "{}, tensors in {}; a copy reads and writes {:.1} GB/s\n\n\
             | kernel | channels | voxels (k×j×i) | ms | MB | of copy | Gmadd/s |",
            self.device,
            self.storage,
            self.copy_bytes_per_sec / 1e9
        );
        let names: Vec<&str> =
            self.rows.first().map_or(Vec::new(), |row| row.others.iter().map(|o| &*o.0).collect());
        names.iter().for_each(|name| text += &format!(" {name} ms | {name} : ours |"));
        text += &format!("\n|{}\n", "---|".repeat(7 + 2 * names.len()));
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
            for (_, found) in &row.others {
                text += &match found {
                    Ok(secs) => format!(" {:.3} | {:.1} |", 1e3 * secs, secs / row.secs),
                    Err(why) => format!(" {why} | |"),
                };
            }
            text.push('\n');
        }
        text
    }
}
