//! Memory of inference: a forward pass without a backward pass.

use super::network::FeatureMap;
use super::simulated_graph::{SimulatedDevice, SimulatedGraph};
use super::{Settings, check};
use crate::Result;
use crate::network::config::{BackwardMode, UNetConfig};
use crate::network::layers::segments;

/// Returns the peak bytes of a forward pass on an input of `dims` (i, j, k), with the input and the
/// logits, without the parameters.
///
/// # Errors
/// [`crate::Error::Network`] if the configuration cannot be built or does not accept `dims`.
pub fn forward_peak_bytes(
    config: &UNetConfig,
    dims: [usize; 3],
    settings: Settings,
) -> Result<u64> {
    check(config, dims, settings.batch)?;
    // Without autodiff every layer runs as a stored one, and nothing is stored.
    let config = config.for_inference().in_mode(BackwardMode::NonReversible);
    let device = SimulatedDevice::new(&config, settings);
    let mut graph = SimulatedGraph::none();
    let x = device.cast(&mut graph, device.input(config.in_channels(), dims), device.compute);
    let logits = device.segments(&mut graph, FeatureMap::Whole(x), &segments(&config));
    drop(device.cast(&mut graph, logits, 4));
    Ok(device.heap.peak_by_level().into_iter().max().unwrap_or(0))
}
