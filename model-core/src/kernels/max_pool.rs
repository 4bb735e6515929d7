//! Max pooling over 2³ voxels.

mod cpu;
#[cfg(feature = "gpu")]
mod cube;

use burn::Tensor;
use burn::backend::{Autodiff, Backend, DispatchKindConversion, DispatchTensor};

use super::profiler::{OpKind, forward_scope};
use super::{OpMemory, OpShape, Parent, on_backend, primitive, record};

/// Returns the maximum of every 2³ voxels. All axes must be even. The gradient goes to the first of
/// equal maxima.
///
/// The backward pass keeps the input and searches for the maximum again: reading eight values costs
/// less than storing an index per output.
///
/// # Shapes
/// - x: `[b, c, k, j, i]`
/// - output: `[b, c, k/2, j/2, i/2]`
pub fn max_pool2(x: Tensor<5>) -> Tensor<5> {
    let _scope = forward_scope(OpKind::MaxPool, &x);
    let shape @ [.., k, j, i] = x.dims();
    assert!([k, j, i].iter().all(|n| n % 2 == 0), "even axes, found {shape:?}");
    on_backend!(x, B => if x.device().is_autodiff() { recorded::<B>(x) } else { B::max_pool2(&x) })
}

fn recorded<B: MaxPoolKernels>(x: Tensor<5>) -> Tensor<5>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
{
    let Parent { value: x, guard, .. } = Parent::<B, 5>::new(x);
    record::<B, 1, 5>([guard], B::max_pool2(&x), move |gradient, _, _| {
        let gradient = Tensor::<5>::from_primitive::<B>(gradient);
        [Some(primitive::<B, 5>(B::gradient(&x, &gradient)))]
    })
}

/// Kernels of one backend. Tensors are without autodiff.
pub(crate) trait MaxPoolKernels: Backend {
    fn max_pool2(x: &Tensor<5>) -> Tensor<5>;

    /// Returns the gradient of the input for a gradient of the output.
    fn gradient(x: &Tensor<5>, gradient: &Tensor<5>) -> Tensor<5>;
}

/// Memory of [`max_pool2`].
pub fn memory(op_shape: &OpShape) -> OpMemory {
    let n = op_shape.num_input_elements();
    let scratch = op_shape.widening_bytes(n + n / 8);
    OpMemory {
        keeps_input: true,
        forward_bytes: scratch,
        backward_bytes: scratch + op_shape.widening_bytes(n),
        ..OpMemory::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_same, random};
    use super::*;

    /// The same with burn's own ops, axis by axis.
    fn composed(x: Tensor<5>) -> Tensor<5> {
        let [b, c, k, j, i] = x.dims();
        let x = x.reshape([b * c, k, j, i / 2, 2]).max_dim(4);
        let x = x.reshape([b * c, k, j / 2, 2, i / 2]).max_dim(3);
        let x = x.reshape([b * c, k / 2, 2, j / 2, i / 2]).max_dim(2);
        x.reshape([b, c, k / 2, j / 2, i / 2])
    }

    const SHAPES: [[usize; 5]; 4] =
        [[2, 3, 4, 6, 10], [1, 1, 2, 2, 2], [1, 5, 8, 2, 34], [3, 60, 2, 4, 8]];

    #[test]
    fn equals_burns_operations() {
        for shape in SHAPES {
            let inputs = (random(shape), random([1; 4]));
            assert_same(&inputs, |(x, _)| max_pool2(x), |(x, _)| composed(x));
        }
    }

    #[cfg(feature = "gpu")]
    #[test]
    fn a_gpu_finds_what_the_cpu_finds() {
        use super::super::cube::tests::assert_gpu_matches_cpu;
        for shape in SHAPES {
            let inputs = (random(shape), random([1; 4]));
            assert_gpu_matches_cpu(&inputs, |(x, _)| max_pool2(x));
            // Has many equal maxima; the first one receives the gradient.
            let inputs = (random(shape).sign(), random([1; 4]));
            assert_gpu_matches_cpu(&inputs, |(x, _)| max_pool2(x));
        }
        // A view whose start is not aligned to a vector.
        let inputs = (random([2, 3, 2, 6, 10]), random([1; 4]));
        assert_gpu_matches_cpu(&inputs, |(x, _)| max_pool2(x.narrow(1, 1, 2).narrow(4, 3, 6)));
    }
}
