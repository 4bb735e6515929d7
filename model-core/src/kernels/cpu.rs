//! Shared parts of the CPU kernels: slices of burn's CPU tensors, norms applied while reading, and
//! sums in a fixed order.

use burn::Tensor;
use burn::backend::flex::FlexTensor;
use burn::backend::{DispatchDevice, Flex};
use burn::tensor::{FloatDType, TensorData};

use super::kernel_input::{KernelInput, NormAffine};

/// Returns whether burn's CPU backend holds the tensor, with or without autodiff.
pub(super) fn is_cpu<const D: usize>(tensor: &Tensor<D>) -> bool {
    matches!(tensor.device().inner().as_dispatch(), DispatchDevice::Flex(_))
}

/// The values of a tensor in f32, contiguous. Copied only if the tensor is not.
pub(super) struct CpuValues(FlexTensor);

impl CpuValues {
    /// # Panics
    /// Panics if the tensor is not on burn's CPU backend, or is tracked by autodiff.
    pub fn new<const D: usize>(tensor: &Tensor<D>) -> Self {
        let tensor = tensor.clone().cast(FloatDType::F32).try_into_primitive::<Flex>();
        CpuValues(tensor.expect("a CPU tensor without autodiff").to_contiguous())
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
        let tensor = tensor.cast(FloatDType::F32).try_into_primitive::<Flex>();
        let tensor = tensor.expect("a CPU tensor without autodiff").to_contiguous();
        if tensor.is_unique() && tensor.storage::<f32>().len() == tensor.layout().num_elements() {
            return CpuValuesMut(tensor);
        }
        let values = CpuValues(tensor);
        CpuValuesMut(FlexTensor::from_data(TensorData::new(values.slice().to_vec(), shape)))
    }

    pub fn slice(&mut self) -> &mut [f32] {
        self.0.storage_mut()
    }

    /// Converts to a tensor of type `float`.
    pub fn tensor<const D: usize>(self, float: FloatDType) -> Tensor<D> {
        let tensor: Tensor<D> = Tensor::from_primitive::<Flex>(self.0);
        tensor.cast(float)
    }
}

/// The affine map and activation of a norm, for one channel of one sample.
#[derive(Clone, Copy)]
pub(super) struct ChannelAffine {
    scale: f32,
    shift: f32,
    slope: f32,
}

impl ChannelAffine {
    /// Returns one entry for each channel of each sample.
    pub fn of(NormAffine { scale_shift, slope }: &NormAffine) -> Vec<ChannelAffine> {
        let of_map = |&[scale, shift]: &[f32; 2]| ChannelAffine { scale, shift, slope: *slope };
        CpuValues::new(scale_shift).slice().as_chunks().0.iter().map(of_map).collect()
    }

    #[inline(always)]
    pub fn apply(self, x: f32) -> f32 {
        let z = x * self.scale + self.shift;
        if z > 0.0 { z } else { z * self.slope }
    }
}

/// The values of a [`KernelInput`], one channel of one sample at a time.
pub(super) struct Channels {
    values: CpuValues,
    norms: Option<Vec<ChannelAffine>>,
}

impl Channels {
    /// # Panics
    /// Panics in the cases of [`CpuValues::new`].
    pub fn new(source: &KernelInput) -> Self {
        Channels {
            values: CpuValues::new(&source.x),
            norms: source.norm.as_ref().map(ChannelAffine::of),
        }
    }

    /// Returns channel `n`, counted over all samples, of `voxels` voxels.
    pub fn map(&self, n: usize, voxels: usize) -> Channel<'_> {
        let values = &self.values.slice()[n * voxels..][..voxels];
        Channel { values, norm: self.norms.as_ref().map(|norms| norms[n]) }
    }

    /// Returns the number of values of all channels and samples.
    pub fn len(&self) -> usize {
        self.values.slice().len()
    }
}

/// One channel of one sample.
#[derive(Clone, Copy)]
pub(super) struct Channel<'a> {
    values: &'a [f32],
    norm: Option<ChannelAffine>,
}

impl Channel<'_> {
    /// Loads `to.len()` values from index `at`, normalized.
    #[inline(always)]
    pub fn load(self, to: &mut [f32], at: usize) {
        let from = &self.values[at..][..to.len()];
        match self.norm {
            None => to.copy_from_slice(from),
            Some(norm) => to.iter_mut().zip(from).for_each(|(to, &x)| *to = norm.apply(x)),
        }
    }
}

/// Creates a CPU tensor with the type of `like`.
pub(super) fn tensor<const D: usize, const E: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    like: &Tensor<E>,
) -> Tensor<D> {
    let tensor = FlexTensor::from_data(TensorData::new(values, shape));
    let tensor: Tensor<D> = Tensor::from_primitive::<Flex>(tensor);
    tensor.cast(FloatDType::from(like.dtype()))
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
