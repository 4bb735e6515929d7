//! A network of libtorch's in training.

use anyhow::Result;
use tch::{COptimizer, Device, Tensor};

use super::network::Network;
use super::{device, kind, synchronize, tensor, to_vec};
use crate::trainee::{Trainee, TraineeSettings};
use trainer_data::patches::Batch;
use trainer_train::device as burn_device;
use trainer_train::loss::Loss;

struct LibtorchTrainee {
    network: Network,
    /// The input of [`Trainee::step`].
    x: Tensor,
    /// The gradient of the logits in [`Trainee::step`].
    seed: Tensor,
    adam: Option<COptimizer>,
    /// Input and output channels.
    channels: [usize; 2],
    dims: [usize; 3],
    device: Device,
}

/// Builds a network on the device that Rewind's would take.
///
/// # Errors
/// Errors if libtorch lacks the device or the network.
pub fn trainee(settings: &TraineeSettings) -> Result<Box<dyn Trainee>> {
    let name = match settings.device {
        Some(name) => name.to_string(),
        None => burn_device::describe(&burn_device::device(None)?),
    };
    let (config, dims, device) = (settings.config, settings.dims, device(&name)?);
    let compute = kind(settings.precision.compute);
    let network = Network::new(config, settings.weights, compute, device)?;
    let random = |channels, number| {
        tensor(&settings.random_values(channels, number), channels, dims, device)
    };
    let trainee = LibtorchTrainee {
        x: random(config.in_channels(), 0),
        seed: random(config.out_channels(), 1),
        adam: settings.learning_rate.map(|rate| network.adam(rate)).transpose()?,
        network,
        channels: [config.in_channels(), config.out_channels()],
        dims,
        device,
    };
    synchronize(device);
    Ok(Box::new(trainee))
}

impl LibtorchTrainee {
    /// Applies the gradients and clears them.
    fn update(&mut self) -> Result<()> {
        if let Some(adam) = &self.adam {
            adam.step()?;
        }
        self.network.zero_gradients();
        Ok(())
    }
}

impl Trainee for LibtorchTrainee {
    fn device(&self) -> String {
        match self.device {
            Device::Cuda(index) => format!("cuda:{index}"),
            _ => "cpu".into(),
        }
    }

    fn step(&mut self) -> Result<()> {
        self.network.differentiate(&self.x, |_| self.seed.shallow_clone());
        self.update()?;
        synchronize(self.device);
        Ok(())
    }

    fn learn(&mut self, loss: &Loss, batch: &Batch) -> Result<f64> {
        let ([inputs, outputs], dims, device) = (self.channels, self.dims, self.device);
        let x = tensor(&batch.values, inputs, dims, device);
        let mut value = 0.0;
        self.network.differentiate(&x, |logits| {
            let (report, gradient) = loss.of(&to_vec(logits), &batch.labels, batch.cases.len());
            value = report.loss;
            tensor(&gradient, outputs, dims, device)
        });
        self.update()?;
        Ok(value)
    }
}
