//! `rewind-bench losses`: the losses of a training, also beside libtorch's.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::arguments::{DeviceArgs, check_libtorch, check_num_values};
use crate::library::Library;
use crate::trainee::TraineeSettings;
use trainer_data::cases::Cases;
use trainer_data::data_set::DataSet;
use trainer_data::patches::{batches, num_workers};
use trainer_run::config::TrainConfig;
use trainer_run::reporter::Terminal;
use trainer_run::{DISCLAIMER, progress};
use trainer_train::estimate::{Chosen, NetworkArgs};
use trainer_train::initial::initial_weights;
use trainer_train::loss::Loss;

/// Train on a data set's patches and print the losses, also beside libtorch's.
///
/// The optimizer is Adam. With --against libtorch, both libraries take the same steps on the same
/// batches from the same initial weights.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct LossesArgs {
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// The folder of a data set; `rewind phantom` makes one.
    #[arg(long)]
    data: PathBuf,
    /// The task by name, if the data set does not describe it.
    #[arg(long)]
    task: Option<String>,
    /// Number of steps.
    #[arg(long, default_value_t = 20)]
    steps: usize,
    /// Patches a step.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// The learning rate.
    #[arg(long, default_value_t = 1e-3)]
    learning_rate: f64,
    /// The library to compare with.
    #[arg(long, value_parser = ["libtorch"])]
    against: Option<String>,
    /// Prints JSON instead of a table.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Example:
  rewind-bench losses --preset demo --size 32 --steps 50 --data phantoms --against libtorch

Research use only, not a medical device";

/// The losses of a step.
#[derive(Serialize)]
struct StepLosses {
    step: usize,
    rewind: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    libtorch: Option<f64>,
}

/// Runs the command.
///
/// # Errors
/// Errors if the data set or the network cannot be used, a loss is not finite, or the build lacks
/// libtorch.
pub fn run(args: &LossesArgs) -> Result<()> {
    if args.against.is_some() {
        check_libtorch()?;
    }
    for (name, value) in [("steps", args.steps), ("batch", args.batch)] {
        ensure!((1..=1 << 20).contains(&value), "--{name}: expected 1 to 2^20, found {value}");
    }
    let Chosen { name, config, dims, .. } = args.network.network(32)?;
    let tolerance_voxels = model_core::DEFAULT_TOLERANCE_VOXELS;
    let data_set = DataSet::open_for_training(
        &args.data,
        args.task.as_deref(),
        false,
        tolerance_voxels,
        &Terminal::default(),
    )?;
    let task = data_set.task.clone();
    let network = config.for_inference().without_channels();
    let training = TrainConfig {
        network: Some(network),
        preset: None,
        patch: dims,
        batch: args.batch,
        ..TrainConfig::default()
    };
    let config = training.network(&task)?;
    check_num_values(&config, dims, args.batch)?;
    let cases = Cases::open(
        data_set,
        &training,
        &config,
        &AtomicBool::new(false),
        Arc::new(Terminal::default()),
    )?
    .context("nothing stops the preparation")?;
    let settings = TraineeSettings {
        config: &config,
        weights: &initial_weights(&config, training.seed),
        dims,
        batch: args.batch,
        precision: args.network.precision(&config)?,
        device: args.device.name(),
        learning_rate: Some(args.learning_rate),
    };
    let mut ours = Library::Rewind.trainee(&settings)?;
    let libtorch = args.against.as_ref().map(|_| Library::Libtorch.trainee(&settings));
    let mut libtorch = libtorch.transpose()?;
    let loss = Loss::new(&task, training.loss);
    let all_cases: Vec<usize> = (0..cases.len()).collect();
    let num_workers = num_workers(0, ours.device() == "cpu");
    let bar = progress::bar("training", args.steps as u64);
    if !args.json {
        println!("{name} on {}, losses of {} steps\n", args.data.display(), args.steps);
        println!("{}", head(libtorch.is_some()));
    }
    let mut all = Vec::new();
    for batch in batches(&training, &cases, &all_cases, 0..args.steps, num_workers) {
        let batch = batch?;
        let losses = StepLosses {
            step: batch.number + 1,
            rewind: ours.learn(&loss, &batch)?,
            libtorch: libtorch.as_mut().map(|theirs| theirs.learn(&loss, &batch)).transpose()?,
        };
        let StepLosses { step, rewind, libtorch } = &losses;
        ensure!(
            rewind.is_finite() && libtorch.is_none_or(f64::is_finite),
            "expected finite losses, found {rewind} and {libtorch:?} at step {step}"
        );
        if !args.json {
            bar.suspend(|| println!("{}", row(&losses)));
        }
        all.push(losses);
        bar.inc(1);
    }
    bar.finish_and_clear();
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&all)?),
        false => println!("\n{}{DISCLAIMER}", largest_difference(&all)),
    }
    Ok(())
}

fn head(has_libtorch: bool) -> &'static str {
    match has_libtorch {
        true => "| step | rewind | libtorch | difference |\n|---|---|---|---|",
        false => "| step | rewind |\n|---|---|",
    }
}

fn row(StepLosses { step, rewind, libtorch }: &StepLosses) -> String {
    match libtorch {
        None => format!("| {step} | {rewind:.6} |"),
        Some(theirs) => {
            format!("| {step} | {rewind:.6} | {theirs:.6} | {:.1e} |", (rewind - theirs).abs())
        }
    }
}

fn largest_difference(all: &[StepLosses]) -> String {
    let difference = |losses: &StepLosses| Some((losses.rewind - losses.libtorch?).abs());
    match all.iter().filter_map(difference).reduce(f64::max) {
        Some(largest) => format!("The losses differ by at most {largest:.1e}.\n\n"),
        None => String::new(),
    }
}
