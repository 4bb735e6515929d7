//! The network on a device, and whole volumes through it.

use anyhow::Result;
use burn::tensor::{Device, Tensor, TensorData};
use model_core::nets::{Precision, UNet3d};
use model_core::{Input, UNetConfig, Weights};

use crate::adam::numbers;

/// The network with these weights; on an autodiff device, its parameters are tracked.
///
/// # Errors
/// When the weights are not those of the network.
pub fn build(network: &UNetConfig, weights: &Weights, device: &Device) -> Result<UNet3d> {
    Ok(UNet3d::new(network, device).load(weights)?)
}

/// The same, computing in a precision; parameters and logits are f32 in any.
///
/// # Errors
/// When the weights are not those of the network.
pub fn build_in(
    network: &UNetConfig,
    weights: &Weights,
    precision: Precision,
    device: &Device,
) -> Result<UNet3d> {
    Ok(UNet3d::in_precision(network, precision, device).load(weights)?)
}

/// Values `[batch, channel, k, j, i]` on a device; `dims` are i, j, k.
pub fn tensor(values: Vec<f32>, channels: usize, dims: [usize; 3], device: &Device) -> Tensor<5> {
    let [i, j, k] = dims;
    let batch = values.len() / (channels * i * j * k);
    Tensor::from_data(TensorData::new(values, [batch, channels, k, j, i]), device)
}

/// The logits of a whole volume, `[output, k, j, i]`.
pub fn logits(network: &UNet3d, input: &Input, device: &Device) -> Vec<f32> {
    let device = device.clone().without_autodiff();
    let x = tensor(input.values.clone(), input.channels, input.dims, &device);
    numbers(network.forward(x))
}
