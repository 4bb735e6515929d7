//! A step of ours.

use anyhow::{Result, bail};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use model_core::UNetConfig;
use model_core::nets::{UNet3d, backward};
use model_core::network::config::parameters;
use trainer_train::precision::network_precision;

use super::StepArgs;
use super::measured::Steps;
use trainer_run::config::Optimizer;
use trainer_run::rng::{RngStream, generator, normal};
use trainer_train::adam::{Adam, StepSettings};
use trainer_train::initial::initial_weights;
use trainer_train::{device, model};

pub(super) struct Ours {
    /// None in a step alone.
    network: Option<UNet3d>,
    x: Tensor<5>,
    /// The logits' gradient.
    seed: Tensor<5>,
    adam: Option<Adam>,
    settings: StepSettings,
    device: Device,
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
    let device = device::device(args.device.as_deref())?;
    let tracked = device.clone().autodiff();
    let network =
        UNet3d::in_precision(config, network_precision(args.network.precision()?), &tracked);
    let tensor = |channels, number| {
        let values = values(args.batch, channels, dims, number);
        model::tensor(values, channels, dims, &tracked)
    };
    let ours = Ours {
        network: Some(network.load(&initial_weights(config, 0))?),
        x: tensor(config.in_channels, 0),
        seed: tensor(config.out_channels, 1),
        adam: args.optimizer.then(|| Adam::new(parameters(config))),
        settings: settings(args.learning_rate),
        device: device.clone(),
    };
    ours.sync()?;
    Ok((device::describe(&device), Box::new(ours)))
}

/// Random numbers of a batch, the same for every library.
pub(super) fn values(batch: usize, channels: usize, dims: [usize; 3], number: u64) -> Vec<f32> {
    let count = dims.iter().product::<usize>() * batch * channels;
    normal(generator(0, RngStream::Patch, number)).take(count).collect()
}

/// Adam alone.
pub(super) fn settings(learning_rate: f64) -> StepSettings {
    StepSettings { optimizer: Optimizer::Adam, learning_rate, weight_decay: 0.0, clip_norm: 0.0 }
}

impl Ours {
    fn sync(&self) -> Result<()> {
        match self.device.sync() {
            Ok(_) => Ok(()),
            Err(error) => bail!("the device failed: {error:?}"),
        }
    }
}

impl Steps for Ours {
    fn step(&mut self) -> Result<()> {
        let network = self.network.take().expect("put back after every step");
        let logits = network.forward(self.x.clone());
        let gradients = backward(vec![(logits, self.seed.clone())]);
        self.network = Some(match &mut self.adam {
            Some(adam) => {
                let gradients = GradientsParams::from_grads(gradients, &network);
                adam.step(self.settings, network, gradients, 0.0)
            }
            None => network,
        });
        self.sync()
    }

    fn pool_bytes(&self) -> Option<u64> {
        self.device.memory_pool_usage().map(|usage| usage.bytes_reserved)
    }
}
