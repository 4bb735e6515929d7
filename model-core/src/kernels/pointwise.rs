//! Pointwise (1³) convolution: a product of matrices over the channels.
//!
//! Forward and for the gradient of x that is burn's own product, on matrix units where there are
//! any. The gradient of the weight is another kind of product: small, and its inner length all the
//! voxels, along which burn's does not divide the work.

#[cfg(feature = "gpu")]
mod cube;

use burn::Tensor;
use burn::backend::{Backend, Flex};
use burn::tensor::FloatDType;

use super::group_norm::normalized;
use super::memory::BUSY_CUBES;
use super::profiler::OpKind;
use super::{Bilinear, ConvInput, DeviceKind, KernelInput, OpMemory, OpShape, on_backend};
use crate::nets::cast;

/// Makes every output voxel a sum over the input voxel's channels, without bias. For the backward
/// pass only x and the weight are kept.
///
/// # Shapes
/// - x: `[b, in, k, j, i]`
/// - weight: `[out, in]`
/// - output: `[b, out, k, j, i]`
pub fn pointwise_conv(x: impl Into<ConvInput>, weight: Tensor<2>) -> Tensor<5> {
    let x = x.into();
    assert_eq!(weight.dims()[1], x.tensor().dims()[1], "a weight for every input channel");
    on_backend!(x.tensor(), B => {
        let convolution = Bilinear {
            class: OpKind::Pointwise,
            applies_norm: false,
            forward: |x, weight| B::product(weight.clone(), x.x.clone()),
            input_grad: |gradient, weight| B::product(weight.clone().transpose(), gradient),
            weight_grad: B::weight_gradient,
        };
        convolution.apply::<B>(x, weight)
    })
}

/// `[m, n] × [b, n, voxels]` by burn, in the tensors' type.
fn product(matrix: Tensor<2>, x: Tensor<5>) -> Tensor<5> {
    let [b, c, k, j, i] = x.dims();
    let output = matrix.dims()[0];
    let product = matrix.unsqueeze::<3>().matmul(x.reshape([b, c, k * j * i]));
    product.reshape([b, output, k, j, i])
}

trait PointwiseConvKernels: Backend {
    /// `[m, n] × [b, n, voxels]`, summed in f32.
    fn product(matrix: Tensor<2>, x: Tensor<5>) -> Tensor<5>;

    /// `Σ_v gradient[o, v] · x[c, v]`, over the batch too.
    fn weight_gradient(x: &KernelInput, gradient: &Tensor<5>) -> Tensor<2>;
}

/// Burn's products on the CPU sum halves in halves: both are widened first.
impl PointwiseConvKernels for Flex {
    fn product(matrix: Tensor<2>, x: Tensor<5>) -> Tensor<5> {
        let float = FloatDType::from(x.dtype());
        cast(product(wide(matrix), wide(x)), float)
    }

    fn weight_gradient(KernelInput { x, norm }: &KernelInput, gradient: &Tensor<5>) -> Tensor<2> {
        let float = FloatDType::from(x.dtype());
        let ([batch, from, nk, nj, ni], to) = (x.dims(), gradient.dims()[1]);
        let voxels = ni * nj * nk;
        let x = x.clone().reshape([batch, from, 1, 1, voxels]);
        let gradient = gradient.clone().reshape([batch, to, voxels]);
        // A run of voxels at a time: its normalized or widened copy is small.
        let of_run = |start: usize| {
            let count = CPU_RUN.min(voxels - start);
            let x = KernelInput { x: x.clone().narrow(4, start, count), norm: norm.clone() };
            let x = wide(normalized::<Flex>(x)).reshape([batch, from, count]);
            // [b, out, voxels] × [b, voxels, in]
            wide(gradient.clone().narrow(2, start, count)).matmul(x.swap_dims(1, 2)).sum_dim(0)
        };
        let runs = (0..voxels).step_by(CPU_RUN).map(of_run);
        let sum = runs.reduce(|sum, run| sum + run).expect("maps of at least a voxel");
        cast(sum.squeeze_dim(0), float)
    }
}

/// Voxels that the CPU takes at a time for the gradient of the weight.
const CPU_RUN: usize = 1 << 14;

/// In f32; a tensor that is so is not copied.
fn wide<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    cast(x, FloatDType::F32)
}

/// What [`pointwise_conv`] holds. On a GPU the backward pass adds up sums that it keeps apart.
pub fn memory(op_shape: &OpShape) -> OpMemory {
    let partials = match op_shape.device {
        DeviceKind::Cpu => 0,
        DeviceKind::Gpu => {
            let parts = num_parts(
                op_shape.in_channels,
                op_shape.out_channels,
                op_shape.batch,
                op_shape.dims.iter().product(),
            );
            4 * (op_shape.in_channels * op_shape.out_channels * parts) as u64
        }
    };
    let widening_bytes = op_shape.widening_bytes(
        op_shape.num_input_elements() + op_shape.num_elements(op_shape.out_channels),
    );
    OpMemory {
        keeps_input: true,
        forward_bytes: widening_bytes,
        backward_bytes: partials + widening_bytes,
        ..OpMemory::default()
    }
}

/// Outputs and inputs that a cube of the gradient of the weight takes: four times four a unit.
fn tile(from: usize, to: usize) -> usize {
    if from.max(to) > 32 { 64 } else { 32 }
}

/// Voxels that it brings in at a time.
const RUN: usize = 16;

/// Shares that the voxels are divided into, each with sums for all weights.
fn num_parts(from: usize, to: usize, batch: usize, voxels: usize) -> usize {
    let blocks = to.div_ceil(tile(from, to)) * from.div_ceil(tile(from, to));
    let runs = batch.saturating_mul(voxels.div_ceil(RUN));
    BUSY_CUBES.div_ceil(blocks.max(1)).min(runs)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_same, random};
    use super::*;

    /// The same by burn's own operations, whose gradients it then uses.
    fn composed(x: Tensor<5>, weight: Tensor<2>) -> Tensor<5> {
        let [b, c, k, j, i] = x.dims();
        let output = weight.dims()[0];
        let y = weight.unsqueeze::<3>().matmul(x.reshape([b, c, k * j * i]));
        y.reshape([b, output, k, j, i])
    }

    #[test]
    fn equals_burns_operations() {
        for (output, shape) in [(5, [2, 3, 5, 4, 37]), (1, [1, 16, 1, 2, 3]), (7, [3, 1, 7, 6, 5])]
        {
            let inputs = (random(shape), random([output, shape[1], 1, 1]));
            let weight = |weight: Tensor<4>| weight.reshape([output, shape[1]]);
            assert_same(
                &inputs,
                |(x, w)| pointwise_conv(x, weight(w)),
                |(x, w)| composed(x, weight(w)),
            );
        }
    }

    /// Both sizes of a block, several blocks each way, runs that end within a map.
    #[cfg(feature = "gpu")]
    #[test]
    fn a_gpu_gives_what_the_cpu_gives() {
        for (output, shape) in [
            (5, [2, 3, 5, 4, 37]),
            (1, [1, 16, 1, 2, 3]),
            (70, [3, 1, 7, 6, 5]),
            (33, [2, 70, 3, 6, 5]),
            (2, [1, 1, 1, 1, 1]),
        ] {
            let inputs = (random(shape), random([output, shape[1], 1, 1]));
            super::super::cube::tests::assert_gpu_matches_cpu(&inputs, |(x, weight)| {
                pointwise_conv(x, weight.reshape([output, shape[1]]))
            });
        }
    }
}
