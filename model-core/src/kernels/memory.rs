//! Memory of an op during training. Each op declares it beside its kernel, and
//! [`crate::network::memory_estimate`] adds the declarations up.

use serde::Serialize;

/// The kind of device that an op runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// The CPU, with kernels of this crate.
    #[default]
    Cpu,
    /// A GPU, with kernels of this crate or ops composed of burn's.
    Gpu,
}

/// Number of cubes that keeps any GPU busy. Work with fewer natural parts is split further.
pub(super) const BUSY_CUBES: usize = 1024;

/// The shape of one call of an op.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpShape {
    /// Device of the call.
    pub device: DeviceKind,
    /// Bytes per value of input and output.
    pub float_bytes: u64,
    /// Number of samples.
    pub batch: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Voxels of the input along i, j, k.
    pub dims: [usize; 3],
}

impl OpShape {
    /// Returns the number of values of the input.
    pub fn num_input_elements(&self) -> u64 {
        self.num_elements(self.in_channels)
    }

    /// Returns the number of values of `channels` channels at the input's size.
    pub fn num_elements(&self, channels: usize) -> u64 {
        num_elements(self.batch, channels, self.dims)
    }

    /// Returns the bytes of the f32 copies that CPU kernels make of `num_elements` values in half
    /// precision; 0 on a GPU or in f32.
    pub fn widening_bytes(&self, num_elements: u64) -> u64 {
        let is_wider = self.device == DeviceKind::Cpu && self.float_bytes < 4;
        if is_wider { num_elements.saturating_mul(4) } else { 0 }
    }
}

/// Returns the number of values of a tensor. Saturates, since an estimate may be asked for absurd
/// sizes.
pub(crate) fn num_elements(batch: usize, channels: usize, dims: [usize; 3]) -> u64 {
    let axes = [batch, channels].into_iter().chain(dims);
    axes.fold(1, |product, axis| product.saturating_mul(axis as u64))
}

/// Memory of an op beside its input, its output and the gradients of input and parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpMemory {
    /// Whether the input is kept for the backward pass.
    pub keeps_input: bool,
    /// Whether the forward pass applies a norm of the input while loading, so that the norm's
    /// output is never stored. Backward passes always do.
    pub applies_norm: bool,
    /// Whether the output reuses the input's memory, and the gradient of the input that of the
    /// output, if nothing else holds it.
    pub is_in_place: bool,
    /// Whether the gradient of the input can be added to another tensor without memory of its own.
    pub adds_input_gradient: bool,
    /// Other bytes kept for the backward pass.
    pub kept_bytes: u64,
    /// Scratch bytes of the forward pass.
    pub forward_bytes: u64,
    /// Scratch bytes of the backward pass.
    pub backward_bytes: u64,
}
