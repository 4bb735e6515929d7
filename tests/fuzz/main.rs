//! `rewind-fuzz`: reads randomly changed files of every kind that comes from outside.
//! `cargo xtask fuzz` builds and runs it.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use integration_tests::fuzz::{Settings, Target, fuzz, replay, targets};

/// Changes valid files at random and reads them. No input may cause a panic, exceed the time limit
/// or need more memory than its size justifies. Inputs that do are written to files.
#[derive(Parser)]
#[command(name = "cargo xtask fuzz")]
struct Args {
    /// Inputs of each target
    #[arg(long, default_value_t = 1_000_000)]
    iterations: u64,
    /// Time limit of each target in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = u64::MAX)]
    seconds: u64,
    /// Seed of the inputs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Fuzz only this target
    #[arg(long, value_name = "TARGET", overrides_with = "only")]
    only: Option<String>,
    /// Read an input from a file once; needs --only
    #[arg(long, value_name = "FILE", requires = "only")]
    replay: Option<PathBuf>,
    /// Folder for inputs that fail
    #[arg(long, value_name = "DIR", default_value = "rewind-fuzz", overrides_with = "out")]
    out: PathBuf,
}

/// The time limit for reading one input. None takes a second, but a busy machine may stall for
/// many.
const TIME_LIMIT: Duration = Duration::from_secs(60);

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let mut selected = targets();
    if let Some(only) = &args.only {
        let names: Vec<&str> = selected.iter().map(|target| target.name).collect();
        let names = names.join(", ");
        selected.retain(|target| target.name == only);
        ensure!(!selected.is_empty(), "expected a target ({names}), found {only:?}");
    }
    if let Some(file) = &args.replay {
        let outcome = replay(&selected[0], file);
        println!("{}", outcome.with_context(|| format!("cannot read {}", file.display()))?);
        return Ok(ExitCode::SUCCESS);
    }
    let settings = Settings {
        iterations: args.iterations,
        seed: args.seed,
        duration: Duration::from_secs(args.seconds),
        time_limit: TIME_LIMIT,
        out: args.out,
    };
    let mut num_failures = 0;
    for target in &selected {
        let report = fuzz(target, &settings, || command_for(target))?;
        num_failures += report.failures.len();
        println!("{report}");
        if !report.failures.is_empty() {
            println!(
                "  to read an input again: cargo xtask fuzz --only {} --replay FILE",
                target.name
            );
        }
    }
    Ok(ExitCode::from(u8::from(num_failures > 0)))
}

/// Returns this program's command for one target.
fn command_for(target: &Target) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a program has a path"));
    command.args(std::env::args_os().skip(1));
    command.args(["--only", target.name]);
    command
}
