//! One step, measured in this process.

use anyhow::{Result, bail};
use burn::tensor::{Device, Distribution, Tensor};
use model_core::UNetConfig;
use model_core::nets::{Precision, UNet3d, backward};
use serde::{Deserialize, Serialize};

use crate::counting::{held_bytes, most_held_bytes};

/// Bytes of a step, beside the network's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Held between the forward and the backward pass.
    pub stored_bytes: u64,
    /// The most that was held; on a GPU what its pool had reserved, which includes gaps.
    pub peak_bytes: u64,
}

/// Runs two steps on random input, and measures the second: the first starts threads and pools
/// that stay. Nothing else should run in the process meanwhile.
///
/// # Errors
/// When the network cannot be built or does not take `dims` (i, j, k), or the device does not say
/// what it holds.
pub fn measure(
    config: &UNetConfig,
    dims: [usize; 3],
    precision: Precision,
    device: &Device,
) -> Result<Measured> {
    config.check()?;
    config.check_size(dims)?;
    let device = device.clone().autodiff();
    let network = UNet3d::in_precision(config, precision, &device);
    step(&network, dims, &device)?;
    step(&network, dims, &device)
}

fn step(network: &UNet3d, [i, j, k]: [usize; 3], device: &Device) -> Result<Measured> {
    let config = &network.config;
    let random = |channels| {
        Tensor::<5>::random([1, channels, k, j, i], Distribution::Normal(0.0, 1.0), device)
    };
    let before = held(device)?;
    let x = random(config.in_channels);
    most_held_bytes();
    let (logits, tap) = network.forward_with_tap(x);
    let stored = held(device)?;
    let gradient = random(config.out_channels);
    let branch = network.vae.as_ref().map(|vae| {
        let bottom = tap.take().autodiff().require_grad();
        let units = config.vae.as_ref().map_or(0, |vae| vae.units);
        let found = vae.forward(bottom.clone(), Tensor::zeros([1, units, 1, 1, 1], device));
        let mut gradients = backward(vec![(found.reconstruction, random(config.in_channels))]);
        tap.give(bottom.grad_remove(&mut gradients).expect("the branch depends on the bottom"));
        gradients
    });
    let gradients = backward(vec![(logits, gradient)]);
    let most = match device.memory_pool_usage() {
        Some(usage) => usage.bytes_reserved,
        None => most_held_bytes() as u64,
    };
    drop((gradients, branch));
    Ok(Measured {
        stored_bytes: stored.saturating_sub(before),
        peak_bytes: most.saturating_sub(before),
    })
}

/// Bytes that the device holds now.
fn held(device: &Device) -> Result<u64> {
    if let Err(error) = device.sync() {
        bail!("the device failed: {error:?}");
    }
    Ok(match device.memory_pool_usage() {
        Some(usage) => usage.bytes_in_use,
        None => held_bytes() as u64,
    })
}
