//! Group norm with activation (Wu and He 2018), in one op: burn composes it from about nine.

mod cpu;

use burn::Tensor;
use burn::backend::Flex;
use burn::tensor::FloatDType;
use burn::tensor::activation::leaky_relu;

use super::cpu::{Values, is_cpu, tensor};
use super::{Call, Memory, Parent, Place, on_backend, primitive, record};
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
        return on_gpu(x, gamma, beta, groups, activation);
    }
    let layout = cpu::Layout { groups, channels: c, voxels: k * j * i };
    let slope = activation.negative_slope();
    let forward = move |x: &Tensor<5>, gamma: &Tensor<1>, beta: &Tensor<1>| {
        let (values, gamma, beta) = (Values::new(x), Values::new(gamma), Values::new(beta));
        let statistics = cpu::statistics(values.slice(), layout);
        let (gamma, beta) = (gamma.slice(), beta.slice());
        let output = cpu::apply(values.slice(), gamma, beta, &statistics, layout, slope);
        (tensor(output, shape, x), statistics)
    };
    if !x.device().is_autodiff() {
        return forward(&x, &gamma, &beta).0;
    }
    let x = Parent::<Flex, 5>::new(x);
    let (gamma, beta) = (Parent::<Flex, 1>::new(gamma), Parent::<Flex, 1>::new(beta));
    let (x_value, gamma_value, beta_value) = (x.value, gamma.value, beta.value);
    let (output, statistics) = forward(&x_value, &gamma_value, &beta_value);
    let parents = [x.guard, gamma.guard, beta.guard];
    record::<Flex, 3, 5>(parents, output, move |gradient, _, _| {
        let gradient = Values::new(&Tensor::<5>::from_primitive::<Flex>(gradient));
        let (x, gamma, beta) =
            (Values::new(&x_value), Values::new(&gamma_value), Values::new(&beta_value));
        let (x, gradient) = (x.slice(), gradient.slice());
        let (gamma, beta) = (gamma.slice(), beta.slice());
        let sums = cpu::channel_sums(x, gradient, gamma, beta, &statistics, layout, slope);
        let of_x = cpu::input_gradient(x, gradient, gamma, beta, &statistics, &sums, layout, slope);
        let of_channels = |sum: fn(&cpu::Sums) -> f64| {
            let total = |channel| (0..b).map(|n| sum(&sums[n * c + channel])).sum::<f64>() as f32;
            primitive::<Flex, 1>(tensor((0..c).map(total).collect(), [c], &gamma_value))
        };
        [
            Some(primitive::<Flex, 5>(tensor(of_x, shape, &x_value))),
            Some(of_channels(|sums| sums.times_normalized)),
            Some(of_channels(|sums| sums.plain)),
        ]
    })
}

/// What [`group_norm`] holds. Composed on a GPU, it works on f32 copies: two on the way forward, and
/// two beside the gradient on the way back.
pub fn memory(call: &Call) -> Memory {
    let sums = (call.batch * call.from) as u64;
    let widened = call.widened(2 * call.num_inputs());
    match call.place {
        Place::Cpu => Memory {
            keeps_input: true,
            kept_bytes: 8 * sums,
            forward_bytes: widened,
            backward_bytes: 16 * sums + widened + call.widened(call.num_inputs()),
        },
        Place::Gpu => Memory {
            keeps_input: true,
            kept_bytes: 0,
            forward_bytes: 8 * call.num_inputs(),
            backward_bytes: 9 * call.num_inputs(),
        },
    }
}

/// Made of burn's operations, keeping the input alone for the backward pass: autodiff would keep
/// what lies between.
fn on_gpu(
    x: Tensor<5>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    groups: usize,
    activation: Activation,
) -> Tensor<5> {
    if !x.device().is_autodiff() {
        return composed(x, gamma, beta, groups, activation);
    }
    on_backend!(x, B => {
        let x = Parent::<B, 5>::new(x);
        let (gamma, beta) = (Parent::<B, 1>::new(gamma), Parent::<B, 1>::new(beta));
        let values = (x.value, gamma.value, beta.value);
        let (x_value, gamma_value, beta_value) = values.clone();
        let output = composed(x_value, gamma_value, beta_value, groups, activation);
        let parents = [x.guard, gamma.guard, beta.guard];
        record::<B, 3, 5>(parents, output, move |gradient, _, _| {
            let gradient = Tensor::<5>::from_primitive::<B>(gradient);
            let (x, gamma, beta) = values;
            let found = composed_gradients(x, gamma, beta, gradient, groups, activation);
            let (of_x, of_gamma, of_beta) = found;
            [
                Some(primitive::<B, 5>(of_x)),
                Some(primitive::<B, 1>(of_gamma)),
                Some(primitive::<B, 1>(of_beta)),
            ]
        })
    })
}

/// The gradients of x, gamma and beta, by burn's operations; the formulas are those of
/// [`cpu::input_gradient`].
///
/// # Shapes
/// - x, gradient: `[b, c, k, j, i]`
/// - gamma, beta: `[c]`
fn composed_gradients(
    x: Tensor<5>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    gradient: Tensor<5>,
    groups: usize,
    activation: Activation,
) -> (Tensor<5>, Tensor<1>, Tensor<1>) {
    let shape @ [b, c, k, j, i] = x.dims();
    let float = FloatDType::from(x.dtype());
    let of_group = c / groups;
    let size = (of_group * k * j * i) as f32;
    // [b, groups, channels of a group, voxels]
    let split = [b, groups, of_group, k * j * i];
    let x = x.cast(FloatDType::F32).reshape([b, groups, of_group * k * j * i]);
    let (variance, mean) = x.clone().var_mean_bias(2);
    let inverse_deviation = (variance + NORM_EPSILON).sqrt().recip();
    let normalized = ((x - mean) * inverse_deviation.clone()).reshape(split);
    let gamma = gamma.reshape([1, groups, of_group, 1]);
    let mut gradient = gradient.cast(FloatDType::F32).reshape(split);
    if activation != Activation::Identity {
        let beta = beta.reshape([1, groups, of_group, 1]);
        let negative = (normalized.clone() * gamma.clone() + beta).lower_equal_elem(0.0);
        gradient = match activation {
            Activation::Relu => gradient.mask_fill(negative, 0.0),
            _ => {
                let smaller = gradient.clone().mul_scalar(activation.negative_slope());
                gradient.mask_where(negative, smaller)
            }
        };
    }
    // Of every channel of every sample, [b, groups, channels of a group, 1].
    let plain = gradient.clone().sum_dim(3);
    let times_normalized = (gradient.clone() * normalized.clone()).sum_dim(3);
    let mean_of = |sums: &Tensor<4>| (sums.clone() * gamma.clone()).sum_dim(2).div_scalar(size);
    let (first, second) = (mean_of(&plain), mean_of(&times_normalized));
    let inner = gradient * gamma.clone() - normalized * second - first;
    let of_x = inner * inverse_deviation.reshape([b, groups, 1, 1]);
    let of_channels = |sums: Tensor<4>| sums.sum_dim(0).reshape([c]);
    (of_x.reshape(shape).cast(float), of_channels(times_normalized), of_channels(plain))
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
    let float = FloatDType::from(x.dtype());
    // Statistics of half precision lose their digits; burn widens f16 sums, but not bf16's.
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

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_same, random};
    use super::*;

    #[test]
    fn equals_burns_operations() {
        let activations = [Activation::Relu, Activation::LeakyRelu, Activation::Identity];
        for (shape, groups) in [([2, 6, 3, 4, 9], 3), ([1, 4, 2, 2, 2], 4), ([1, 8, 5, 7, 33], 2)] {
            for activation in activations {
                let channels = shape[1];
                let inputs = (random(shape), random([2, channels, 1, 1]));
                let parts = |p: Tensor<4>| {
                    let row = |n| p.clone().narrow(0, n, 1).reshape([channels]);
                    (row(0) + 1.0, row(1))
                };
                let own = |(x, p)| {
                    let (gamma, beta) = parts(p);
                    group_norm(x, gamma, beta, groups, activation)
                };
                let stock = |(x, p)| {
                    let (gamma, beta) = parts(p);
                    composed(x, gamma, beta, groups, activation)
                };
                assert_same(&inputs, own, stock);
                let on_gpu = |(x, p)| {
                    let (gamma, beta) = parts(p);
                    on_gpu(x, gamma, beta, groups, activation)
                };
                assert_same(&inputs, on_gpu, stock);
            }
        }
    }

    /// Ten million voxels far from zero: sums in plain f32 would lose the deviation.
    #[test]
    fn statistics_hold_for_many_voxels_far_from_zero() {
        let x = Tensor::<5>::random(
            [1, 1, 100, 320, 320],
            burn::tensor::Distribution::Normal(1000.0, 1.0),
            &burn::tensor::Device::flex(),
        );
        let ones = Tensor::<1>::ones([1], &x.device());
        let y = group_norm(x, ones.clone(), ones.zeros_like(), 1, Activation::Identity);
        let (variance, mean) = y.reshape([1, -1]).var_mean_bias(1);
        let (variance, mean): (f32, f32) = (variance.into_scalar(), mean.into_scalar());
        assert!((variance - 1.0).abs() < 1e-3 && mean.abs() < 1e-3, "{variance} {mean}");
    }
}
