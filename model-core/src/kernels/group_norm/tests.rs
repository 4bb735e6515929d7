//! Compares the CPU kernels with burn's ops, and the GPU kernels with those of the CPU.

use burn::tensor::activation::leaky_relu;
use burn::tensor::{Distribution, FloatDType};

use super::super::tests::{Inputs, assert_same, random};
use super::*;
use crate::network::config::NORM_EPSILON;

const ACTIVATIONS: [Activation; 3] =
    [Activation::Relu, Activation::LeakyRelu, Activation::Identity];

/// The same with burn's own ops and their gradients.
fn composed(
    x: Tensor<5>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    groups: usize,
    activation: Activation,
) -> Tensor<5> {
    let shape @ [b, c, ..] = x.dims();
    let float = FloatDType::from(x.dtype());
    // Statistics in half precision lose digits. burn widens the sums of f16, but not those of bf16.
    let x = x.cast(FloatDType::F32).reshape([(b * groups) as i32, -1]);
    let (variance, mean) = x.clone().var_mean_bias(1);
    let x = (x - mean) / (variance + NORM_EPSILON).sqrt();
    let x = x.reshape(shape) * gamma.reshape([1, c, 1, 1, 1]) + beta.reshape([1, c, 1, 1, 1]);
    let x = match activation {
        Activation::Identity => x,
        other => leaky_relu(x, f64::from(other.negative_slope())),
    };
    x.cast(float)
}

/// Returns gamma and beta in one 4-D tensor.
fn parameters(channels: usize) -> Tensor<4> {
    random([2, channels, 1, 1])
}

fn parts(parameters: &Tensor<4>) -> (Tensor<1>, Tensor<1>) {
    let row = |n| parameters.clone().narrow(0, n, 1).reshape([-1]);
    (row(0) + 1.0, row(1))
}

fn own(groups: usize, activation: Activation) -> impl Fn(Inputs) -> Tensor<5> {
    move |(x, p)| {
        let (gamma, beta) = parts(&p);
        group_norm(x, gamma, beta, groups, activation)
    }
}

#[test]
fn equals_burns_operations() {
    for (shape, groups) in [([2, 6, 3, 4, 9], 3), ([1, 4, 2, 2, 2], 4), ([1, 8, 5, 7, 33], 2)] {
        for activation in ACTIVATIONS {
            let inputs = (random(shape), parameters(shape[1]));
            let stock = |(x, p): Inputs| {
                let (gamma, beta) = parts(&p);
                composed(x, gamma, beta, groups, activation)
            };
            assert_same(&inputs, own(groups, activation), stock);
        }
    }
}

/// Ten million voxels far from zero: a plain f32 sum would lose the deviation.
#[test]
fn statistics_hold_for_many_voxels_far_from_zero() {
    hold_far_from_zero([1, 1, 100, 320, 320], &burn::tensor::Device::flex());
}

fn hold_far_from_zero(shape: [usize; 5], device: &burn::tensor::Device) {
    let x = Tensor::<5>::random(shape, Distribution::Normal(1000.0, 1.0), device);
    let ones = Tensor::<1>::ones([1], device);
    let y = group_norm(x, ones.clone(), ones.zeros_like(), 1, Activation::Identity);
    // Checked on the CPU, whichever device computed it.
    let y = Tensor::<5>::from_data(y.into_data(), &burn::tensor::Device::flex());
    let (variance, mean) = y.reshape([1, -1]).var_mean_bias(1);
    let (variance, mean): (f32, f32) = (variance.into_scalar(), mean.into_scalar());
    assert!((variance - 1.0).abs() < 1e-3 && mean.abs() < 1e-3, "{variance} {mean}");
}

/// Covers vectors of one, two and four values, several parts per channel, groups of one channel and
/// of all channels.
#[cfg(feature = "gpu")]
#[test]
fn a_gpu_finds_what_the_cpu_finds() {
    for (shape, groups) in [
        ([2, 6, 3, 4, 9], 3),
        ([1, 1, 1, 2, 3], 1),
        ([3, 5, 5, 7, 3], 1),
        ([1, 60, 2, 3, 5], 30),
        ([1, 3, 17, 19, 23], 3),
        ([1, 2, 20, 30, 34], 1),
    ] {
        for activation in ACTIVATIONS {
            let inputs = (random(shape), parameters(shape[1]));
            super::super::cube::tests::assert_gpu_matches_cpu(&inputs, own(groups, activation));
        }
    }
    // Half of the channels, as in a reversible block.
    let inputs = (random([2, 6, 3, 5, 7]), parameters(3));
    let of_half = |(x, p): Inputs| own(3, Activation::Relu)((x.narrow(1, 3, 3), p));
    super::super::cube::tests::assert_gpu_matches_cpu(&inputs, of_half);
}

#[cfg(feature = "gpu")]
#[test]
fn a_gpus_statistics_hold_for_many_voxels_far_from_zero() {
    if let Some(device) = super::super::cube::tests::device() {
        hold_far_from_zero([1, 1, 100, 100, 101], &device);
    }
}
