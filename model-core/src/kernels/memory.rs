//! What an operation of the training path holds in memory. Each op declares it beside its kernel,
//! and [`crate::network::memory_estimate`] adds the declarations up.

use serde::Serialize;

/// Where an op runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// On the CPU, in kernels of our own.
    #[default]
    Cpu,
    /// On a GPU, in kernels of our own or composed of burn's operations.
    Gpu,
}

/// Cubes of units that keep any GPU busy: where the work's own parts are fewer, it is cut finer.
pub(super) const BUSY_CUBES: usize = 1024;

/// One call of an op.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpShape {
    /// Where.
    pub device: DeviceKind,
    /// Bytes of one number of its input and output.
    pub float_bytes: u64,
    /// Samples.
    pub batch: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Voxels of the input along i, j, k.
    pub dims: [usize; 3],
}

impl OpShape {
    /// Numbers in the input.
    pub fn num_input_elements(&self) -> u64 {
        self.num_elements(self.in_channels)
    }

    /// Numbers in as many channels at the input's size.
    pub fn num_elements(&self, channels: usize) -> u64 {
        num_elements(self.batch, channels, self.dims)
    }

    /// Bytes of f32 copies that the CPU's kernels make of this many numbers in half precision.
    pub fn widening_bytes(&self, num_elements: u64) -> u64 {
        let is_wider = self.device == DeviceKind::Cpu && self.float_bytes < 4;
        if is_wider { num_elements.saturating_mul(4) } else { 0 }
    }
}

/// Numbers in a tensor, or the most that can be counted: a plan's sizes may be absurd.
pub(crate) fn num_elements(batch: usize, channels: usize, dims: [usize; 3]) -> u64 {
    let axes = [batch, channels].into_iter().chain(dims);
    axes.fold(1, |product, axis| product.saturating_mul(axis as u64))
}

/// Bytes beside the input, the output and the gradients of input and parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpMemory {
    /// Whether the input is kept for the backward pass.
    pub keeps_input: bool,
    /// Whether the forward pass applies a norm of the input as it is loaded, so that its output is
    /// nowhere; backward passes always do.
    pub applies_norm: bool,
    /// Whether the output takes the memory of the input, and the input's gradient that of the
    /// output's, where nothing else holds it.
    pub is_in_place: bool,
    /// What else is kept.
    pub kept_bytes: u64,
    /// Scratch of the forward pass.
    pub forward_bytes: u64,
    /// Scratch of the backward pass.
    pub backward_bytes: u64,
}
