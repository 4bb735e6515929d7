//! `rewind-bench step`: the time and memory of a training step, reversible and non-reversible, in
//! Rewind and in libtorch.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use model_core::BackwardMode;
use model_core::UNetConfig;
use model_core::kernels::profiler::OpKind;
use model_core::network::memory_estimate::can_rewind;

use crate::arguments::{DeviceArgs, check_libtorch, check_num_values};
use crate::child_process::Measurement;
use crate::library::Library;
use crate::op_clock::seconds_by_kind;
use crate::process_memory::PeakMemory;
use crate::trainee::TraineeSettings;
use trainer_run::config::describe;
use trainer_run::{DISCLAIMER, progress};
use trainer_train::estimate::{Chosen, NetworkArgs};
use trainer_train::initial::initial_weights;

mod rounds;
mod table;

use rounds::{StepBenchmark, TimedSteps, Variant, run_rounds};

/// Measure the time and memory of training steps, also against libtorch.
///
/// A step is the forward pass, a fixed gradient of the logits, and the backward pass; with
/// --optimizer also Adam's step. The reversible and the non-reversible network are measured round by
/// round in turn, each in a process of its own with nothing else running. One more process splits
/// the time by kernel: it waits for the device around each, and so takes longer. With --against
/// libtorch, the same networks with the same weights are measured in libtorch, in turn with ours.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct StepArgs {
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// Volumes a step.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Timed steps in each round.
    #[arg(long, default_value_t = 5)]
    steps: usize,
    /// Steps before the timed ones.
    #[arg(long, default_value_t = 2)]
    warm_up: usize,
    /// Number of rounds.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// CPU threads of both libraries; by default as many as there are cores. libtorch's threads wait
    /// for each other busily, and are slow on a machine that does other work too.
    #[arg(long)]
    threads: Option<usize>,
    /// Includes Adam's step.
    #[arg(long)]
    optimizer: bool,
    /// The learning rate of --optimizer.
    #[arg(long, default_value_t = 1e-3)]
    learning_rate: f64,
    /// The library to compare with.
    #[arg(long, value_parser = ["libtorch"])]
    against: Option<String>,
    /// Prints JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Measures this library in this process.
    #[arg(long, hide = true)]
    alone: Option<Library>,
    /// Splits the time by kernel, in that process.
    #[arg(long, hide = true)]
    split: bool,
}

const EXAMPLES: &str = "\
Examples:
  rewind-bench step --preset mbconv-slim --size 64
  rewind-bench step --preset mbconv-base --size 160x240x240 --precision f16 --device cuda
  rewind-bench step --preset demo --size 64 --device cpu --against libtorch

Research use only, not a medical device";

/// Runs the command.
///
/// # Errors
/// Errors if the network cannot be built, no step can be measured, or the build lacks libtorch.
pub fn run(args: &StepArgs) -> Result<()> {
    if args.against.is_some() {
        check_libtorch()?;
    }
    for (name, value) in [
        ("batch", args.batch),
        ("steps", args.steps),
        ("rounds", args.rounds),
        ("threads", args.threads.unwrap_or(1)),
    ] {
        ensure!((1..=1 << 20).contains(&value), "--{name}: expected 1 to 2^20, found {value}");
    }
    let Chosen { name, config, dims, .. } = args.network.network(32)?;
    check_num_values(&config, dims, args.batch)?;
    // libtorch has no variational branch.
    let config = config.for_inference();
    if let Some(library) = args.alone {
        println!("{}", serde_json::to_string(&time_steps(args, library, &config, dims)?)?);
        return Ok(());
    }
    let benchmark = measure(args, &name, &config, dims)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&benchmark)?);
        return Ok(());
    }
    let [i, j, k] = dims;
    println!(
        "{name}, a step on {} × {k}×{j}×{i} voxels (batch, k, j, i), {}{}: forward and backward \
         pass{}\n",
        args.batch,
        describe(args.network.precision(&config)?),
        args.threads.map_or(String::new(), |threads| format!(", CPU threads: {threads}")),
        if args.optimizer { " and Adam's step" } else { "" }
    );
    println!("{}", table::table(&benchmark));
    println!("{DISCLAIMER}");
    Ok(())
}

/// Measures every variant in processes of their own, round by round in turn.
fn measure(
    args: &StepArgs,
    name: &str,
    config: &UNetConfig,
    dims: [usize; 3],
) -> Result<StepBenchmark> {
    let mut libraries = vec![Library::Rewind];
    libraries.extend(args.against.as_ref().map(|_| Library::Libtorch));
    let modes = [true, false].into_iter().filter(|reversible| !reversible || can_rewind(config));
    let variants: Vec<Variant> = modes
        .flat_map(|reversible| {
            libraries.iter().map(move |&library| Variant { library, reversible })
        })
        .collect();
    let num_measurements = variants.len() * args.rounds + variants.len() / libraries.len();
    let bar = progress::bar("measuring", num_measurements as u64);
    let benchmark = run_rounds(&variants, args.rounds, |variant, is_split| {
        bar.set_message(format!("{name}, {variant}"));
        let mode =
            if variant.reversible { BackwardMode::Reversible } else { BackwardMode::NonReversible };
        let measurement = Measurement {
            config: &config.in_mode(mode),
            dims,
            precision: args.network.precision(config)?,
            device: args.device.name(),
            num_threads: args.threads,
        };
        let steps = measurement.run(&child_args(args, variant.library, is_split));
        bar.inc(1);
        steps.inspect_err(|error| progress::line(&bar, format!("{variant}: {error:#}")))
    });
    bar.finish_and_clear();
    benchmark.with_context(|| format!("no step of {name} could be measured"))
}

/// The arguments of a process that measures one library.
fn child_args(args: &StepArgs, library: Library, is_split: bool) -> Vec<String> {
    let StepArgs { batch, steps, warm_up, learning_rate, .. } = args;
    let mut line = format!(
        "step --alone {} --batch {batch} --steps {steps} --warm-up {warm_up} \
         --learning-rate {learning_rate}",
        library.name()
    );
    line += if args.optimizer { " --optimizer" } else { "" };
    line += if is_split { " --split" } else { "" };
    line.split(' ').map(String::from).collect()
}

/// Times the steps of a library in this process. Nothing else should run meanwhile.
fn time_steps(
    args: &StepArgs,
    library: Library,
    config: &UNetConfig,
    dims: [usize; 3],
) -> Result<TimedSteps> {
    let mut trainee = library.trainee(&TraineeSettings {
        config,
        weights: &initial_weights(config, 0),
        dims,
        batch: args.batch,
        precision: args.network.precision(config)?,
        device: args.device.name(),
        learning_rate: args.optimizer.then_some(args.learning_rate),
    })?;
    let mut timed = TimedSteps { device: trainee.device(), ..TimedSteps::default() };
    let mut memory = PeakMemory::start(&timed.device, trainee.pool_bytes());
    for _ in 0..args.warm_up {
        trainee.step()?;
        memory.update(trainee.pool_bytes());
    }
    if args.split {
        let started = Instant::now();
        let (result, by_kind) =
            seconds_by_kind(|| (0..args.steps).try_for_each(|_| trainee.step()));
        result?;
        let total = started.elapsed().as_secs_f64();
        timed.seconds.push(total / args.steps as f64);
        timed.split = Some(split(&by_kind, total, args.steps));
        return Ok(timed);
    }
    for _ in 0..args.steps {
        let (started, processor_start) = (Instant::now(), processor_secs());
        trainee.step()?;
        timed.seconds.push(started.elapsed().as_secs_f64());
        if let (Some(start), Some(end), "cpu") = (processor_start, processor_secs(), &*timed.device)
        {
            timed.processor_secs.push(end - start);
        }
        memory.update(trainee.pool_bytes());
    }
    timed.peak_bytes = memory.peak_bytes();
    timed.memory = memory.source().into();
    Ok(timed)
}

/// Returns the processor time of this process so far, summed over its threads.
fn processor_secs() -> Option<f64> {
    #[cfg(target_os = "linux")]
    {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the call writes one value of this type.
        let error = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
        (error == 0).then_some(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// Returns the seconds a step by kernel. The rest of the total is "other".
fn split(by_kind: &BTreeMap<OpKind, f64>, total: f64, num_steps: usize) -> BTreeMap<String, f64> {
    let other = (total - by_kind.values().sum::<f64>()).max(0.0);
    let named = by_kind.iter().map(|(kind, seconds)| (kind.name(), *seconds));
    let of_step = |(name, seconds): (&str, f64)| (name.to_string(), seconds / num_steps as f64);
    named.chain([("other", other)]).filter(|(_, seconds)| *seconds > 0.0).map(of_step).collect()
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
        for option in [
            "--batch 0",
            "--steps 0",
            "--rounds 0",
            "--threads 0",
            "--steps 18446744073709551615",
            "--batch 1048576",
        ] {
            let line = format!("--preset demo --size 16 --device cpu {option}");
            assert!(run(&parsed(&line).unwrap()).is_err(), "{option}");
        }
        assert!(parsed("--preset demo --against tensorflow").is_err());
    }

    #[cfg(not(feature = "libtorch"))]
    #[test]
    fn a_build_without_libtorch_names_the_commands_that_install_it() {
        let args = parsed("--preset demo --size 16 --device cpu --against libtorch").unwrap();
        let error = run(&args).unwrap_err().to_string();
        assert!(error.contains("--features libtorch") && error.contains("2.11"), "{error}");
    }

    #[test]
    fn steps_are_timed_and_their_time_is_split_by_kernel() {
        let timed = |options: &str| {
            let args = parsed(&format!("--preset demo --size 16 --device cpu {options}")).unwrap();
            let Chosen { config, dims, .. } = args.network.network(32).unwrap();
            time_steps(&args, Library::Rewind, &config, dims).unwrap()
        };
        let steps = timed("--steps 2 --warm-up 1");
        assert_eq!((steps.seconds.len(), steps.device.as_str()), (2, "cpu"));
        assert!(steps.seconds.iter().all(|&seconds| seconds > 0.0));
        // Other tests of this process may add to the split, but take nothing away.
        let split = timed("--steps 1 --warm-up 0 --optimizer --split").split.unwrap();
        for kernel in
            ["depthwise 3³", "pointwise", "group norm", "max pool", "upsample", "optimizer"]
        {
            assert!(split.get(kernel).is_some_and(|&seconds| seconds > 0.0), "{kernel}: {split:?}");
        }
    }

    #[test]
    fn time_outside_the_kernels_is_other() {
        let by_kind = BTreeMap::from([(OpKind::MaxPool, 1.0), (OpKind::Loss, 0.0)]);
        let expected = [("max pool", 0.5), ("other", 1.5)];
        let expected = expected.map(|(name, seconds)| (name.to_string(), seconds));
        assert_eq!(split(&by_kind, 4.0, 2), expected.into());
    }
}
