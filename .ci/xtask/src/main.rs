//! The project's own commands, `cargo xtask …`: a developer and the checks on a server run the
//! same. It spawns commands and uses none of the project's crates.

mod bench;
mod command;
mod demo;
mod fuzz;
mod models;
mod page;
mod show;
mod steps;
mod test;
mod tools;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use workspace::Workspace;

/// Builds, shows and checks Rewind.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the page: WebAssembly, its glue and the static files, in one folder
    Page {
        /// Where the page goes [default: rewind-page in cargo's target folder]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Train a small network in about two minutes, and show it in the page
    Demo {
        /// A data set in the Decathlon's form, to train on instead of phantoms
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// Voxels of a phantom along each axis
        #[arg(long, default_value_t = 64)]
        size: usize,
        /// Optimizer steps [default: about two minutes on two cores]
        #[arg(long)]
        steps: Option<usize>,
        /// Where the page is served
        #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
        listen: String,
        /// Stop before serving the page
        #[arg(long)]
        no_serve: bool,
        /// Remove what earlier runs have made
        #[arg(long)]
        fresh: bool,
    },
    /// Train models on real scans, and pack each for the page with a case it was not trained on
    Models {
        /// The folder that holds the data sets `hippocampus` (Medical Segmentation Decathlon, task
        /// 4) and `lgg64` (TCGA lower-grade glioma at 64 × 64)
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// Only this model
        #[arg(long, value_parser = models::NAMES)]
        only: Option<String>,
    },
    /// Check everything: format, lints, documentation, tests, the page in a browser
    Test {
        /// Check the GPU backends instead: compiles them for CUDA, and runs the kernels and a
        /// training on wgpu (on software Vulkan where there is no graphics card)
        #[arg(long)]
        gpu: bool,
    },
    /// Read files of every kind from outside, changed at random, within limits of memory and time
    #[command(disable_help_flag = true)]
    Fuzz {
        /// Options of `rewind-fuzz`; --help lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Measure what takes more than one command
    Bench {
        #[command(subcommand)]
        what: Bench,
    },
}

#[derive(Subcommand)]
enum Bench {
    /// The WGSL engine natively, kernel by kernel, on the machine's fastest adapter
    Engine {
        /// A network; may be given again
        #[arg(long = "preset", default_values = ["mbconv-slim"])]
        presets: Vec<String>,
        /// Voxels of the input along i, j, k; padded to what the network takes
        #[arg(long, default_value = "64x64x64", value_parser = parse_size)]
        size: Size,
        /// Channels of the input
        #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=64))]
        channels: u64,
        /// What may be allocated on the GPU, such as 512MiB or 2GiB
        #[arg(long, default_value = "4GiB", value_parser = bench::engine::mebibytes)]
        budget: u64,
        /// In what maps are stored: f32, f16, or auto for f32 where the budget allows it
        #[arg(long, default_value = "auto", value_parser = ["auto", "f32", "f16"])]
        storage: String,
        /// Blocks of at most so many channels are expanded and filtered at once: a number, no, or auto
        /// for what is faster on the GPU
        #[arg(long)]
        fused: Option<String>,
        /// Runs after the first, whose medians are told
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
        repeat: u64,
        /// A commit to measure in the same run, before
        #[arg(long, value_name = "REVISION")]
        against: Option<String>,
    },
    /// One network in one headless Chromium, by our engine and by onnxruntime-web from npm
    Browser {
        /// A preset, with weights of a moment's training on phantoms; may be given again
        #[arg(long = "preset", default_values = ["demo", "mbconv-slim"])]
        presets: Vec<String>,
        /// A bundle to measure instead; may be given again
        #[arg(long = "model", value_name = "FILE")]
        models: Vec<PathBuf>,
        /// Voxels of the input along i, j, k
        #[arg(long, default_value = "32x32x32", value_parser = parse_size)]
        size: Size,
        /// Runs after the first, whose median is told
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
        runs: u64,
        /// On the machine's graphics card instead of in software
        #[arg(long)]
        hardware: bool,
        /// Seconds that an engine may take in all
        #[arg(long, default_value_t = 300)]
        limit_secs: u64,
    },
}

/// Voxels along i, j, k.
#[derive(Clone, Copy)]
struct Size([usize; 3]);

fn parse_size(text: &str) -> Result<Size, String> {
    let numbers: Option<Vec<usize>> = text.split('x').map(|number| number.parse().ok()).collect();
    let size = numbers.and_then(|numbers| numbers.try_into().ok());
    size.map(Size).ok_or_else(|| format!("expected a size such as 48x48x32, found {text:?}"))
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    let workspace = Workspace::find()?;
    match command {
        Command::Page { out } => {
            let out = out.unwrap_or_else(|| workspace.page());
            page::build(&workspace, &out)
        }
        Command::Demo { data, size, steps, listen, no_serve, fresh } => {
            let listen = (!no_serve).then_some(listen);
            demo::demo(&workspace, demo::Demo { data, size, steps, listen, fresh })
        }
        Command::Models { data, only } => models::models(&workspace, &data, only.as_deref()),
        Command::Test { gpu: false } => test::test(&workspace),
        Command::Test { gpu: true } => test::gpu(&workspace),
        Command::Fuzz { options } => fuzz::fuzz(&workspace, &options),
        Command::Bench {
            what:
                Bench::Engine {
                    presets,
                    size: Size(size),
                    channels,
                    budget: budget_mib,
                    storage,
                    fused,
                    repeat,
                    against,
                },
        } => {
            let channels = channels as usize;
            let engine = bench::engine::Engine {
                presets,
                size,
                channels,
                budget_mib,
                storage,
                fused,
                repeat,
                against,
            };
            bench::engine::engine(&workspace, &engine)
        }
        Command::Bench {
            what: Bench::Browser { presets, models, size: Size(size), runs, hardware, limit_secs },
        } => {
            let runs = runs as usize;
            let browser =
                bench::browser::Browser { presets, models, size, runs, hardware, limit_secs };
            bench::browser::browser(&workspace, &browser)
        }
    }
}
