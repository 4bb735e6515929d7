//! `rewind-fuzz`: reads changed files of every kind that comes from outside; `cargo xtask fuzz`
//! builds and runs it.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use integration_tests::fuzz::{Settings, Target, fuzz, replay, targets};

/// Changes valid files at random and reads them: no input may panic, take long, or take more memory
/// than its bytes justify. Inputs that do are written to files.
#[derive(Parser)]
#[command(name = "cargo xtask fuzz")]
struct Args {
    /// Inputs of each target
    #[arg(long, default_value_t = 1_000_000)]
    iterations: u64,
    /// Seconds after which a target is left, however many inputs it has had
    #[arg(long, value_name = "SECONDS", default_value_t = u64::MAX)]
    seconds: u64,
    /// Other inputs; the same seed gives the same inputs again
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only this target
    #[arg(long, value_name = "TARGET", overrides_with = "only")]
    only: Option<String>,
    /// Read an input that was written to a file, once; with --only
    #[arg(long, value_name = "FILE", requires = "only")]
    replay: Option<PathBuf>,
    /// Where inputs that fail are written
    #[arg(long, value_name = "DIR", default_value = "rewind-fuzz", overrides_with = "out")]
    out: PathBuf,
}

/// How long reading one input may take: none takes a second, but a busy machine may stand still for
/// many.
const TIME_LIMIT: Duration = Duration::from_secs(60);

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let mut chosen = targets();
    if let Some(only) = &args.only {
        let names: Vec<&str> = chosen.iter().map(|target| target.name).collect();
        let names = names.join(", ");
        chosen.retain(|target| target.name == only);
        ensure!(!chosen.is_empty(), "expected a target ({names}), found {only:?}");
    }
    if let Some(file) = &args.replay {
        let outcome = replay(&chosen[0], file);
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
    for target in &chosen {
        let report = fuzz(target, &settings, || again(target))?;
        num_failures += report.failures.len();
        println!("{report}");
        if !report.failures.is_empty() {
            println!("  to read one again: cargo xtask fuzz --only {} --replay FILE", target.name);
        }
    }
    Ok(ExitCode::from(u8::from(num_failures > 0)))
}

/// This command again, for one target.
fn again(target: &Target) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a program has a path"));
    command.args(std::env::args_os().skip(1));
    command.args(["--only", target.name]);
    command
}
