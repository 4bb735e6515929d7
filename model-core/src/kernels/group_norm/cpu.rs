//! Group norm with activation on the CPU. Short runs are summed in f32 lanes, their sums in f64.

use burn::Tensor;
use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, FloatDType, TensorData};
use multiversion::multiversion;
use rayon::prelude::*;

use super::super::add::add_or_subtract;
use super::super::cpu::{CpuValues, CpuValuesMut, LANES, RUN, channel_affines, sum_lanes, tensor};
use super::{Gradients, GroupNormKernels, Layout, NormAffine};
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
        let ([b, c, k, j, i], float) = (x.dims(), FloatDType::from(x.dtype()));
        let mut values = CpuValuesMut::new(x);
        elementwise::normalize(values.slice(), b * c, 0..k * j * i, &channel_affines(norm));
        values.tensor(float)
    }

    fn add(stream: Tensor<5>, x: Tensor<5>, norm: &NormAffine, sign: f32) -> Tensor<5> {
        let ([b, c, k, j, i], float) = (stream.dims(), FloatDType::from(stream.dtype()));
        if x.dtype() != DType::F32 {
            return add_or_subtract(stream, Self::apply(x, norm), sign);
        }
        let (mut values, x, affines) =
            (CpuValuesMut::new(stream), CpuValues::new(&x), channel_affines(norm));
        let x = Channels::new(x.slice(), Some(&affines));
        elementwise::add(x, values.slice(), b * c, 0..k * j * i, None, sign);
        values.tensor(float)
    }

    fn gradients(
        x: Tensor<5>,
        gradient: Tensor<5>,
        parameters: [&Tensor<1>; 2],
        statistics: &Vec<Statistics>,
        layout: Layout,
        slope: f32,
    ) -> Gradients {
        let float = FloatDType::from(x.dtype());
        let (values, mut gradient) = (CpuValues::new(&x), CpuValuesMut::new(gradient));
        let (values, gradient_values) = (values.slice(), gradient.slice());
        let [gamma, beta] = parameters.map(CpuValues::new);
        let gamma_beta = [gamma.slice(), beta.slice()];
        let sums = channel_sums(values, gradient_values, gamma_beta, statistics, layout, slope);
        input_gradient(values, gradient_values, gamma_beta, statistics, &sums, layout, slope);
        let of_channels = |sum: fn(&Sums) -> f64| {
            let of_channel = |c| sums[c..].iter().step_by(layout.channels).map(sum).sum::<f64>();
            let totals = (0..layout.channels).map(|c| of_channel(c) as f32).collect();
            tensor(totals, [layout.channels], parameters[0])
        };
        let gamma_grad = of_channels(|sums| sums.times_normalized);
        (gradient.tensor(float), gamma_grad, of_channels(|sums| sums.plain))
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

/// Computes the gradient of the input, `(gamma · g − mean(gamma · g) − x̂ · mean(gamma · g · x̂)) /
/// deviation` with means over the group. It overwrites the gradient of the output.
fn input_gradient(
    x: &[f32],
    gradient: &mut [f32],
    [gamma, beta]: [&[f32]; 2],
    statistics: &[Statistics],
    sums: &[Sums],
    layout: Layout,
    slope: f32,
) {
    let per_group = layout.channels_per_group();
    gradient.par_chunks_mut(layout.voxels).enumerate().for_each(|(map, gradient)| {
        let channel = map % layout.channels;
        let first = map / per_group * per_group;
        let (mut plain, mut times_normalized) = (0.0, 0.0);
        for (sums, map) in sums[first..first + per_group].iter().zip(first..) {
            let gamma = f64::from(gamma[map % layout.channels]);
            plain += gamma * sums.plain;
            times_normalized += gamma * sums.times_normalized;
        }
        let size = layout.group_size() as f64;
        let means = ((plain / size) as f32, (times_normalized / size) as f32);
        let x = &x[map * layout.voxels..][..layout.voxels];
        let statistics = statistics[map / per_group];
        gradient_map(gradient, x, statistics, gamma[channel], beta[channel], means, slope);
    });
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
fn gradient_map(
    gradient: &mut [f32],
    x: &[f32],
    statistics: Statistics,
    gamma: f32,
    beta: f32,
    means: (f32, f32),
    slope: f32,
) {
    for (gradient, &x) in gradient.iter_mut().zip(x) {
        let (g, normalized) = before_activation(x, *gradient, statistics, gamma, beta, slope);
        *gradient = (gamma * g - means.0 - normalized * means.1) * statistics.inverse_deviation;
    }
}
