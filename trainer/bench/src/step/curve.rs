//! Losses over steps of training, side by side: the same batches, initial weights, loss and
//! optimizer.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use trainer_train::precision::network_precision;

use anyhow::{Context, Result, ensure};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use model_core::nets::{UNet3d, backward};
use model_core::network::config::parameters;
use model_core::{UNetConfig, Weights};
use serde::Serialize;

use super::super::ensure_small;
use super::StepArgs;
use super::ours::settings;
use trainer_data::cases::Cases;
use trainer_data::data_set::DataSet;
use trainer_data::patches::{Batch, batches, num_workers};
use trainer_run::config::TrainConfig;
use trainer_run::{DISCLAIMER, progress};
use trainer_train::adam::{Adam, StepSettings};
use trainer_train::estimate::Chosen;
use trainer_train::initial::initial_weights;
use trainer_train::loss::Loss;
use trainer_train::{device, model};

/// A network that learns.
pub(super) trait Learns {
    /// One step on a batch; the loss before it.
    ///
    /// # Errors
    /// Where the optimizer fails.
    fn learn(&mut self, loss: &Loss, batch: &Batch) -> Result<f64>;
}

/// The losses of a step.
#[derive(Serialize)]
struct Losses {
    step: usize,
    rewind: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    libtorch: Option<f64>,
}

/// Runs the steps and prints the losses.
///
/// # Errors
/// For a data set or a network that cannot be used, and where a loss is no number.
pub(super) fn run(args: &StepArgs, steps: usize, data: &Path) -> Result<()> {
    ensure!((1..=1 << 20).contains(&steps), "--curve: expected 1 to 2^20 steps, found {steps}");
    let Chosen { name, config, dims, .. } = args.network.network(32)?;
    let data_set = {
        let tolerance = model_core::DEFAULT_TOLERANCE_VOXELS;
        DataSet::open_for_training(data, args.task.as_deref(), false, tolerance)?
    };
    let task = data_set.task.clone();
    let network = UNetConfig { in_channels: 0, out_channels: 0, ..config.for_inference() };
    let training = TrainConfig {
        network: Some(network),
        preset: None,
        patch: dims,
        batch: args.batch,
        ..TrainConfig::default()
    };
    let config = training.network(&task)?;
    ensure_small(args.batch, &config, dims)?;
    let cases = Cases::open(data_set, &training, &config, &AtomicBool::new(false))?;
    let cases = cases.context("nothing stops the preparation")?;
    let weights = initial_weights(&config, training.seed);
    let device = device::device(args.device.as_deref())?;
    let mut ours = Ours::new(args, &config, &weights, dims, &device)?;
    let mut theirs = theirs(args, &config, &weights, dims)?;
    let loss = Loss::new(&task, training.loss);
    let all: Vec<usize> = (0..cases.len()).collect();
    let pool = batches(
        &training,
        &cases,
        &all,
        0..steps,
        num_workers(0, device::describe(&device) == "cpu"),
    );
    let bar = progress::bar("training", steps as u64);
    if !args.json {
        println!(
            "{name} on {}, losses of {steps} steps\n\n{}",
            data.display(),
            head(theirs.is_some())
        );
    }
    let mut all = Vec::new();
    for (number, batch) in pool.enumerate() {
        let batch = batch?;
        let rewind = ours.learn(&loss, &batch)?;
        let libtorch = theirs.as_mut().map(|theirs| theirs.learn(&loss, &batch)).transpose()?;
        let losses = Losses { step: number + 1, rewind, libtorch };
        ensure!(
            rewind.is_finite() && libtorch.is_none_or(f64::is_finite),
            "expected losses that are numbers, found {rewind} and {libtorch:?} at step {}",
            losses.step
        );
        if !args.json {
            bar.suspend(|| println!("{}", line(&losses)));
        }
        all.push(losses);
        bar.inc(1);
    }
    bar.finish_and_clear();
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&all)?),
        false => println!("\n{}{DISCLAIMER}", farthest(&all)),
    }
    Ok(())
}

fn head(is_pair: bool) -> &'static str {
    match is_pair {
        true => "| step | rewind | libtorch | difference |\n|---|---|---|---|",
        false => "| step | rewind |\n|---|---|",
    }
}

fn line(losses: &Losses) -> String {
    let Losses { step, rewind, libtorch } = losses;
    match libtorch {
        None => format!("| {step} | {rewind:.6} |"),
        Some(theirs) => {
            format!("| {step} | {rewind:.6} | {theirs:.6} | {:.1e} |", (rewind - theirs).abs())
        }
    }
}

fn farthest(all: &[Losses]) -> String {
    let difference = |losses: &Losses| Some((losses.rewind - losses.libtorch?).abs());
    match all.iter().filter_map(difference).reduce(f64::max) {
        Some(most) => format!("The losses differ by at most {most:.1e}.\n\n"),
        None => String::new(),
    }
}

struct Ours {
    /// None in a step alone.
    network: Option<UNet3d>,
    adam: Adam,
    settings: StepSettings,
    dims: [usize; 3],
    device: Device,
}

impl Ours {
    fn new(
        args: &StepArgs,
        config: &UNetConfig,
        weights: &Weights,
        dims: [usize; 3],
        device: &Device,
    ) -> Result<Ours> {
        let device = device.clone().autodiff();
        let network =
            UNet3d::in_precision(config, network_precision(args.network.precision()?), &device);
        Ok(Ours {
            network: Some(network.load(weights)?),
            adam: Adam::new(parameters(config)),
            settings: settings(args.learning_rate),
            dims,
            device,
        })
    }
}

impl Learns for Ours {
    fn learn(&mut self, loss: &Loss, batch: &Batch) -> Result<f64> {
        let network = self.network.take().expect("put back after every step");
        let (values, channels) = (batch.values.clone(), network.config.in_channels);
        let logits = network.forward(model::tensor(values, channels, self.dims, &self.device));
        let everything = |_: &mut [f64]| Ok(());
        let answer = logits.clone().inner();
        let (report, gradient) = loss.of_tensor(answer, &batch.labels, everything)?;
        let gradients = backward(vec![(logits, Tensor::from_inner(gradient))]);
        let gradients = GradientsParams::from_grads(gradients, &network);
        self.network = Some(self.adam.step(self.settings, network, gradients, 0.0));
        Ok(report.loss)
    }
}

#[cfg(feature = "libtorch")]
fn theirs(
    args: &StepArgs,
    config: &UNetConfig,
    weights: &Weights,
    dims: [usize; 3],
) -> Result<Option<Box<dyn Learns>>> {
    let learner = || super::theirs::learner(args, config, weights, dims);
    args.against.as_ref().map(|_| learner()).transpose()
}

#[cfg(not(feature = "libtorch"))]
fn theirs(
    _: &StepArgs,
    _: &UNetConfig,
    _: &Weights,
    _: [usize; 3],
) -> Result<Option<Box<dyn Learns>>> {
    Ok(None)
}
