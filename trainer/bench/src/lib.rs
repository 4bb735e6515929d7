//! `rewind-bench`: measures the time, memory and agreement of training, also beside libtorch.
//!
//! One file a benchmark. Shared parts: `child_process` runs a measurement alone in a process,
//! `trainee` is a network that can be trained, `kernel_pass` lists the kernels, `gradients`
//! compares gradients, `stopwatch` and `op_clock` hold the clocks.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use trainer_run::{pipes, progress};

mod arguments;
mod augment;
mod child_process;
mod correctness;
pub mod counting_allocator;
mod gradients;
mod kernel_pass;
mod kernels;
mod library;
#[cfg(feature = "libtorch")]
mod libtorch;
mod losses;
mod memory;
mod metrics;
mod op_clock;
mod precision;
mod process_memory;
mod step;
mod stock;
mod stopwatch;
mod trainee;

pub use memory::{StepBytes, measure_step};

/// Measure training steps, kernels, half precision and scores.
///
/// Research use only, not a medical device.
#[derive(Parser)]
#[command(name = "rewind-bench", version, after_help = EXAMPLES, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Subcommand)]
enum Benchmark {
    Step(step::StepArgs),
    Losses(losses::LossesArgs),
    Memory(memory::MemoryArgs),
    Kernels(kernels::KernelsArgs),
    Correctness(correctness::CorrectnessArgs),
    Precision(precision::PrecisionArgs),
    Augment(augment::AugmentArgs),
    Metrics(metrics::MetricsArgs),
}

const EXAMPLES: &str = "\
Examples:
  rewind-bench step --preset mbconv-slim --size 64
  rewind-bench memory --preset mbconv-slim --size 64x64x64
  rewind-bench kernels --device cpu --against stock

Research use only, not a medical device";

/// Runs a command line. Its first word is the program's name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    pipes::end_with_reader();
    match run(Cli::parse_from(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress::say(format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    match cli.benchmark {
        Benchmark::Step(args) => step::run(&args),
        Benchmark::Losses(args) => losses::run(&args),
        Benchmark::Memory(args) => memory::run(&args),
        Benchmark::Kernels(args) => kernels::run(&args),
        Benchmark::Correctness(args) => correctness::run(&args),
        Benchmark::Precision(args) => precision::run(&args),
        Benchmark::Augment(args) => augment::run(&args),
        Benchmark::Metrics(args) => metrics::run(&args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 16384³ voxels: a plan counts them, and no process tries to hold them.
    #[test]
    fn sizes_that_no_device_holds_are_refused_before_anything_is_allocated() {
        for command in ["memory", "step", "precision"] {
            let line = format!("rewind-bench {command} --preset demo --size 16384 --device cpu");
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            let error = run(cli).unwrap_err().to_string();
            assert!(error.starts_with("--size") && error.contains("16384"), "{command}: {error}");
        }
    }
}
