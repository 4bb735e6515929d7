//! Pointwise (1³) convolution: a matrix product over the channels.
//!
//! On a GPU the forward pass and the gradient of x use burn's matrix product, on matrix units where
//! the hardware has them. The gradient of the weight has a kernel of its own: the result is small and
//! the inner length is the number of voxels, along which burn's product does not split the work.

#[cfg(feature = "gpu")]
mod cube;

use burn::Tensor;
use burn::backend::{Backend, Flex};

use super::cpu::{CpuInput, CpuValues, tensor};
use super::memory::BUSY_CUBES;
use super::profiler::OpKind;
use super::{Bilinear, ConvInput, DeviceKind, KernelInput, OpMemory, OpShape, on_backend};
use cpu_kernels::buffer;
use cpu_kernels::channels::Channels;
use cpu_kernels::pointwise::Pointwise;
use cpu_kernels::products::products;

/// Computes every output channel of a voxel from the voxel's input channels, without bias. The
/// backward pass keeps only x and the weight.
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
            kind: OpKind::Pointwise,
            applies_norm: B::APPLIES_NORM,
            forward: |x, weight| B::product(weight, x),
            input_grad: |gradient, weight| {
                B::product(&weight.clone().transpose(), &gradient.into())
            },
            weight_grad: B::weight_gradient,
            add_input_grad: None,
        };
        convolution.apply::<B>(x, weight)
    })
}

/// Computes `[m, n] × [b, n, voxels]` with burn, in the tensors' type.
#[cfg(feature = "gpu")]
fn product(matrix: &Tensor<2>, KernelInput { x, .. }: &KernelInput) -> Tensor<5> {
    let ([b, c, k, j, i], x) = (x.dims(), x.clone());
    let output = matrix.dims()[0];
    let product = matrix.clone().unsqueeze::<3>().matmul(x.reshape([b, c, k * j * i]));
    product.reshape([b, output, k, j, i])
}

trait PointwiseConvKernels: Backend {
    /// Whether `product` applies a norm of x while it loads x. If not, x has none.
    const APPLIES_NORM: bool;

    /// Computes `[m, n] × [b, n, voxels]`, summed in f32.
    fn product(matrix: &Tensor<2>, x: &KernelInput) -> Tensor<5>;

    /// Computes `Σ_v gradient[o, v] · x[c, v]`, summed over the batch too.
    fn weight_gradient(x: &KernelInput, gradient: &Tensor<5>) -> Tensor<2>;
}

impl PointwiseConvKernels for Flex {
    const APPLIES_NORM: bool = true;

    fn product(matrix: &Tensor<2>, x: &KernelInput) -> Tensor<5> {
        let ([output, input], [batch, _, nk, nj, ni]) = (matrix.dims(), x.x.dims());
        let (voxels, matrix) = (ni * nj * nk, CpuValues::new(matrix));
        let weight = matrix.slice();
        let convolution = Pointwise::new(output, input, None, |o, c| weight[o * input + c]);
        let channels = CpuInput::new(x);
        let of_sample =
            |n| convolution.output(channels.channels().sample(n, input, voxels), voxels);
        let mut products: Vec<Vec<f32>> = (0..batch).map(of_sample).collect();
        let product = match products.len() {
            1 => products.remove(0),
            _ => buffer::concat(&products.iter().map(|product| &product[..]).collect::<Vec<_>>()),
        };
        tensor(product, [batch, output, nk, nj, ni], &x.x)
    }

    fn weight_gradient(x: &KernelInput, gradient: &Tensor<5>) -> Tensor<2> {
        let ([batch, from, nk, nj, ni], to) = (x.x.dims(), gradient.dims()[1]);
        let (channels, gradient) = (CpuInput::new(x), CpuValues::new(gradient));
        let gradient = Channels::new(gradient.slice(), None);
        let mut sums = vec![0.0; to * from];
        for n in 0..batch {
            let gradient = gradient.sample(n, to, ni * nj * nk);
            let x = channels.channels().sample(n, from, ni * nj * nk);
            let of_sample = products(gradient, x, [to, from]);
            sums.iter_mut().zip(of_sample).for_each(|(sum, of_sample)| *sum += of_sample);
        }
        tensor(sums.into_iter().map(|sum| sum as f32).collect(), [to, from], &x.x)
    }
}

/// Memory of [`pointwise_conv`]. On a GPU the backward pass holds the partial sums of the weight
/// gradient.
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
        applies_norm: op_shape.device == DeviceKind::Cpu,
        forward_bytes: widening_bytes,
        backward_bytes: partials + widening_bytes,
        ..OpMemory::default()
    }
}

/// Outputs and inputs per cube of the weight gradient; a unit holds four times four.
fn tile(from: usize, to: usize) -> usize {
    if from.max(to) > 32 { 64 } else { 32 }
}

/// Voxels that a cube loads at a time.
const RUN: usize = 16;

/// Number of parts that the voxels are divided into. Each part has its own sums for all weights.
fn num_parts(from: usize, to: usize, batch: usize, voxels: usize) -> usize {
    let blocks = to.div_ceil(tile(from, to)) * from.div_ceil(tile(from, to));
    let runs = batch.saturating_mul(voxels.div_ceil(RUN));
    BUSY_CUBES.div_ceil(blocks.max(1)).min(runs)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_same, random};
    use super::*;

    /// The same with burn's own ops and their gradients.
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

    /// Covers both block sizes, several blocks along each axis, and runs that end inside a channel.
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
