//! `rewind-bench`: what real steps hold, beside what [`model_core::network::memory_estimate`] says they will; how long they
//! and their kernels take, beside others'; what half precision does to gradients; how long scores take.

use std::ffi::OsString;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use model_core::UNetConfig;
use model_core::network::memory_estimate::{Mode, Settings, can_rewind, estimate};
use serde::Serialize;

use trainer_run::config::{Precision, describe};
use trainer_run::{DISCLAIMER, pipes, progress};
use trainer_train::device;
use trainer_train::estimate::{Chosen, NetworkArgs, bytes, place};
use trainer_train::precision::network_precision;

mod augment;
mod correctness;
pub mod counting;
mod gradients;
mod kernels;
mod measure;
mod metrics;
mod op_clock;
mod precision;
mod step;

pub use measure::{Measured, measure};

/// Measure what a network takes, what half precision does to it, and how long scores take.
///
/// Research use only, not a medical device.
#[derive(Parser)]
#[command(name = "rewind-bench", version, after_help = EXAMPLES, disable_help_subcommand = true)]
pub struct BenchArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Memory(MemoryArgs),
    Step(step::StepArgs),
    Metrics(metrics::MetricsArgs),
    Augment(augment::AugmentArgs),
    Kernels(kernels::KernelsArgs),
    Correctness(correctness::CorrectnessArgs),
    Precision(precision::PrecisionArgs),
}

/// Measure the memory of training steps, beside the plan.
///
/// Runs real steps (forward and backward pass) of a network with 1, 2, 4 and 8 blocks a level,
/// rewinding, storing everything, and with √n checkpointing, each in a process of its own with
/// nothing else running, and prints what was held beside what `rewind plan` says. On the CPU an
/// allocator counts every byte; on a GPU the device's own pool is asked.
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
    /// cpu, wgpu, wgpu:N, cuda or cuda:N; by default the best that is compiled in and present.
    #[arg(long)]
    device: Option<String>,
    /// Prints JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Measures one step in this process: what the command starts itself with.
    #[arg(long, hide = true)]
    alone: bool,
}

const EXAMPLES: &str = "\
Examples:
  rewind-bench memory --preset mbconv-slim --size 64x64x64
  rewind-bench memory --preset brugger-1-1 --size 32x32x32 --blocks 1,8 --json

Research use only, not a medical device";

/// A step, planned and measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Blocks a level.
    pub blocks: usize,
    /// How the backward pass gets its activations.
    pub mode: Mode,
    /// What the plan says.
    pub planned: Measured,
    /// What a real step held.
    pub measured: Measured,
}

/// Runs a command line, whose first word is the program's name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    pipes::end_with_reader();
    match run(BenchArgs::parse_from(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress::say(format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs the command.
///
/// # Errors
/// For a network that cannot be built, a step that does not come through, or label maps that cannot
/// be compared.
pub fn run(args: BenchArgs) -> Result<()> {
    match args.what {
        What::Memory(args) => memory(args),
        What::Step(args) => step::run(&args),
        What::Metrics(args) => metrics::run(&args),
        What::Augment(args) => augment::run(&args),
        What::Kernels(args) => kernels::run(&args),
        What::Correctness(args) => correctness::run(&args),
        What::Precision(args) => precision::run(&args),
    }
}

fn memory(args: MemoryArgs) -> Result<()> {
    let Chosen { name, config, dims, .. } = args.network.network(32)?;
    ensure_small(1, &config, dims)?;
    let precision = args.network.precision()?;
    if args.alone {
        let device = device::device(args.device.as_deref())?;
        println!(
            "{}",
            serde_json::to_string(&measure(&config, dims, network_precision(precision), &device)?)?
        );
        return Ok(());
    }
    let place = place(args.device.as_deref())?;
    let settings = Settings { place, batch: 1, precision: network_precision(precision) };
    let mut rows = Vec::new();
    for &blocks in &args.blocks {
        let config = UNetConfig { blocks, ..config.clone() };
        let plan = estimate(&config, dims, settings)?;
        for run in plan.runs {
            if progress::is_terminal() {
                eprint!("\r\x1b[K{name}, {blocks} blocks, {} …", run.mode.name());
            }
            let planned = Measured { stored_bytes: run.stored_bytes, peak_bytes: run.peak_bytes };
            let measured = measured_alone(&run.mode.of(&config), dims, precision, &args)
                .with_context(|| format!("{blocks} blocks a level, {}", run.mode.name()))?;
            rows.push(Row { blocks, mode: run.mode, planned, measured });
        }
        if !can_rewind(&config) && args.blocks.len() > 1 {
            clear_line();
            eprintln!("{name} has no reversible blocks: measured once");
            break;
        }
    }
    clear_line();
    if args.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    let [i, j, k] = dims;
    println!("{name}, a step on {k}×{j}×{i} voxels (k, j, i), {}\n", describe(precision));
    print!("{}", table(&rows));
    println!("\n{DISCLAIMER}");
    Ok(())
}

/// The most numbers of an input or of logits: libtorch counts them in 32 bits, and so do our kernels
/// the voxels of a map.
const MAX_NUMBERS: usize = 1 << 30;

/// Refuses what a network is given before it is allocated.
///
/// # Errors
/// For more than [`MAX_NUMBERS`] going in or coming out.
fn ensure_small(batch: usize, config: &UNetConfig, dims: [usize; 3]) -> Result<()> {
    let channels = config.in_channels.max(config.out_channels);
    let count = dims.iter().try_fold(batch, |count, &n| count.checked_mul(n));
    let count = count.and_then(|count| count.checked_mul(channels));
    ensure!(
        count.is_some_and(|count| count <= MAX_NUMBERS),
        "--size, --batch: expected at most {MAX_NUMBERS} numbers, found {batch} volumes of {dims:?} voxels \
         (i, j, k) with {channels} channels"
    );
    Ok(())
}

/// Takes the line away that says what is being measured.
fn clear_line() {
    if progress::is_terminal() {
        eprint!("\r\x1b[K");
    }
}

/// As a Markdown table.
fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| blocks | backward | stored: plan | measured | ratio | peak: plan | measured | ratio |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let pair = |planned: u64, measured: u64| {
            let ratio = planned as f64 / measured.max(1) as f64;
            format!("{} | {} | {ratio:.2}", bytes(planned), bytes(measured))
        };
        text += &format!(
            "| {} | {} | {} | {} |\n",
            row.blocks,
            row.mode.name(),
            pair(row.planned.stored_bytes, row.measured.stored_bytes),
            pair(row.planned.peak_bytes, row.measured.peak_bytes)
        );
    }
    text
}

/// What the child process is told.
#[derive(Serialize)]
struct Described {
    network: UNetConfig,
}

fn measured_alone(
    config: &UNetConfig,
    dims: [usize; 3],
    precision: Precision,
    args: &MemoryArgs,
) -> Result<Measured> {
    let command = ["memory", "--alone"].map(String::from);
    let answer = alone(&command, config, dims, precision, args.device.as_deref(), None)?;
    serde_json::from_str(&answer).context("the step's process did not answer")
}

/// What `rewind-bench` answers in a process of its own, on this network and size; of both libraries
/// with so many threads, where that is asked for.
fn alone(
    command: &[String],
    config: &UNetConfig,
    dims: [usize; 3],
    precision: Precision,
    device: Option<&str>,
    threads: Option<usize>,
) -> Result<String> {
    let described = toml::to_string(&Described { network: config.clone() })?;
    let file = std::env::temp_dir().join(format!("rewind-bench-{}.toml", std::process::id()));
    trainer_run::files::write(&file, described.as_bytes())?;
    let [i, j, k] = dims;
    let mut process = Command::new(std::env::current_exe()?);
    process.args(command).arg("--config").arg(&file);
    process.args(["--size", &format!("{k}x{j}x{i}")]);
    process.args(["--precision", precision.compute.name()]);
    process.args(["--stream", precision.stream.name()]);
    process.args(device.iter().flat_map(|device| ["--device", device]));
    for variable in ["RAYON_NUM_THREADS", "OMP_NUM_THREADS"] {
        process.envs(threads.map(|threads| (variable, threads.to_string())));
    }
    ends_with_this(&mut process);
    let output = process.stdin(Stdio::null()).stderr(Stdio::piped()).output();
    let _ = std::fs::remove_file(&file);
    let output = output.context("cannot start the process that is measured")?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the step ended with {}: {text}", output.status);
    String::from_utf8(output.stdout).context("the step's process did not answer in text")
}

/// Lets the system end a process when this one ends, however that happens: what is measured next is
/// to be alone on the device.
fn ends_with_this(process: &mut Command) {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;
        let wish = || {
            // SAFETY: the call sets a flag of the new process.
            match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        };
        // SAFETY: between fork and exec only that call is made.
        unsafe { process.pre_exec(wish) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = process;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 16384³ voxels: a plan counts them, and no process tries to hold them.
    #[test]
    fn sizes_that_no_device_holds_are_refused_before_anything_is_made() {
        for command in ["memory", "step", "precision"] {
            let line = format!("rewind-bench {command} --preset demo --size 16384 --device cpu");
            let args = BenchArgs::try_parse_from(line.split(' ')).unwrap();
            let error = run(args).unwrap_err().to_string();
            assert!(error.starts_with("--size") && error.contains("16384"), "{command}: {error}");
        }
    }
}
