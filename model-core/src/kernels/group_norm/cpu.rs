//! Group norm with activation on the CPU. Short runs are summed in f32 lanes, their sums in f64.

use burn::Tensor;
use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, FloatDType, TensorData};
use multiversion::multiversion;
use rayon::prelude::*;

use super::super::add::add_or_subtract;
use super::super::cpu::{
    CpuValues, CpuValuesMut, LANES, RUN, channel_affines, new_tensor, sum_lanes, tensor,
};
use super::{Gradients, GroupNormKernels, Layout, NormAffine};
use cpu_kernels::buffer;
use cpu_kernels::channels::{Channels, Statistics};
use cpu_kernels::elementwise;

use crate::network::config::NORM_EPSILON;

impl GroupNormKernels for Flex {
    type Statistics = Vec<Statistics>;

    fn statistics(x: &Tensor<5>, layout: Layout) -> Vec<Statistics> {
        let values = CpuValues::new(x);
        let groups = values.slice().len() / layout.group_size();
        let moments = elementwise::moments(values.slice(), groups, 0..layout.group_size());
        moments.into_iter().map(|moments| moments.statistics(NORM_EPSILON)).collect()
    }

    fn affine(
        [gamma, beta]: [&Tensor<1>; 2],
        statistics: &Vec<Statistics>,
        layout: Layout,
    ) -> Tensor<2> {
        let (gamma_values, beta) = (CpuValues::new(gamma), CpuValues::new(beta));
        let (gamma_values, beta) = (gamma_values.slice(), beta.slice());
        let maps = statistics.len() * layout.channels_per_group();
        let of_map = |map: usize| {
            let channel = map % layout.channels;
            let Statistics { mean, inverse_deviation } =
                statistics[map / layout.channels_per_group()];
            let scale = gamma_values[channel] * inverse_deviation;
            [scale, beta[channel] - mean * scale]
        };
        let values = TensorData::new((0..maps).flat_map(of_map).collect(), [maps, 2]);
        Tensor::from_primitive::<Flex>(FlexTensor::from_data(values))
    }

    fn apply(x: Tensor<5>, norm: &NormAffine) -> Tensor<5> {
        let (shape @ [b, c, k, j, i], float) = (x.dims(), FloatDType::from(x.dtype()));
        let affines = channel_affines(norm);
        match CpuValuesMut::reusing(x) {
            Ok(mut values) => {
                elementwise::normalize(values.slice(), b * c, 0..k * j * i, &affines);
                values.tensor(float)
            }
            Err(values) => {
                let x = Channels::new(values.slice(), Some(&affines));
                new_tensor(elementwise::normalized(x, b * c), shape).cast(float)
            }
        }
    }

    fn add(stream: Tensor<5>, x: Tensor<5>, norm: &NormAffine, sign: f32) -> Tensor<5> {
        let ([b, c, k, j, i], float) = (stream.dims(), FloatDType::from(stream.dtype()));
        if x.dtype() != DType::F32 {
            return add_or_subtract(stream, Self::apply(x, norm), sign);
        }
        let (x, affines) = (CpuValues::new(&x), channel_affines(norm));
        let x = Channels::new(x.slice(), Some(&affines));
        match CpuValuesMut::reusing(stream) {
            Ok(mut values) => {
                elementwise::add(x, values.slice(), b * c, 0..k * j * i, None, sign);
                values.tensor(float)
            }
            Err(stream) => {
                let sum = elementwise::sum(x, stream.slice(), b * c, sign);
                new_tensor(sum, [b, c, k, j, i]).cast(float)
            }
        }
    }

    fn gradients(
        x: Tensor<5>,
        gradient: Tensor<5>,
        parameters: [&Tensor<1>; 2],
        statistics: &Vec<Statistics>,
        layout: Layout,
        slope: f32,
    ) -> Gradients {
        let (shape, float) = (x.dims(), FloatDType::from(x.dtype()));
        let [gamma, beta] = parameters.map(CpuValues::new);
        let gamma_beta = [gamma.slice(), beta.slice()];
        let sums_of = |x: &[f32], gradient: &[f32]| {
            channel_sums(x, gradient, gamma_beta, statistics, layout, slope)
        };
        let of_channel = |map: usize, sums: &[Sums]| {
            ChannelGradient::new(map, gamma_beta, statistics, sums, layout, slope)
        };
        let map_range = |map: usize| map * layout.voxels..(map + 1) * layout.voxels;
        let (sums, input_grad) = match CpuValuesMut::reusing(gradient) {
            Ok(mut gradient) => {
                let x = CpuValues::new(&x);
                let (x, sums) = (x.slice(), sums_of(x.slice(), gradient.slice()));
                let maps = gradient.slice().par_chunks_mut(layout.voxels).enumerate();
                maps.for_each(|(map, gradient)| {
                    gradient_in_place(gradient, &x[map_range(map)], of_channel(map, &sums));
                });
                (sums, gradient.tensor(float))
            }
            Err(gradient) => match CpuValuesMut::reusing(x) {
                Ok(mut x) => {
                    let gradient = gradient.slice();
                    let sums = sums_of(x.slice(), gradient);
                    let maps = x.slice().par_chunks_mut(layout.voxels).enumerate();
                    maps.for_each(|(map, x)| {
                        gradient_over_input(x, &gradient[map_range(map)], of_channel(map, &sums));
                    });
                    (sums, x.tensor(float))
                }
                Err(x) => {
                    let (x, gradient) = (x.slice(), gradient.slice());
                    let sums = sums_of(x, gradient);
                    let part = layout.voxels.min(GRADIENT_PART);
                    let starts: Vec<usize> = (0..layout.voxels).step_by(part).collect();
                    let lens = starts.iter().map(|start| part.min(layout.voxels - start));
                    let lens: Vec<usize> = lens.collect();
                    let maps = gradient.len() / layout.voxels;
                    let input_grad = buffer::filled(lens.repeat(maps), |n, output| {
                        let map = n / starts.len();
                        let start = map * layout.voxels + starts[n % starts.len()];
                        let range = start..start + output.len();
                        let (gradient, x) = (&gradient[range.clone()], &x[range]);
                        gradient_into(output, gradient, x, of_channel(map, &sums));
                    });
                    (sums, new_tensor(input_grad, shape).cast(float))
                }
            },
        };
        let of_channels = |sum: fn(&Sums) -> f64| {
            let of_channel = |c| sums[c..].iter().step_by(layout.channels).map(sum).sum::<f64>();
            let totals = (0..layout.channels).map(|c| of_channel(c) as f32).collect();
            tensor(totals, [layout.channels], parameters[0])
        };
        let gamma_grad = of_channels(|sums| sums.times_normalized);
        (input_grad, gamma_grad, of_channels(|sums| sums.plain))
    }
}

/// Sums over one channel of one sample. g is the gradient before the activation.
#[derive(Clone, Copy, Default)]
struct Sums {
    /// Σ g, the gradient of beta.
    plain: f64,
    /// Σ g · x̂, the gradient of gamma.
    times_normalized: f64,
}

/// Computes the sums that all gradients are made from, for every channel of every sample.
fn channel_sums(
    x: &[f32],
    gradient: &[f32],
    [gamma, beta]: [&[f32]; 2],
    statistics: &[Statistics],
    layout: Layout,
    slope: f32,
) -> Vec<Sums> {
    let maps = x.par_chunks(layout.voxels).zip(gradient.par_chunks(layout.voxels)).enumerate();
    maps.map(|(map, (x, gradient))| {
        let channel = map % layout.channels;
        let statistics = statistics[map / layout.channels_per_group()];
        let mut sums = Sums::default();
        for (x, gradient) in x.chunks(RUN).zip(gradient.chunks(RUN)) {
            add_sums(&mut sums, x, gradient, statistics, gamma[channel], beta[channel], slope);
        }
        sums
    })
    .collect()
}

/// Values of the input's gradient that a task writes to new memory.
const GRADIENT_PART: usize = 1 << 15;

/// The gradient of the input of one channel of one sample: `(gamma · g − mean(gamma · g) − x̂ ·
/// mean(gamma · g · x̂)) / deviation` with means over the group.
#[derive(Clone, Copy)]
struct ChannelGradient {
    statistics: Statistics,
    gamma: f32,
    beta: f32,
    slope: f32,
    means: (f32, f32),
}

impl ChannelGradient {
    fn new(
        map: usize,
        [gamma, beta]: [&[f32]; 2],
        statistics: &[Statistics],
        sums: &[Sums],
        layout: Layout,
        slope: f32,
    ) -> ChannelGradient {
        let (per_group, channel) = (layout.channels_per_group(), map % layout.channels);
        let first = map / per_group * per_group;
        let (mut plain, mut times_normalized) = (0.0, 0.0);
        for (sums, map) in sums[first..first + per_group].iter().zip(first..) {
            let gamma = f64::from(gamma[map % layout.channels]);
            plain += gamma * sums.plain;
            times_normalized += gamma * sums.times_normalized;
        }
        let size = layout.group_size() as f64;
        ChannelGradient {
            statistics: statistics[map / per_group],
            gamma: gamma[channel],
            beta: beta[channel],
            slope,
            means: ((plain / size) as f32, (times_normalized / size) as f32),
        }
    }

    #[inline(always)]
    fn apply(self, x: f32, gradient: f32) -> f32 {
        let ChannelGradient { statistics, gamma, beta, slope, means } = self;
        let (g, normalized) = before_activation(x, gradient, statistics, gamma, beta, slope);
        (gamma * g - means.0 - normalized * means.1) * statistics.inverse_deviation
    }
}

/// Returns the gradient before the activation, and the normalized input.
#[inline(always)]
fn before_activation(
    x: f32,
    gradient: f32,
    statistics: Statistics,
    gamma: f32,
    beta: f32,
    slope: f32,
) -> (f32, f32) {
    let normalized = (x - statistics.mean) * statistics.inverse_deviation;
    let positive = normalized * gamma + beta > 0.0;
    (if positive { gradient } else { gradient * slope }, normalized)
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2", "aarch64+neon"))]
fn add_sums(
    sums: &mut Sums,
    x: &[f32],
    gradient: &[f32],
    statistics: Statistics,
    gamma: f32,
    beta: f32,
    slope: f32,
) {
    let mut plain = [0.0f32; LANES];
    let mut times_normalized = [0.0f32; LANES];
    let (xs, gradients) = (x.chunks_exact(LANES), gradient.chunks_exact(LANES));
    for (&x, &gradient) in xs.remainder().iter().zip(gradients.remainder()) {
        let (g, normalized) = before_activation(x, gradient, statistics, gamma, beta, slope);
        sums.plain += f64::from(g);
        sums.times_normalized += f64::from(g * normalized);
    }
    for (x, gradient) in xs.zip(gradients) {
        for lane in 0..LANES {
            let (g, normalized) =
                before_activation(x[lane], gradient[lane], statistics, gamma, beta, slope);
            plain[lane] += g;
            times_normalized[lane] += g * normalized;
        }
    }
    sums.plain += sum_lanes(&plain);
    sums.times_normalized += sum_lanes(&times_normalized);
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2", "aarch64+neon"))]
fn gradient_in_place(gradient: &mut [f32], x: &[f32], of_channel: ChannelGradient) {
    for (gradient, &x) in gradient.iter_mut().zip(x) {
        *gradient = of_channel.apply(x, *gradient);
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2", "aarch64+neon"))]
fn gradient_over_input(x: &mut [f32], gradient: &[f32], of_channel: ChannelGradient) {
    for (x, &gradient) in x.iter_mut().zip(gradient) {
        *x = of_channel.apply(*x, gradient);
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2", "aarch64+neon"))]
fn gradient_into(output: &mut [f32], gradient: &[f32], x: &[f32], of_channel: ChannelGradient) {
    for ((output, &gradient), &x) in output.iter_mut().zip(gradient).zip(x) {
        *output = of_channel.apply(x, gradient);
    }
}
