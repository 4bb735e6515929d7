//! A network from end to end.

use anyhow::{Result, ensure};
use model_core::network::layers::{Segment, segments};
use model_core::{Array, BackwardMode, UNetConfig, Weights, check_weights};
use tch::{COptimizer, Device, Kind, Tensor, no_grad};

use super::layers::Parameters;
use super::pieces::{Piece, backward, forward};

/// A network in libtorch, with its parameters on a device.
pub struct Network {
    parameters: Parameters,
    segments: Vec<Segment>,
}

impl Network {
    /// The network of a description and its weights. It rewinds where the description says so, and
    /// convolves in `compute`.
    ///
    /// # Errors
    /// For a network with the variational branch or with gradient checkpointing, which are not here,
    /// and for weights that are not those of the network.
    pub fn new(
        config: &UNetConfig,
        weights: &Weights,
        compute: Kind,
        device: Device,
    ) -> Result<Network> {
        check_weights(config, weights)?;
        ensure!(
            config.vae.is_none() && config.backward != BackwardMode::Checkpointed,
            "expected a network without the variational branch and without checkpointing against \
             libtorch"
        );
        let parameter = |(name, array): (&String, &Array)| {
            let shape: Vec<i64> = array.shape.iter().map(|&n| n as i64).collect();
            let tensor = Tensor::from_slice(&array.values).reshape(&shape[..]).to_device(device);
            (name.clone(), tensor.set_requires_grad(true))
        };
        let by_name = weights.iter().map(parameter).collect();
        Ok(Network { parameters: Parameters { by_name, compute }, segments: segments(config) })
    }

    /// The logits, without a graph.
    ///
    /// # Shapes
    /// - x: `[b, in, k, j, i]`
    /// - output: `[b, out, k, j, i]`
    pub fn logits(&self, x: &Tensor) -> Tensor {
        no_grad(|| logits(&forward(&self.parameters, &self.segments, x.shallow_clone())))
    }

    /// Forward and backward pass: adds the parameters' gradients to those that are there; `gradient`
    /// is shown the logits, and gives their gradient.
    ///
    /// # Shapes
    /// As [`Network::logits`]; the gradient's is the output's.
    pub fn differentiate(&self, x: &Tensor, gradient: impl FnOnce(&Tensor) -> Tensor) {
        let pieces = forward(&self.parameters, &self.segments, x.shallow_clone());
        let gradient = gradient(&logits(&pieces));
        backward(&self.parameters, pieces, gradient);
    }

    /// The parameters' gradients; zeros where there are none yet.
    pub fn gradients(&self) -> Weights {
        let gradient = |(name, parameter): (&String, &Tensor)| {
            let shape: Vec<usize> = parameter.size().iter().map(|&n| n as usize).collect();
            let gradient = parameter.grad();
            let values = match gradient.defined() {
                true => numbers(&gradient),
                false => vec![0.0; shape.iter().product()],
            };
            (name.clone(), Array { shape, values })
        };
        self.parameters.by_name.iter().map(gradient).collect()
    }

    /// Adam over the parameters, with β₁, β₂ and ε as [`trainer_train::adam`] has them.
    ///
    /// # Errors
    /// As libtorch's.
    pub fn adam(&self, learning_rate: f64) -> Result<COptimizer> {
        let mut adam = COptimizer::adam(learning_rate, 0.9, 0.999, 0.0, 1e-8, false)?;
        for parameter in self.parameters.by_name.values() {
            adam.add_parameters(parameter, 0)?;
        }
        Ok(adam)
    }

    /// Forgets the gradients.
    pub fn zero_gradients(&mut self) {
        self.parameters.by_name.values_mut().for_each(Tensor::zero_grad);
    }
}

/// The last piece's end, in f32.
fn logits(pieces: &[Piece]) -> Tensor {
    match pieces.last() {
        Some(Piece::Stored { output, .. }) => output.detach().to_kind(Kind::Float),
        _ => unreachable!("a network ends with its head, which is stored"),
    }
}

/// Values `[batch, channel, k, j, i]` on a device; `dims` are i, j, k.
pub fn tensor(values: &[f32], channels: usize, dims: [usize; 3], device: Device) -> Tensor {
    let [i, j, k] = dims.map(|n| n as i64);
    Tensor::from_slice(values).reshape([-1, channels as i64, k, j, i]).to_device(device)
}

/// The numbers of a tensor.
pub fn numbers(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.to_kind(Kind::Float).to_device(Device::Cpu).reshape([-1]);
    Vec::try_from(&flat).expect("one axis of f32")
}
