//! burn's CPU tensors as slices for the kernels in [`cpu_kernels`], and parts of the gradients' kernels.

use burn::Tensor;
use burn::backend::flex::FlexTensor;
use burn::backend::{DispatchDevice, Flex};
use burn::tensor::{DType, FloatDType, TensorData};

use super::kernel_input::{KernelInput, NormAffine};
use cpu_kernels::buffer;
use cpu_kernels::channels::{ChannelAffine, Channels};

/// Returns whether burn's CPU backend holds the tensor, with or without autodiff.
pub(super) fn is_cpu<const D: usize>(tensor: &Tensor<D>) -> bool {
    matches!(tensor.device().inner().as_dispatch(), DispatchDevice::Flex(_))
}

/// Returns whether the CPU holds the tensor in f32, outside of burn's autodiff.
pub(super) fn is_plain_cpu(x: &Tensor<5>) -> bool {
    x.dtype() == DType::F32 && is_cpu(x) && !x.device().is_autodiff()
}

/// The values of a tensor in f32, contiguous. Copied only if the tensor is not.
pub(super) struct CpuValues(FlexTensor);

impl CpuValues {
    /// # Panics
    /// Panics if the tensor is not on burn's CPU backend, or is tracked by autodiff.
    pub fn new<const D: usize>(tensor: &Tensor<D>) -> Self {
        let tensor = tensor.clone().cast(FloatDType::F32).try_into_primitive::<Flex>();
        let tensor = tensor.expect("a CPU tensor without autodiff");
        // A view of whole channels is read where it lies.
        CpuValues(if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() })
    }

    pub fn slice(&self) -> &[f32] {
        let start = self.0.layout().start_offset();
        &self.0.storage::<f32>()[start..start + self.0.layout().num_elements()]
    }
}

/// Mutable values of a tensor in f32. Reuses the tensor's memory if it is f32 and nothing else
/// holds it; otherwise a copy.
pub(super) struct CpuValuesMut(FlexTensor);

impl CpuValuesMut {
    /// # Panics
    /// Panics in the cases of [`CpuValues::new`].
    pub fn new<const D: usize>(tensor: Tensor<D>) -> Self {
        let shape = tensor.dims();
        CpuValuesMut::reusing(tensor).unwrap_or_else(|values| {
            let copy = buffer::concat(&[values.slice()]);
            CpuValuesMut(FlexTensor::from_data(TensorData::new(copy, shape)))
        })
    }

    /// Returns the tensor's memory to be overwritten, or its values if something else holds them. An op
    /// can then write its result to new memory, which is faster than to copy the values first.
    ///
    /// # Panics
    /// Panics in the cases of [`CpuValues::new`].
    pub fn reusing<const D: usize>(tensor: Tensor<D>) -> Result<CpuValuesMut, CpuValues> {
        let tensor = tensor.cast(FloatDType::F32).try_into_primitive::<Flex>();
        let tensor = tensor.expect("a CPU tensor without autodiff");
        let tensor = if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() };
        let is_whole = tensor.storage::<f32>().len() == tensor.layout().num_elements();
        if is_whole && tensor.is_unique() {
            Ok(CpuValuesMut(tensor))
        } else {
            Err(CpuValues(tensor))
        }
    }

    pub fn slice(&mut self) -> &mut [f32] {
        self.0.storage_mut()
    }

    /// Returns the memory.
    pub fn into_vec(self) -> Vec<f32> {
        self.0.into_data().try_into_vec().expect("f32")
    }

    /// Converts to a tensor of type `float`.
    pub fn tensor<const D: usize>(self, float: FloatDType) -> Tensor<D> {
        let tensor: Tensor<D> = Tensor::from_primitive::<Flex>(self.0);
        tensor.cast(float)
    }
}

impl From<CpuValuesMut> for CpuValues {
    fn from(values: CpuValuesMut) -> CpuValues {
        CpuValues(values.0)
    }
}

/// Returns the norm's map for each channel of each sample.
pub(super) fn channel_affines(
    NormAffine { scale_shift, slope }: &NormAffine,
) -> Vec<ChannelAffine> {
    let of_map = |&[scale, shift]: &[f32; 2]| ChannelAffine { scale, shift, slope: *slope };
    CpuValues::new(scale_shift).slice().as_chunks().0.iter().map(of_map).collect()
}

/// The values of a [`KernelInput`] for the kernels in [`cpu_kernels`].
pub(super) struct CpuInput {
    values: CpuValues,
    affines: Option<Vec<ChannelAffine>>,
}

impl CpuInput {
    /// # Panics
    /// Panics in the cases of [`CpuValues::new`].
    pub fn new(source: &KernelInput) -> Self {
        CpuInput {
            values: CpuValues::new(&source.x),
            affines: source.norm.as_ref().map(channel_affines),
        }
    }

    /// Returns the channels of all samples.
    pub fn channels(&self) -> Channels<'_> {
        Channels::new(self.values.slice(), self.affines.as_deref())
    }
}

/// Creates a CPU tensor with the type of `like`.
pub(super) fn tensor<const D: usize, const E: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    like: &Tensor<E>,
) -> Tensor<D> {
    new_tensor(values, shape).cast(FloatDType::from(like.dtype()))
}

/// Creates a CPU tensor of f32.
pub(super) fn new_tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(FlexTensor::from_data(TensorData::new(values, shape)))
}

/// Number of independent partial sums: as many as the widest vector register has lanes. They are
/// added in a fixed order, so the result does not depend on the machine.
pub(super) const LANES: usize = 16;

/// Sums the lanes in f64.
#[inline(always)]
pub(super) fn sum_lanes(lanes: &[f32; LANES]) -> f64 {
    lanes.iter().map(|&lane| f64::from(lane)).sum()
}

/// Number of values summed in f32 before the sum continues in f64. Short enough that rounding is
/// invisible at 10⁷ voxels.
pub(super) const RUN: usize = 4096;
