//! The project's own commands, `cargo xtask …`: developers and continuous integration run the same.
//! It starts other commands and uses no crate of the project.

mod bench;
mod command;
mod demo;
mod fuzz;
mod models;
mod page;
mod papers;
mod showcase;
mod steps;
mod test;
mod tools;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use workspace::Workspace;

/// Builds, demonstrates and checks Rewind.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the page: WebAssembly, JavaScript and static files in one folder
    Page {
        /// The output folder [default: rewind-page in cargo's target folder]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Train a small network in about two minutes, and open it in the page
    Demo(demo::DemoOptions),
    /// Train the models that the page offers on real scans, and export them to web-viewer/models
    Models {
        /// The folder with the data sets `glioma2mm` (BraTS cases at 2 mm) and `hippocampus` (Medical
        /// Segmentation Decathlon, task 4)
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// Make only this model
        #[arg(long, value_parser = models::NAMES)]
        only: Option<String>,
    },
    /// Train the papers' comparisons at a fraction of their size, and write the tables of
    /// trainer/docs/papers.md: a night on two cores, which can be interrupted
    Papers(papers::PapersOptions),
    /// Run all checks: format, lints, documentation, tests, the page in a browser
    Test {
        /// Check the GPU backends instead: compile for CUDA, and run the kernels and a training on
        /// wgpu (on software Vulkan if there is no graphics card)
        #[arg(long)]
        gpu: bool,
    },
    /// Read randomly changed files of every kind, within limits of memory and time
    #[command(disable_help_flag = true)]
    Fuzz {
        /// Options of `rewind-fuzz`; --help lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Run a benchmark that takes more than one command
    Bench {
        #[command(subcommand)]
        benchmark: Benchmark,
    },
}

#[derive(Subcommand)]
enum Benchmark {
    /// The WGSL engine natively, kernel by kernel, on the machine's fastest adapter
    Engine(bench::engine::EngineOptions),
    /// A network in headless Chromium, by Rewind's engine and by onnxruntime-web from npm
    Browser(bench::browser::BrowserOptions),
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
    let workspace = &Workspace::find()?;
    match command {
        Command::Page { out } => page::build(workspace, &out.unwrap_or_else(|| workspace.page())),
        Command::Demo(options) => demo::demo(workspace, options),
        Command::Models { data, only } => models::models(workspace, &data, only.as_deref()),
        Command::Papers(options) => papers::papers(workspace, &options),
        Command::Test { gpu: false } => test::test(workspace),
        Command::Test { gpu: true } => test::test_gpu(workspace),
        Command::Fuzz { options } => fuzz::fuzz(workspace, &options),
        Command::Bench { benchmark: Benchmark::Engine(options) } => {
            bench::engine::engine(workspace, &options)
        }
        Command::Bench { benchmark: Benchmark::Browser(options) } => {
            bench::browser::browser(workspace, &options)
        }
    }
}
