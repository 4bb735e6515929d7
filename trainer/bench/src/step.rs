//! `rewind-bench step`: what a training step takes, in time and memory, beside the same network's
//! twin that stores everything, and beside both in libtorch.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use model_core::UNetConfig;
use model_core::network::memory_estimate::can_rewind;

use super::{alone, ensure_small};
use trainer_run::DISCLAIMER;
use trainer_run::config::describe;
use trainer_run::progress;
use trainer_train::estimate::{Chosen, NetworkArgs};

mod curve;
mod measured;
mod memory;
mod ours;
mod rounds;
mod table;
#[cfg(feature = "libtorch")]
mod theirs;

use measured::{Measured, measure};
use rounds::{Answer, rounds};

/// Measure the time and the memory of training steps, also against libtorch.
///
/// A step is the forward pass, a fixed gradient of the logits, and the backward pass; with
/// --optimizer also Adam's step. Measured are the network as it rewinds and its twin that stores
/// everything, each in processes of its own with nothing else running, round by round in turn. A
/// further process says which kernels the time goes to: it waits for the device around each, and so
/// takes longer. With --against libtorch the same networks are built in libtorch from the same
/// weights, and are measured in turn with ours.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct StepArgs {
    #[command(flatten)]
    network: NetworkArgs,
    /// cpu, wgpu, wgpu:N, cuda or cuda:N; by default the best that is compiled in and present.
    #[arg(long)]
    device: Option<String>,
    /// Volumes a step.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Steps that are timed in each round.
    #[arg(long, default_value_t = 5)]
    steps: usize,
    /// Steps before them, which are not timed.
    #[arg(long, default_value_t = 2)]
    warm_up: usize,
    /// How often each measurement is made.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// Threads of both libraries on the CPU; by default as many as there are cores. libtorch's wait
    /// for each other busily, and are slow on a machine that does other things too.
    #[arg(long)]
    threads: Option<usize>,
    /// With Adam's step.
    #[arg(long)]
    optimizer: bool,
    /// What to compare with.
    #[arg(long, value_parser = ["libtorch"])]
    against: Option<String>,
    /// Trains for so many steps of Adam on a data set's patches instead, and prints the losses; with
    /// --against in both, side by side, on the same batches from the same initial weights.
    #[arg(long, value_name = "STEPS", requires = "data")]
    curve: Option<usize>,
    /// The data set of --curve; `rewind phantom` makes one.
    #[arg(long, requires = "curve")]
    data: Option<PathBuf>,
    /// The data set's task by name, where it does not say it.
    #[arg(long, requires = "data")]
    task: Option<String>,
    /// The learning rate of --curve and of --optimizer.
    #[arg(long, default_value_t = 1e-3)]
    learning_rate: f64,
    /// Prints JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Measures in this process and with this library: what the command starts itself with.
    #[arg(long, hide = true, value_parser = ["rewind", "libtorch"])]
    alone: Option<String>,
    /// Splits the time by kernel, in that process.
    #[arg(long, hide = true)]
    split: bool,
}

const EXAMPLES: &str = "\
Examples:
  rewind-bench step --preset mbconv-slim --size 64
  rewind-bench step --preset mbconv-base --size 160x240x240 --precision f16 --device cuda
  rewind-bench step --preset demo --size 64 --device cpu --against libtorch
  rewind-bench step --preset demo --size 32 --curve 50 --data phantoms --against libtorch

Research use only, not a medical device";

/// Says how to get libtorch, where the build lacks it.
///
/// # Errors
/// In builds without it.
fn ensure_libtorch() -> Result<()> {
    ensure!(
        cfg!(feature = "libtorch"),
        "--against libtorch: this build has no libtorch; install it with `pip install \
         torch==2.11.*` and build with `LIBTORCH_USE_PYTORCH=1 cargo build -p trainer --features \
         libtorch`"
    );
    Ok(())
}

/// Runs the command.
///
/// # Errors
/// For a network that cannot be built, a step that does not come through, a data set that cannot be
/// used, or libtorch where the build lacks it.
pub(super) fn run(args: &StepArgs) -> Result<()> {
    if args.against.is_some() || args.alone.as_deref() == Some("libtorch") {
        ensure_libtorch()?;
    }
    let threads = args.threads.unwrap_or(1);
    for (name, value) in [
        ("batch", args.batch),
        ("steps", args.steps),
        ("rounds", args.rounds),
        ("threads", threads),
    ] {
        ensure!((1..=1 << 20).contains(&value), "--{name}: expected 1 to 2^20, found {value}");
    }
    if let (Some(steps), Some(data)) = (args.curve, &args.data) {
        return curve::run(args, steps, data);
    }
    let Chosen { name, config, dims, .. } = args.network.network(32)?;
    ensure_small(args.batch, &config, dims)?;
    // The branch belongs to training, and is not in libtorch.
    let config = config.for_inference();
    if let Some(library) = &args.alone {
        println!("{}", serde_json::to_string(&measure(args, library, &config, dims)?)?);
        return Ok(());
    }
    let answer = measured(args, &name, &config, dims)?;
    let precision = describe(args.network.precision()?);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    let [i, j, k] = dims;
    println!(
        "{name}, a step on {} × {k}×{j}×{i} voxels (batch, k, j, i), {}{}: forward and backward \
         pass{}\n",
        args.batch,
        precision,
        args.threads.map_or(String::new(), |threads| format!(", {threads} CPU threads")),
        if args.optimizer { " and Adam's step" } else { "" }
    );
    println!("{}", table::table(&answer));
    println!("{DISCLAIMER}");
    Ok(())
}

/// Every library and mode, round by round in turn.
fn measured(args: &StepArgs, name: &str, config: &UNetConfig, dims: [usize; 3]) -> Result<Answer> {
    let libraries: &[&str] =
        if args.against.is_some() { &["rewind", "libtorch"] } else { &["rewind"] };
    let plain = UNetConfig { reversible: false, checkpointed: false, ..config.clone() };
    let configs = if can_rewind(config) {
        vec![UNetConfig { reversible: true, checkpointed: false, ..config.clone() }, plain]
    } else {
        vec![plain]
    };
    let all =
        configs.iter().flat_map(|config| libraries.iter().map(move |library| (*library, config)));
    let all: Vec<(&str, &UNetConfig)> = all.collect();
    let count = all.len() * args.rounds + configs.len();
    let bar = progress::bar("measuring", count as u64);
    let kinds: Vec<(&str, bool)> =
        all.iter().map(|(library, config)| (*library, config.reversible)).collect();
    let answer = rounds(&kinds, args.rounds, |number, split| {
        let (library, config) = all[number];
        let how = if config.reversible { "reversible" } else { "plain" };
        bar.set_message(format!("{name}, {how}, in {library}"));
        let found = measured_alone(args, library, config, dims, split);
        bar.inc(1);
        found.inspect_err(|error| progress::line(&bar, format!("{how}, {library}: {error:#}")))
    });
    bar.finish_and_clear();
    answer.with_context(|| format!("no step of {name} could be measured"))
}

fn measured_alone(
    args: &StepArgs,
    library: &str,
    config: &UNetConfig,
    dims: [usize; 3],
    split: bool,
) -> Result<Measured> {
    let mut command = vec!["step".to_string(), "--alone".into(), library.into()];
    let numbers = [("batch", args.batch), ("steps", args.steps), ("warm-up", args.warm_up)];
    command.extend(numbers.iter().flat_map(|(name, n)| [format!("--{name}"), n.to_string()]));
    command.extend(["--learning-rate".to_string(), args.learning_rate.to_string()]);
    command.extend(args.optimizer.then(|| "--optimizer".to_string()));
    command.extend(split.then(|| "--split".to_string()));
    let (precision, device) = (args.network.precision()?, args.device.as_deref());
    let answer = alone(&command, config, dims, precision, device, args.threads)?;
    // libtorch may have said something before.
    let line = answer.lines().last().unwrap_or_default();
    serde_json::from_str(line).context("the step's process did not answer")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(options: &str) -> Result<StepArgs, clap::Error> {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            step: StepArgs,
        }
        let line = std::iter::once("step").chain(options.split(' '));
        <Line as clap::Parser>::try_parse_from(line).map(|line| line.step)
    }

    #[test]
    fn absurd_requests_are_refused() {
        let demo = "--preset demo --size 16 --device cpu";
        for more in [
            "--batch 0",
            "--steps 0",
            "--rounds 0",
            "--threads 0",
            "--steps 18446744073709551615",
            "--batch 1048576",
            "--curve 0 --data nowhere",
            "--curve 1 --data nowhere",
        ] {
            assert!(run(&parsed(&format!("{demo} {more}")).unwrap()).is_err(), "{more}");
        }
        for more in ["--against tensorflow", "--curve 1", "--data nowhere"] {
            assert!(parsed(&format!("{demo} {more}")).is_err(), "{more}");
        }
    }

    #[cfg(not(feature = "libtorch"))]
    #[test]
    fn a_build_without_libtorch_says_how_to_get_it() {
        let args = parsed("--preset demo --size 16 --device cpu --against libtorch").unwrap();
        let error = run(&args).unwrap_err().to_string();
        assert!(error.contains("--features libtorch") && error.contains("2.11"), "{error}");
    }

    #[test]
    fn a_step_is_timed_and_its_time_is_split_by_kernel() {
        let measured = |options: &str| {
            let args = parsed(&format!("--preset demo --size 16 --device cpu {options}")).unwrap();
            let Chosen { config, dims, .. } = args.network.network(32).unwrap();
            measure(&args, "rewind", &config, dims).unwrap()
        };
        let found = measured("--steps 2 --warm-up 1");
        assert_eq!((found.seconds.len(), found.device.as_str()), (2, "cpu"));
        assert!(found.seconds.iter().all(|&seconds| seconds > 0.0));
        // Other tests of this process may add to the split, and none takes anything away.
        let split = measured("--steps 1 --warm-up 0 --optimizer --split").split.unwrap();
        for kernel in
            ["depthwise 3³", "pointwise", "group norm", "max pool", "upsample", "optimizer"]
        {
            assert!(split.get(kernel).is_some_and(|&seconds| seconds > 0.0), "{kernel}: {split:?}");
        }
    }
}
