//! A network in training, in either library.

use anyhow::Result;
use model_core::{UNetConfig, Weights};
use trainer_data::patches::Batch;
use trainer_run::config::Precision;
use trainer_run::rng::{RngStream, generator, normal};
use trainer_train::loss::Loss;

/// The settings of a [`Trainee`].
pub struct TraineeSettings<'a> {
    pub config: &'a UNetConfig,
    pub weights: &'a Weights,
    /// Voxels along i, j, k.
    pub dims: [usize; 3],
    /// Volumes a step.
    pub batch: usize,
    pub precision: Precision,
    /// The name of the device; `None` for the best one.
    pub device: Option<&'a str>,
    /// Adam's learning rate; `None` for no optimizer.
    pub learning_rate: Option<f64>,
}

/// A network in training on a device.
pub trait Trainee {
    /// Returns the name of the device.
    fn device(&self) -> String;

    /// Runs the forward pass on random input, the backward pass of a fixed gradient, and the
    /// optimizer. Waits for the device.
    ///
    /// # Errors
    /// Errors if the device fails.
    fn step(&mut self) -> Result<()>;

    /// Runs a step on a batch. Returns the loss before it.
    ///
    /// # Errors
    /// Errors if the library fails.
    fn learn(&mut self, loss: &Loss, batch: &Batch) -> Result<f64>;

    /// Returns the bytes that the memory pool of the device has reserved, if it has one.
    fn pool_bytes(&self) -> Option<u64> {
        None
    }
}

impl TraineeSettings<'_> {
    /// Returns random values of the input (`number` 0) or of the gradient of the logits (1). They
    /// are the same in every library.
    ///
    /// # Shapes
    /// - output: `[batch, channels, k, j, i]`
    pub fn random_values(&self, channels: usize, number: u64) -> Vec<f32> {
        let count = self.dims.iter().product::<usize>() * self.batch * channels;
        normal(generator(0, RngStream::Patch, number)).take(count).collect()
    }
}
