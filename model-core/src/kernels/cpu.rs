//! What the CPU kernels share: plain slices out of burn's CPU tensors, norms applied as these are
//! read, and sums of fixed order.

use burn::Tensor;
use burn::backend::flex::FlexTensor;
use burn::backend::{DispatchDevice, Flex};
use burn::tensor::{FloatDType, TensorData};

use super::kernel_input::{KernelInput, NormAffine};

/// Whether a tensor is held by burn's CPU backend, with or without autodiff.
pub(super) fn is_cpu<const D: usize>(tensor: &Tensor<D>) -> bool {
    matches!(tensor.device().inner().as_dispatch(), DispatchDevice::Flex(_))
}

/// A tensor's values in f32, contiguous in memory; copied only if they are not.
pub(super) struct CpuValues(FlexTensor);

impl CpuValues {
    /// # Panics
    /// When the tensor is not on burn's CPU backend, or under autodiff.
    pub fn new<const D: usize>(tensor: &Tensor<D>) -> Self {
        let tensor = tensor.clone().cast(FloatDType::F32).try_into_primitive::<Flex>();
        CpuValues(tensor.expect("a CPU tensor without autodiff").to_contiguous())
    }

    pub fn slice(&self) -> &[f32] {
        let start = self.0.layout().start_offset();
        &self.0.storage::<f32>()[start..start + self.0.layout().num_elements()]
    }
}

/// A tensor's values in f32, to be written over: its own memory where nothing else holds it and it is
/// in f32, else a copy.
pub(super) struct CpuValuesMut(FlexTensor);

impl CpuValuesMut {
    /// # Panics
    /// As [`CpuValues::new`].
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

    /// In the type of `float`.
    pub fn tensor<const D: usize>(self, float: FloatDType) -> Tensor<D> {
        let tensor: Tensor<D> = Tensor::from_primitive::<Flex>(self.0);
        tensor.cast(float)
    }
}

/// What a norm makes of the numbers of one map.
#[derive(Clone, Copy)]
pub(super) struct ChannelAffine {
    scale: f32,
    shift: f32,
    slope: f32,
}

impl ChannelAffine {
    /// Those of all maps.
    pub fn of(NormAffine { maps, slope }: &NormAffine) -> Vec<ChannelAffine> {
        let of_map = |&[scale, shift]: &[f32; 2]| ChannelAffine { scale, shift, slope: *slope };
        CpuValues::new(maps).slice().as_chunks().0.iter().map(of_map).collect()
    }

    #[inline(always)]
    pub fn apply(self, x: f32) -> f32 {
        let z = x * self.scale + self.shift;
        if z > 0.0 { z } else { z * self.slope }
    }
}

/// A [`KernelInput`]'s values.
pub(super) struct Channels {
    values: CpuValues,
    norms: Option<Vec<ChannelAffine>>,
}

impl Channels {
    /// # Panics
    /// As [`CpuValues::new`].
    pub fn new(source: &KernelInput) -> Self {
        Channels {
            values: CpuValues::new(&source.x),
            norms: source.norm.as_ref().map(ChannelAffine::of),
        }
    }

    /// Map `n` of all samples' channels, each of so many voxels.
    pub fn map(&self, n: usize, voxels: usize) -> Channel<'_> {
        let values = &self.values.slice()[n * voxels..][..voxels];
        Channel { values, norm: self.norms.as_ref().map(|norms| norms[n]) }
    }

    /// Numbers of all.
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
    /// As many values from place `at` on, normalized.
    #[inline(always)]
    pub fn load(self, to: &mut [f32], at: usize) {
        let from = &self.values[at..][..to.len()];
        match self.norm {
            None => to.copy_from_slice(from),
            Some(norm) => to.iter_mut().zip(from).for_each(|(to, &x)| *to = norm.apply(x)),
        }
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
