//! Group norm with activation (Wu and He 2018), in one op: burn composes it from about nine.

mod cpu;

use burn::Tensor;
use burn::backend::Flex;
use burn::tensor::activation::leaky_relu;

use super::cpu::{Values, is_cpu, primitive, tensor};
use super::{Parent, record};
use crate::config::{Activation, NORM_EPSILON};

/// Normalises every group of channels of every sample to mean 0 and variance 1 (biased, as the
/// field's networks use it), scales and shifts every channel, and applies the activation.
///
/// Keeps its input for the backward pass, and two numbers a group.
///
/// # Shapes
/// - x: `[b, c, k, j, i]`
/// - gamma, beta: `[c]`
/// - output: as x
pub fn group_norm(
    x: Tensor<5>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    groups: usize,
    activation: Activation,
) -> Tensor<5> {
    let shape @ [b, c, k, j, i] = x.dims();
    assert!(groups > 0 && c % groups == 0, "{groups} groups do not divide {c} channels");
    if !is_cpu(&x) {
        return composed(x, gamma, beta, groups, activation);
    }
    let layout = cpu::Layout { groups, channels: c, voxels: k * j * i };
    let slope = activation.negative_slope();
    if !x.device().is_autodiff() {
        let (x, gamma, beta) = (Values::new(x), Values::new(gamma), Values::new(beta));
        let statistics = cpu::statistics(x.slice(), layout);
        let output = cpu::apply(x.slice(), gamma.slice(), beta.slice(), &statistics, layout, slope);
        return tensor(output, shape);
    }
    let x = Parent::<Flex, 5>::new(x);
    let (gamma, beta) = (Parent::<Flex, 1>::new(gamma), Parent::<Flex, 1>::new(beta));
    let values = Values::new(x.value);
    let (gammas, betas) = (Values::new(gamma.value), Values::new(beta.value));
    let statistics = cpu::statistics(values.slice(), layout);
    let output =
        cpu::apply(values.slice(), gammas.slice(), betas.slice(), &statistics, layout, slope);
    let parents = [x.guard, gamma.guard, beta.guard];
    record::<Flex, 3, 5>(parents, tensor(output, shape), move |gradient, _, _| {
        let gradient = Values::from_primitive(gradient);
        let (x, gamma, beta) = (values.slice(), gammas.slice(), betas.slice());
        let sums = cpu::channel_sums(x, gradient.slice(), gamma, beta, &statistics, layout, slope);
        let of_x = cpu::input_gradient(
            x,
            gradient.slice(),
            gamma,
            beta,
            &statistics,
            &sums,
            layout,
            slope,
        );
        let of_channels = |sum: fn(&cpu::Sums) -> f64| {
            let total = |channel| (0..b).map(|n| sum(&sums[n * c + channel])).sum::<f64>() as f32;
            primitive((0..c).map(total).collect(), [c])
        };
        [
            Some(primitive(of_x, shape)),
            Some(of_channels(|sums| sums.times_normalized)),
            Some(of_channels(|sums| sums.plain)),
        ]
    })
}

/// The same by burn's own operations, whose gradients it then uses.
fn composed(
    x: Tensor<5>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    groups: usize,
    activation: Activation,
) -> Tensor<5> {
    let shape @ [b, c, ..] = x.dims();
    let x = x.reshape([(b * groups) as i32, -1]);
    let (variance, mean) = x.clone().var_mean_bias(1);
    let x = (x - mean) / (variance + NORM_EPSILON).sqrt();
    let x = x.reshape(shape) * gamma.reshape([1, c, 1, 1, 1]) + beta.reshape([1, c, 1, 1, 1]);
    match activation {
        Activation::Identity => x,
        other => leaky_relu(x, f64::from(other.negative_slope())),
    }
}
