//! The libraries that train a network.

use anyhow::Result;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use clap::ValueEnum;
use model_core::nets::{UNet3d, backward};
use model_core::network::layers::parameters;
use serde::Serialize;

use crate::stopwatch::wait;
use crate::trainee::{Trainee, TraineeSettings};
use trainer_data::patches::Batch;
use trainer_run::config::Optimizer;
use trainer_train::adam::{Adam, StepSettings};
use trainer_train::loss::Loss;
use trainer_train::precision::network_precision;
use trainer_train::{device, model};

/// A library that trains a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Library {
    Rewind,
    Libtorch,
}

impl Library {
    /// Returns the name for tables.
    pub fn name(self) -> &'static str {
        match self {
            Library::Rewind => "rewind",
            Library::Libtorch => "libtorch",
        }
    }

    /// Builds the network.
    ///
    /// # Errors
    /// Errors if the library lacks the network, the device, or is not compiled in.
    pub fn trainee(self, settings: &TraineeSettings) -> Result<Box<dyn Trainee>> {
        match self {
            Library::Rewind => Ok(Box::new(RewindTrainee::new(settings)?)),
            #[cfg(feature = "libtorch")]
            Library::Libtorch => crate::libtorch::trainee(settings),
            #[cfg(not(feature = "libtorch"))]
            Library::Libtorch => {
                Err(crate::arguments::check_libtorch().expect_err("not compiled in"))
            }
        }
    }
}

/// A network of this project in training.
struct RewindTrainee {
    /// `None` only during a step.
    network: Option<UNet3d>,
    /// The input of [`Trainee::step`].
    x: Tensor<5>,
    /// The gradient of the logits in [`Trainee::step`].
    seed: Tensor<5>,
    adam: Option<(Adam, StepSettings)>,
    dims: [usize; 3],
    device: Device,
}

impl RewindTrainee {
    fn new(settings: &TraineeSettings) -> Result<RewindTrainee> {
        let (config, dims) = (settings.config, settings.dims);
        let device = device::device(settings.device)?;
        let tracked = device.clone().autodiff();
        let precision = network_precision(settings.precision);
        let network = model::build_in(config, settings.weights, precision, &tracked)?;
        let tensor = |channels, number| {
            model::tensor(settings.random_values(channels, number), channels, dims, &tracked)
        };
        let adam = settings.learning_rate.map(|learning_rate| {
            let optimizer = Optimizer::Adam;
            let step = StepSettings { optimizer, learning_rate, weight_decay: 0.0, clip_norm: 0.0 };
            (Adam::new(parameters(config)), step)
        });
        let trainee = RewindTrainee {
            network: Some(network),
            x: tensor(config.in_channels(), 0),
            seed: tensor(config.out_channels(), 1),
            adam,
            dims,
            device,
        };
        wait(&trainee.device)?;
        Ok(trainee)
    }

    /// Runs a step; `seed` maps the logits to their gradient.
    fn train(
        &mut self,
        x: Tensor<5>,
        seed: impl FnOnce(&Tensor<5>) -> Result<Tensor<5>>,
    ) -> Result<()> {
        let network = self.network.take().expect("put back after every step");
        let logits = network.forward(x);
        let seed = seed(&logits)?;
        let gradients = backward(vec![(logits, seed)]);
        self.network = Some(match &mut self.adam {
            Some((adam, settings)) => {
                let gradients = GradientsParams::from_grads(gradients, &network);
                adam.step(*settings, network, gradients, 0.0)
            }
            None => network,
        });
        Ok(())
    }
}

impl Trainee for RewindTrainee {
    fn device(&self) -> String {
        device::describe(&self.device)
    }

    fn step(&mut self) -> Result<()> {
        let seed = self.seed.clone();
        self.train(self.x.clone(), |_| Ok(seed))?;
        wait(&self.device)
    }

    fn learn(&mut self, loss: &Loss, batch: &Batch) -> Result<f64> {
        let voxels: usize = self.dims.iter().product();
        let channels = batch.values.len() / (voxels * batch.cases.len());
        let device = self.device.clone().autodiff();
        let x = model::tensor(batch.values.clone(), channels, self.dims, &device);
        let mut value = 0.0;
        self.train(x, |logits| {
            let logits = logits.clone().inner();
            let (report, gradient) = loss.of_tensor(logits, &batch.labels, |_| Ok(()))?;
            value = report.loss;
            Ok(Tensor::from_inner(gradient))
        })?;
        Ok(value)
    }

    fn pool_bytes(&self) -> Option<u64> {
        self.device.memory_pool_usage().map(|usage| usage.bytes_reserved)
    }
}
