//! Group norm with activation on a GPU. The values of a group, and of a channel, are contiguous, so
//! cubes reduce parts of them. The partial results are merged in a fixed order.

// A kernel takes its buffers and sizes one by one.
#![allow(clippy::too_many_arguments)]

mod affine;
mod moments;
mod run_split;

use burn::Tensor;
use burn::backend::Cube;
use burn::tensor::{DType, FloatDType};
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::super::cube::{
    UNITS, add_partial_sums, contiguous, cubes, empty, float, in_place_output, indices, owned,
    sum_units, tensor, vector_size,
};
use super::{Gradients, GroupNormKernels, Layout, NormAffine};
use run_split::{ChunkPosition, RunSplit, part};

impl GroupNormKernels for Cube {
    type Statistics = CubeTensor;

    fn statistics(x: &Tensor<5>, layout: Layout) -> CubeTensor {
        moments::statistics(contiguous(x), layout)
    }

    fn affine(
        [gamma, beta]: [&Tensor<1>; 2],
        statistics: &CubeTensor,
        layout: Layout,
    ) -> Tensor<2> {
        tensor(affine::maps([gamma, beta].map(parameter), statistics, layout))
    }

    fn apply(x: Tensor<5>, norm: &NormAffine) -> Tensor<5> {
        tensor(affine::add(None, owned(x), norm, 1.0))
    }

    fn add(stream: Tensor<5>, x: Tensor<5>, norm: &NormAffine, sign: f32) -> Tensor<5> {
        tensor(affine::add(Some(owned(stream)), owned(x), norm, sign))
    }

    fn gradients(
        x: Tensor<5>,
        gradient: Tensor<5>,
        [gamma, beta]: [&Tensor<1>; 2],
        statistics: &CubeTensor,
        layout: Layout,
        slope: f32,
    ) -> Gradients {
        let (x, gradient) = (owned(x), owned(gradient));
        let [batch, channels, ..] = x.meta.shape().dims::<5>();
        let [gamma_values, beta_values] = [gamma, beta].map(parameter);
        let cut = layout.channel_cut(&x);
        let partials = empty([batch * channels, cut.parts, 2], DType::F32, &x);
        // Safety: a cube reads its part of one channel, within both buffers, and writes its own
        // pair.
        unsafe {
            sums_kernel::launch_unchecked(
                &x.client,
                cubes(cut.cubes, &x),
                CubeDim::new_1d(UNITS as u32),
                indices([&x]),
                cut.vector,
                x.clone().into_buffer_arg(),
                gradient.clone().into_buffer_arg(),
                gamma_values.clone().into_buffer_arg(),
                beta_values.clone().into_buffer_arg(),
                statistics.clone().into_buffer_arg(),
                partials.clone().into_buffer_arg(),
                cut.place(layout),
                slope,
                float(x.dtype),
            );
        }
        let sums = add_partial_sums(partials, [batch * channels, 2], DType::F32);
        let [gamma_grad, beta_grad] = [(); 2].map(|()| empty([channels], DType::F32, &x));
        let means = empty([batch * layout.groups, 2], DType::F32, &x);
        let units = channels.max(batch * layout.groups);
        // Safety: a unit writes its own group's means and its own channel's sums, if they exist.
        unsafe {
            totals_kernel::launch_unchecked(
                &x.client,
                cubes(units.div_ceil(UNITS), &x),
                CubeDim::new_1d(UNITS as u32),
                sums.clone().into_buffer_arg(),
                gamma_values.clone().into_buffer_arg(),
                means.clone().into_buffer_arg(),
                gamma_grad.clone().into_buffer_arg(),
                beta_grad.clone().into_buffer_arg(),
                batch,
                channels,
                layout.channels_per_group(),
                1.0 / layout.group_size() as f32,
            );
        }
        let (output, output_arg) = in_place_output(&gradient, 1);
        // Safety: as for the sums; a unit writes only where it reads.
        unsafe {
            gradient_kernel::launch_unchecked(
                &x.client,
                cubes(cut.cubes, &x),
                CubeDim::new_1d(UNITS as u32),
                indices([&x]),
                cut.vector,
                x.clone().into_buffer_arg(),
                gradient.into_buffer_arg(),
                gamma_values.into_buffer_arg(),
                beta_values.into_buffer_arg(),
                statistics.clone().into_buffer_arg(),
                means.into_buffer_arg(),
                output_arg,
                cut.place(layout),
                slope,
                float(x.dtype),
            );
        }
        let of_parameter = |of: CubeTensor| tensor::<1>(of).cast(FloatDType::from(gamma.dtype()));
        (tensor(output), of_parameter(gamma_grad), of_parameter(beta_grad))
    }
}

/// Returns a parameter in f32.
fn parameter(tensor: &Tensor<1>) -> CubeTensor {
    contiguous(&tensor.clone().cast(FloatDType::F32))
}

impl Layout {
    fn channel_cut(self, x: &CubeTensor) -> RunSplit {
        let [batch, channels, ..] = x.meta.shape().dims::<5>();
        RunSplit::new(vector_size(self.voxels, x), self.voxels, batch * channels)
    }
}

/// Returns the gradient before the activation, and the normalized input.
#[cube]
fn before_activation<N: Size>(
    x: Vector<f32, N>,
    gradient: Vector<f32, N>,
    mean: f32,
    inverse_deviation: f32,
    gamma: f32,
    beta: f32,
    slope: f32,
) -> (Vector<f32, N>, Vector<f32, N>) {
    let normalized = (x - Vector::new(mean)) * Vector::new(inverse_deviation);
    let z = normalized * Vector::new(gamma) + Vector::new(beta);
    let smaller = gradient * Vector::new(slope);
    (select_many(z.greater_than(&Vector::new(0.0)), gradient, smaller), normalized)
}

/// Computes Σ g and Σ g · x̂ for every part of every channel of every sample. g is the gradient
/// before the activation.
#[cube(launch_unchecked, address_type = "dynamic")]
fn sums_kernel<F: Float, N: Size>(
    x: &[Vector<F, N>],
    gradient: &[Vector<F, N>],
    gamma: &[f32],
    beta: &[f32],
    statistics: &[f32],
    partials: &mut [f32],
    place: ChunkPosition,
    slope: f32,
    #[define(F)] _float: ElemType,
) {
    if CUBE_POS >= place.cubes {
        terminate!();
    }
    let map = CUBE_POS / place.parts;
    let channel = map % place.channels;
    let group = map / place.channels_per_group;
    let (mean, inverse_deviation) = (statistics[2 * group], statistics[2 * group + 1]);
    let (gamma, beta) = (gamma[channel], beta[channel]);
    let mut plain = Vector::<f32, N>::new(0.0);
    let mut times_normalized = Vector::<f32, N>::new(0.0);
    let (start, end) = part(place.run, place.parts);
    let mut at = start + UNIT_POS as usize;
    while at < end {
        let (x, gradient) = (Vector::cast_from(x[at]), Vector::cast_from(gradient[at]));
        let (g, normalized) =
            before_activation::<N>(x, gradient, mean, inverse_deviation, gamma, beta, slope);
        plain += g;
        times_normalized += g * normalized;
        at += UNITS;
    }
    let plain = sum_units(sum_lanes(plain));
    let times_normalized = sum_units(sum_lanes(times_normalized));
    if UNIT_POS == 0 {
        partials[2 * CUBE_POS] = plain;
        partials[2 * CUBE_POS + 1] = times_normalized;
    }
}

#[cube]
fn sum_lanes<N: Size>(vector: Vector<f32, N>) -> f32 {
    let mut sum = 0.0f32;
    #[unroll]
    for lane in 0..N::value() {
        sum += vector.extract(lane);
    }
    sum
}

/// Reduces the sums of the channels to each group's means of gamma · g and gamma · g · x̂, and to
/// the gradients of gamma and beta.
#[cube(launch_unchecked)]
fn totals_kernel(
    sums: &[f32],
    gamma: &[f32],
    means: &mut [f32],
    gamma_grad: &mut [f32],
    beta_grad: &mut [f32],
    batch: usize,
    channels: usize,
    channels_per_group: usize,
    factor: f32,
) {
    let unit = ABSOLUTE_POS;
    if unit < batch * (channels / channels_per_group) {
        let mut plain = 0.0f32;
        let mut times_normalized = 0.0f32;
        for map in unit * channels_per_group..(unit + 1) * channels_per_group {
            let gamma = gamma[map % channels];
            plain += gamma * sums[2 * map];
            times_normalized += gamma * sums[2 * map + 1];
        }
        means[2 * unit] = plain * factor;
        means[2 * unit + 1] = times_normalized * factor;
    }
    if unit < channels {
        let mut plain = 0.0f32;
        let mut times_normalized = 0.0f32;
        for sample in 0..batch {
            let map = sample * channels + unit;
            plain += sums[2 * map];
            times_normalized += sums[2 * map + 1];
        }
        beta_grad[unit] = plain;
        gamma_grad[unit] = times_normalized;
    }
}

/// Computes `(gamma · g − mean(gamma · g) − x̂ · mean(gamma · g · x̂)) / deviation`.
#[cube(launch_unchecked, address_type = "dynamic")]
fn gradient_kernel<F: Float, N: Size>(
    x: &[Vector<F, N>],
    gradient: &[Vector<F, N>],
    gamma: &[f32],
    beta: &[f32],
    statistics: &[f32],
    means: &[f32],
    output: &mut [Vector<F, N>],
    place: ChunkPosition,
    slope: f32,
    #[define(F)] _float: ElemType,
) {
    if CUBE_POS >= place.cubes {
        terminate!();
    }
    let map = CUBE_POS / place.parts;
    let channel = map % place.channels;
    let group = map / place.channels_per_group;
    let (mean, inverse_deviation) = (statistics[2 * group], statistics[2 * group + 1]);
    let (gamma, beta) = (gamma[channel], beta[channel]);
    let plain = Vector::<f32, N>::new(means[2 * group]);
    let times_normalized = Vector::<f32, N>::new(means[2 * group + 1]);
    let (start, end) = part(place.run, place.parts);
    let mut at = start + UNIT_POS as usize;
    while at < end {
        let (x, gradient) = (Vector::cast_from(x[at]), Vector::cast_from(gradient[at]));
        let (g, normalized) =
            before_activation::<N>(x, gradient, mean, inverse_deviation, gamma, beta, slope);
        let inner = g * Vector::new(gamma) - plain - normalized * times_normalized;
        output[at] = Vector::cast_from(inner * Vector::new(inverse_deviation));
        at += UNITS;
    }
}
