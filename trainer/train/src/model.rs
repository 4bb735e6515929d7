//! The network on a device, and whole volumes through it.

use anyhow::Result;
use burn::tensor::{Device, Tensor, TensorData};
use model_core::nets::{Precision, UNet3d};
use model_core::{Input, UNetConfig, Weights};

use crate::adam::numbers;

/// Builds the network with these weights. On an autodiff device, its parameters are tracked.
///
/// # Errors
/// Errors if the weights are of another network.
pub fn build(network: &UNetConfig, weights: &Weights, device: &Device) -> Result<UNet3d> {
    Ok(UNet3d::new(network, device).load(weights)?)
}

/// Builds the network as [`build`] does, to compute in a precision. Parameters and logits stay f32.
///
/// # Errors
/// Errors if the weights are of another network.
pub fn build_in(
    network: &UNetConfig,
    weights: &Weights,
    precision: Precision,
    device: &Device,
) -> Result<UNet3d> {
    Ok(UNet3d::in_precision(network, precision, device).load(weights)?)
}

/// Moves values to a device as a tensor `[batch, channel, k, j, i]`; `dims` are the voxels along i, j,
/// k.
pub fn tensor(values: Vec<f32>, channels: usize, dims: [usize; 3], device: &Device) -> Tensor<5> {
    let [i, j, k] = dims;
    let batch = values.len() / (channels * i * j * k);
    Tensor::from_data(TensorData::new(values, [batch, channels, k, j, i]), device)
}

/// Computes the logits of a whole volume, `[output, k, j, i]`.
pub fn logits(network: &UNet3d, input: &Input, device: &Device) -> Vec<f32> {
    let device = device.clone().without_autodiff();
    let x = tensor(input.values.clone(), input.channels, input.dims, &device);
    numbers(network.forward(x))
}
