//! What the CPU kernels share: plain slices out of burn's CPU tensors, and sums of fixed order.

use burn::Tensor;
use burn::backend::flex::FlexTensor;
use burn::backend::{DispatchDevice, Flex};
use burn::tensor::{FloatDType, TensorData};

/// Whether a tensor is held by burn's CPU backend, with or without autodiff.
pub(super) fn is_cpu<const D: usize>(tensor: &Tensor<D>) -> bool {
    matches!(tensor.device().inner().as_dispatch(), DispatchDevice::Flex(_))
}

/// A tensor's values in f32, contiguous in memory; copied only if they are not.
pub(super) struct Values(FlexTensor);

impl Values {
    /// # Panics
    /// When the tensor is not on burn's CPU backend, or under autodiff.
    pub fn new<const D: usize>(tensor: &Tensor<D>) -> Self {
        let tensor = tensor.clone().cast(FloatDType::F32).try_into_primitive::<Flex>();
        Values(tensor.expect("a CPU tensor without autodiff").to_contiguous())
    }

    pub fn slice(&self) -> &[f32] {
        let start = self.0.layout().start_offset();
        &self.0.storage::<f32>()[start..start + self.0.layout().num_elements()]
    }
}

/// A CPU tensor of these values, in the type of `like`.
pub(super) fn tensor<const D: usize, const E: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    like: &Tensor<E>,
) -> Tensor<D> {
    let tensor = FlexTensor::from_data(TensorData::new(values, shape));
    let tensor: Tensor<D> = Tensor::from_primitive::<Flex>(tensor);
    tensor.cast(FloatDType::from(like.dtype()))
}

/// Partial sums in as many lanes as the widest vector has; added up at the end in a fixed order,
/// so that the result does not depend on the machine.
pub(super) const LANES: usize = 16;

/// The sum of a run's lanes, in f64.
#[inline(always)]
pub(super) fn sum_lanes(lanes: &[f32; LANES]) -> f64 {
    lanes.iter().map(|&lane| f64::from(lane)).sum()
}

/// Elements summed in f32 before the sum goes on in f64: short enough that rounding does not
/// show at 10⁷ voxels.
pub(super) const RUN: usize = 4096;
