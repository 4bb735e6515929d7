//! The same step in libtorch.

use anyhow::Result;
use model_core::{UNetConfig, Weights};
use tch::{COptimizer, Device, Tensor};

use super::StepArgs;
use super::curve::Learns;
use super::measured::Steps;
use super::ours::values;
use crate::libtorch::{self, Network, numbers, synchronize, tensor};
use trainer_data::patches::Batch;
use trainer_train::device;
use trainer_train::initial::initial_weights;
use trainer_train::loss::Loss;

struct Theirs {
    network: Network,
    x: Tensor,
    /// The logits' gradient.
    seed: Tensor,
    adam: Option<COptimizer>,
    device: Device,
}

/// The device that ours takes too, where none is named.
fn chosen(args: &StepArgs) -> Result<Device> {
    let name = match &args.device {
        Some(name) => name.clone(),
        None => device::describe(&device::device(None)?).to_lowercase(),
    };
    let name = if args.device.is_none() && name.contains("cuda") { "cuda" } else { &name };
    libtorch::device(name)
}

/// The device's name, and steps on it.
///
/// # Errors
/// For a network or a device that cannot be had.
pub(super) fn steps(
    args: &StepArgs,
    config: &UNetConfig,
    dims: [usize; 3],
) -> Result<(String, Box<dyn Steps>)> {
    let device = chosen(args)?;
    let compute = libtorch::kind(args.network.precision()?.compute)?;
    let network = Network::new(config, &initial_weights(config, 0), compute, device)?;
    let tensor = |channels, number| {
        let values = values(args.batch, channels, dims, number);
        tensor(&values, channels, dims, device)
    };
    let theirs = Theirs {
        x: tensor(config.in_channels, 0),
        seed: tensor(config.out_channels, 1),
        adam: args.optimizer.then(|| network.adam(args.learning_rate)).transpose()?,
        network,
        device,
    };
    synchronize(device);
    let name = match device {
        Device::Cuda(number) => format!("cuda:{number}"),
        _ => "cpu".into(),
    };
    Ok((name, Box::new(theirs)))
}

impl Steps for Theirs {
    fn step(&mut self) -> Result<()> {
        let seed = &self.seed;
        self.network.differentiate(&self.x, |_| seed.shallow_clone());
        if let Some(adam) = &self.adam {
            adam.step()?;
        }
        self.network.zero_gradients();
        synchronize(self.device);
        Ok(())
    }
}

struct Learner {
    network: Network,
    adam: COptimizer,
    channels: [usize; 2],
    dims: [usize; 3],
    device: Device,
}

/// The network in training.
///
/// # Errors
/// For a network or a device that cannot be had.
pub(super) fn learner(
    args: &StepArgs,
    config: &UNetConfig,
    weights: &Weights,
    dims: [usize; 3],
) -> Result<Box<dyn Learns>> {
    let device = chosen(args)?;
    let compute = libtorch::kind(args.network.precision()?.compute)?;
    let network = Network::new(config, weights, compute, device)?;
    let adam = network.adam(args.learning_rate)?;
    let channels = [config.in_channels, config.out_channels];
    Ok(Box::new(Learner { network, adam, channels, dims, device }))
}

impl Learns for Learner {
    fn learn(&mut self, loss: &Loss, batch: &Batch) -> Result<f64> {
        let Learner { channels: [input, output], dims, device, .. } = *self;
        let x = tensor(&batch.values, input, dims, device);
        let mut found = 0.0;
        self.network.differentiate(&x, |logits| {
            let (report, gradient) = loss.of(&numbers(logits), &batch.labels, batch.cases.len());
            found = report.loss;
            tensor(&gradient, output, dims, device)
        });
        self.adam.step()?;
        self.network.zero_gradients();
        Ok(found)
    }
}
