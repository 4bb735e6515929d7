//! Depthwise 3³ convolution with zero padding 1.
//!
//! burn's stock op is too slow on the CPU: about 0.2 G multiply-adds per second.

#[cfg(feature = "gpu")]
mod cube;

use burn::Tensor;
use burn::backend::{Backend, Flex};

use super::cpu::{CpuInput, CpuValues, tensor};
use super::profiler::OpKind;
use super::{Bilinear, ConvInput, KernelInput, OpMemory, OpShape, on_backend};
use cpu_kernels::depthwise::output;
use cpu_kernels::depthwise_weight::weight_gradient;

/// Convolves every channel with its own 3³ kernel, stride 1, zero padding 1, without bias.
///
/// # Shapes
/// - x: `[b, c, k, j, i]`
/// - weight: `[c, 3, 3, 3]`
/// - output: as x
pub fn depthwise_conv3(x: impl Into<ConvInput>, weight: Tensor<4>) -> Tensor<5> {
    let x = x.into();
    let channels = x.tensor().dims()[1];
    assert_eq!(weight.dims(), [channels, 3, 3, 3], "one 3³ kernel a channel");
    on_backend!(x.tensor(), B => {
        let convolution = Bilinear {
            kind: OpKind::Depthwise,
            applies_norm: true,
            forward: B::forward,
            input_grad: B::input_gradient,
            weight_grad: B::weight_gradient,
            add_input_grad: None,
        };
        convolution.apply::<B>(x, weight)
    })
}

/// Kernels of one backend. Shapes are those of [`depthwise_conv3`].
trait DepthwiseConvKernels: Backend {
    fn forward(x: &KernelInput, weight: &Tensor<4>) -> Tensor<5>;

    fn input_gradient(gradient: Tensor<5>, weight: &Tensor<4>) -> Tensor<5>;

    fn weight_gradient(x: &KernelInput, gradient: &Tensor<5>) -> Tensor<4>;
}

impl DepthwiseConvKernels for Flex {
    fn forward(x: &KernelInput, weight: &Tensor<4>) -> Tensor<5> {
        convolve(x, CpuValues::new(weight).slice())
    }

    /// The same convolution with the kernels mirrored.
    fn input_gradient(gradient: Tensor<5>, weight: &Tensor<4>) -> Tensor<5> {
        let weight = CpuValues::new(weight);
        let mirrored = weight.slice().as_chunks::<27>().0.iter();
        let mirrored: Vec<f32> = mirrored.flat_map(|taps| taps.iter().rev().copied()).collect();
        convolve(&gradient.into(), &mirrored)
    }

    fn weight_gradient(x: &KernelInput, gradient: &Tensor<5>) -> Tensor<4> {
        let [batch, channels, nk, nj, ni] = x.x.dims();
        let (source, gradient) = (CpuInput::new(x), CpuValues::new(gradient));
        let weight_grad =
            weight_gradient(source.channels(), gradient.slice(), batch, channels, [ni, nj, nk]);
        tensor(weight_grad, [channels, 3, 3, 3], &x.x)
    }
}

fn convolve(x: &KernelInput, weight: &[f32]) -> Tensor<5> {
    let shape @ [.., nk, nj, ni] = x.x.dims();
    tensor(output(CpuInput::new(x).channels(), weight, [ni, nj, nk]), shape, &x.x)
}

/// Memory of [`depthwise_conv3`].
pub fn memory(op_shape: &OpShape) -> OpMemory {
    let widening_bytes = op_shape.widening_bytes(2 * op_shape.num_input_elements());
    OpMemory {
        keeps_input: true,
        applies_norm: true,
        forward_bytes: widening_bytes,
        backward_bytes: widening_bytes + op_shape.widening_bytes(op_shape.num_input_elements()),
        ..OpMemory::default()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::module::conv3d;
    use burn::tensor::ops::ConvOptions;

    use super::super::tests::{assert_same, random};
    use super::*;

    /// The same convolution with burn's own op.
    fn composed(x: Tensor<5>, weight: Tensor<4>) -> Tensor<5> {
        let channels = x.dims()[1];
        let weight = weight.reshape([channels, 1, 3, 3, 3]);
        conv3d(x, weight, None, ConvOptions::new([1; 3], [1; 3], [1; 3], channels))
    }

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

    /// Covers several tiles and slabs, borders inside a tile, and axes of length 1.
    #[cfg(feature = "gpu")]
    #[test]
    fn a_gpu_gives_what_the_cpu_gives() {
        for shape in [
            [2, 3, 5, 4, 37],
            [1, 16, 1, 2, 3],
            [1, 2, 3, 1, 1],
            [3, 1, 7, 6, 16],
            [1, 2, 19, 35, 33],
            [2, 35, 9, 70, 5],
        ] {
            let inputs = (random(shape), random([shape[1], 3, 3, 3]));
            super::super::cube::tests::assert_gpu_matches_cpu(&inputs, |(x, weight)| {
                depthwise_conv3(x, weight)
            });
        }
    }
}
