//! Depthwise 3³ convolution: every channel with a kernel of its own, zero padding 1.
//!
//! burn's stock operation is unusable for it on the CPU (about 0.2 G multiply-adds a second).

mod cpu;

use burn::Tensor;
use burn::backend::Flex;
use burn::tensor::module::conv3d;
use burn::tensor::ops::ConvOptions;

use super::cpu::{Values, is_cpu, tensor};
use super::{Call, Memory, Parent, primitive, record};

/// Convolves every channel with its own 3³ kernel, stride 1, zero padding 1.
///
/// # Shapes
/// - x: `[b, c, k, j, i]`
/// - weight: `[c, 3, 3, 3]`
/// - output: as x
pub fn depthwise_conv3(x: Tensor<5>, weight: Tensor<4>) -> Tensor<5> {
    let shape @ [batch, channels, ..] = x.dims();
    assert_eq!(weight.dims(), [channels, 3, 3, 3], "one 3³ kernel a channel");
    if !is_cpu(&x) {
        return composed(x, weight);
    }
    let dims = [shape[4], shape[3], shape[2]];
    let forward = move |x: &Tensor<5>, weight: &Tensor<4>| {
        let values = (Values::new(x), Values::new(weight));
        tensor(cpu::forward(values.0.slice(), values.1.slice(), channels, dims), shape, x)
    };
    if !x.device().is_autodiff() {
        return forward(&x, &weight);
    }
    let (x, weight) = (Parent::<Flex, 5>::new(x), Parent::<Flex, 4>::new(weight));
    let (x_value, weight_value) = (x.value, weight.value);
    let output = forward(&x_value, &weight_value);
    record::<Flex, 2, 5>([x.guard, weight.guard], output, move |gradient, wanted, _| {
        let gradient = Values::new(&Tensor::<5>::from_primitive::<Flex>(gradient));
        let of_x = wanted[0].then(|| {
            let weight = Values::new(&weight_value);
            let of_x = cpu::input_gradient(gradient.slice(), weight.slice(), channels, dims);
            primitive::<Flex, 5>(tensor(of_x, shape, &x_value))
        });
        let of_weight = wanted[1].then(|| {
            let x = Values::new(&x_value);
            let of_weight =
                cpu::weight_gradient(x.slice(), gradient.slice(), batch, channels, dims);
            primitive::<Flex, 4>(tensor(of_weight, [channels, 3, 3, 3], &weight_value))
        });
        [of_x, of_weight]
    })
}

/// What [`depthwise_conv3`] holds.
pub fn memory(call: &Call) -> Memory {
    let widened = call.widened(2 * call.num_inputs());
    Memory {
        keeps_input: true,
        kept_bytes: 0,
        forward_bytes: widened,
        backward_bytes: widened + call.widened(call.num_inputs()),
    }
}

/// The same by burn's own operation, whose gradients it then uses.
fn composed(x: Tensor<5>, weight: Tensor<4>) -> Tensor<5> {
    let channels = x.dims()[1];
    let weight = weight.reshape([channels, 1, 3, 3, 3]);
    conv3d(x, weight, None, ConvOptions::new([1; 3], [1; 3], [1; 3], channels))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_same, random};
    use super::*;

    #[test]
    fn equals_burns_operation() {
        for shape in [[2, 3, 5, 4, 37], [1, 16, 1, 2, 3], [1, 2, 3, 1, 1], [3, 1, 7, 6, 16]] {
            let weight = random([shape[1], 3, 3, 3]);
            let inputs = (random(shape), weight);
            assert_same(
                &inputs,
                |(x, weight)| depthwise_conv3(x, weight),
                |(x, weight)| composed(x, weight),
            );
        }
    }
}
