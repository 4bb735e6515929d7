//! Dense 3³ convolution with zero padding 1.
//!
//! burn's stock op copies the whole feature map into another layout; on the CPU the copy holds 27
//! values per voxel. These kernels read the feature map in place.

#[cfg(feature = "gpu")]
mod cube;
mod partials;
mod slabs;
mod weight;

use burn::Tensor;
use burn::backend::{Backend, Flex};
use burn::tensor::FloatDType;

use super::cpu::{CpuInput, CpuValues, CpuValuesMut, tensor};
use super::profiler::OpKind;
use super::{Bilinear, ConvInput, DeviceKind, KernelInput, OpMemory, OpShape, on_backend};
use cpu_kernels::conv3::{Conv3, tile::Shape};
use cpu_kernels::slab::Slab;

/// Dense 3³ convolution with stride 1 and zero padding 1, without bias.
///
/// The backward pass keeps x and the weight, shared if they are contiguous. Beside its result, each
/// CPU pass needs in f32:
/// - forward and input gradient: one copy of the weight and, per thread, the larger of 384 KiB and
///   four padded rows of three planes of every input channel;
/// - weight gradient: about 150 KiB and six padded rows per thread.
///
/// Results do not depend on the number of threads. The last digit may depend on whether the machine
/// has fused multiply-add.
///
/// # Shapes
/// - x: `[b, in, k, j, i]`
/// - weight: `[out, in, 3, 3, 3]`
/// - output: `[b, out, k, j, i]`
pub fn conv3(x: impl Into<ConvInput>, weight: Tensor<5>) -> Tensor<5> {
    let x = x.into();
    let (input, output) = (x.tensor().dims()[1], weight.dims()[0]);
    assert_eq!(weight.dims(), [output, input, 3, 3, 3], "a 3³ kernel an output and input channel");
    on_backend!(x.tensor(), B => {
        let convolution = Bilinear {
            kind: OpKind::Conv3,
            applies_norm: true,
            forward: B::forward,
            input_grad: B::input_gradient,
            weight_grad: B::weight_gradient,
            add_input_grad: B::ADD_INPUT_GRADIENT,
        };
        convolution.apply::<B>(x, weight)
    })
}

/// Kernels of one backend. Shapes are those of [`conv3`].
trait Conv3Kernels: Backend {
    fn forward(x: &KernelInput, weight: &Tensor<5>) -> Tensor<5>;

    fn input_gradient(gradient: Tensor<5>, weight: &Tensor<5>) -> Tensor<5>;

    fn weight_gradient(x: &KernelInput, gradient: &Tensor<5>) -> Tensor<5>;

    /// Adds the input gradient for a gradient and a weight to a tensor.
    const ADD_INPUT_GRADIENT: Option<fn(Tensor<5>, &Tensor<5>, Tensor<5>) -> Tensor<5>> = None;
}

impl Conv3Kernels for Flex {
    fn forward(x: &KernelInput, weight: &Tensor<5>) -> Tensor<5> {
        let ([output, input, ..], weight) = (weight.dims(), CpuValues::new(weight));
        let values = weight.slice();
        let weight = |o: usize, c: usize, tap: usize| values[(o * input + c) * 27 + tap];
        convolved(x, &Conv3::new(output, input, weight), [input, output])
    }

    fn input_gradient(gradient: Tensor<5>, weight: &Tensor<5>) -> Tensor<5> {
        let [output, input, ..] = weight.dims();
        convolved(&gradient.into(), &mirrored(weight), [output, input])
    }

    fn weight_gradient(x: &KernelInput, gradient: &Tensor<5>) -> Tensor<5> {
        let ([_, input, nk, nj, ni], output) = (x.x.dims(), gradient.dims()[1]);
        let shape = Shape { input, output, dims: [ni, nj, nk] };
        let (source, gradient) = (CpuInput::new(x), CpuInput::new(&gradient.clone().into()));
        let weight_grad = weight::weight_gradient(source.channels(), gradient.channels(), shape);
        tensor(weight_grad, [output, input, 3, 3, 3], &x.x)
    }

    const ADD_INPUT_GRADIENT: Option<fn(Tensor<5>, &Tensor<5>, Tensor<5>) -> Tensor<5>> =
        Some(|gradient, weight, sum| {
            let [output, input, ..] = weight.dims();
            let float = FloatDType::from(sum.dtype());
            let mut values = CpuValuesMut::new(sum);
            convolve(&gradient.into(), &mirrored(weight), [output, input], values.slice(), true);
            values.tensor(float)
        });
}

/// The convolution from outputs to inputs, with mirrored kernels.
fn mirrored(weight: &Tensor<5>) -> Conv3 {
    let ([output, input, ..], weight) = (weight.dims(), CpuValues::new(weight));
    let values = weight.slice();
    Conv3::new(input, output, |c, o, tap| values[(o * input + c) * 27 + 26 - tap])
}

fn convolved(x: &KernelInput, convolution: &Conv3, [input, output]: [usize; 2]) -> Tensor<5> {
    let [batch, _, nk, nj, ni] = x.x.dims();
    let mut values = vec![0.0; batch * output * nk * nj * ni];
    convolve(x, convolution, [input, output], &mut values, false);
    tensor(values, [batch, output, nk, nj, ni], &x.x)
}

/// Convolves every sample.
fn convolve(
    x: &KernelInput,
    convolution: &Conv3,
    [input, output]: [usize; 2],
    values: &mut [f32],
    adds_to_output: bool,
) {
    let [.., nk, nj, ni] = x.x.dims();
    let (slab, source) = (Slab::whole([ni, nj, nk]), CpuInput::new(x));
    for (n, values) in values.chunks_exact_mut(output * slab.voxels()).enumerate() {
        let x = source.channels().sample(n, input, slab.voxels());
        convolution.forward(x, &slab, values, adds_to_output, false);
    }
}

/// Memory of [`conv3`].
///
/// On a GPU it holds the partial sums of the weight gradient. In half precision, where burn's
/// implicit GEMM may run, it also holds copies of one slab's input and output.
pub fn memory(op_shape: &OpShape) -> OpMemory {
    let outputs = op_shape.num_elements(op_shape.out_channels);
    let (forward, backward) = match op_shape.device {
        DeviceKind::Cpu => {
            let threads = rayon::current_num_threads() as u64;
            let rows = 4 * 12 * (op_shape.in_channels * (op_shape.dims[0] + 2)) as u64;
            let scratch = 4 * 27 * (op_shape.in_channels * op_shape.out_channels) as u64
                + threads * rows.max(3 << 17);
            (scratch, scratch)
        }
        DeviceKind::Gpu => {
            let copies = match op_shape.float_bytes {
                4 => 0,
                _ => slabs::bytes(op_shape),
            };
            let parts = partials::num_parts(
                op_shape.in_channels,
                op_shape.out_channels,
                op_shape.batch,
                op_shape.dims,
            );
            let partials = 4 * 27 * (op_shape.in_channels * op_shape.out_channels * parts) as u64;
            (copies, copies.max(partials))
        }
    };
    let widening_bytes = op_shape.widening_bytes(op_shape.num_input_elements() + outputs);
    OpMemory {
        keeps_input: true,
        applies_norm: true,
        adds_input_gradient: op_shape.device == DeviceKind::Cpu,
        forward_bytes: forward + widening_bytes,
        backward_bytes: backward
            + widening_bytes
            + op_shape.widening_bytes(op_shape.num_input_elements()),
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
    fn composed(x: Tensor<5>, weight: Tensor<5>) -> Tensor<5> {
        conv3d(x, weight, None, ConvOptions::new([1; 3], [1; 3], [1; 3], 1))
    }

    /// Covers several tiles per plane, several planes per tile, axes of length 1, and partly filled
    /// channel blocks.
    #[test]
    fn equals_burns_operation() {
        for (output, shape) in [
            (5, [2, 3, 5, 4, 37]),
            (4, [1, 16, 1, 2, 3]),
            (3, [1, 2, 3, 1, 1]),
            (7, [3, 1, 7, 6, 16]),
            (33, [2, 20, 7, 6, 5]),
            (3, [1, 40, 2, 30, 70]),
            (2, [1, 1, 3, 41, 40]),
        ] {
            // Weight as `[out, in, 27]`, since `assert_same` takes 4-D parameters.
            let inputs = (random(shape), random([output, shape[1], 9, 3]));
            let kernel = |weight: Tensor<4>| weight.reshape([output, shape[1], 3, 3, 3]);
            assert_same(
                &inputs,
                |(x, weight)| conv3(x, kernel(weight)),
                |(x, weight)| composed(x, kernel(weight)),
            );
        }
    }

    #[test]
    fn any_number_of_threads_gives_the_same() {
        let (x, weight) = (random([1, 5, 9, 12, 40]), random([19, 5, 3, 3, 3]));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (x, weight) = (x.clone(), weight.clone());
            pool.install(move || {
                let (x, weight) = (x.autodiff().require_grad(), weight.autodiff().require_grad());
                let y = conv3(x.clone(), weight.clone());
                let mut gradients = y.clone().sin().sum().backward();
                let input_grad = x.grad_remove(&mut gradients).unwrap();
                let weight_grad = weight.grad_remove(&mut gradients).unwrap();
                [y.inner(), input_grad, weight_grad]
                    .map(|t| t.into_data().try_into_vec::<f32>().unwrap())
            })
        };
        assert_eq!(run(1), run(3));
    }

    /// Covers several tiles and blocks, borders inside a tile, axes of length 1, and every tile
    /// width.
    #[cfg(feature = "gpu")]
    #[test]
    fn a_gpu_gives_what_the_cpu_gives() {
        for (output, shape) in [
            (5, [2, 3, 5, 4, 37]),
            (3, [1, 2, 3, 1, 1]),
            (70, [3, 1, 7, 9, 16]),
            (33, [2, 20, 7, 6, 5]),
        ] {
            let inputs = (random(shape), random([output, shape[1], 9, 3]));
            super::super::cube::tests::assert_gpu_matches_cpu(&inputs, |(x, weight)| {
                conv3(x, weight.reshape([output, shape[1], 3, 3, 3]))
            });
        }
    }
}
