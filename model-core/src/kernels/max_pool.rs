//! Max pooling over 2³ voxels.

mod cpu;
#[cfg(feature = "gpu")]
mod cube;

use burn::Tensor;
use burn::backend::{Autodiff, Backend, DispatchKindConversion, DispatchTensor};

use super::profiler::{OpKind, forward_scope};
use super::{DeviceKind, OpMemory, OpShape, Parent, Place, on_backend, primitive, record};

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
    max_pool2_of_skip(x, None)
}

/// [`max_pool2`] of a skip connection, which the backward pass does not keep if it is recovered. The
/// CPU keeps a byte per output instead: which voxel had the maximum. A GPU searches in the recovered
/// tensor, where rounding decides between equal maxima.
pub(crate) fn max_pool2_of_skip(x: Tensor<5>, recovered: Option<Place>) -> Tensor<5> {
    let _scope = forward_scope(OpKind::MaxPool, &x);
    let shape @ [.., k, j, i] = x.dims();
    assert!([k, j, i].iter().all(|n| n % 2 == 0), "even axes, found {shape:?}");
    on_backend!(x, B => if x.device().is_autodiff() { recorded::<B>(x, recovered) } else { B::max_pool2(&x) })
}

fn recorded<B: MaxPoolKernels>(x: Tensor<5>, recovered: Option<Place>) -> Tensor<5>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
{
    let Parent { value: x, guard, .. } = Parent::<B, 5>::new(x);
    let output = B::max_pool2(&x);
    let choices = recovered.as_ref().and_then(|_| B::choices(&x));
    let kept = recovered.is_none().then_some(x);
    record::<B, 1, 5>([guard], output, move |gradient, _, _| {
        let gradient = Tensor::<5>::from_primitive::<B>(gradient);
        let of_x = match (choices, kept) {
            (Some(choices), _) => B::gradient_of_choices(&choices, &gradient),
            (None, Some(x)) => B::gradient(&x, &gradient),
            (None, None) => {
                let place = recovered.expect("not kept");
                let x = place.take();
                let of_x = B::gradient(&x, &gradient);
                // The layers before the skip read it too.
                place.put(x);
                of_x
            }
        };
        [Some(primitive::<B, 5>(of_x))]
    })
}

/// Kernels of one backend. Tensors are without autodiff.
pub(crate) trait MaxPoolKernels: Backend {
    fn max_pool2(x: &Tensor<5>) -> Tensor<5>;

    /// Returns the gradient of the input for a gradient of the output.
    fn gradient(x: &Tensor<5>, gradient: &Tensor<5>) -> Tensor<5>;

    /// Returns which of its 2³ voxels each output was taken from, counted with i fastest, if the
    /// backend has a kernel for it.
    fn choices(_x: &Tensor<5>) -> Option<Vec<u8>> {
        None
    }

    /// [`MaxPoolKernels::gradient`] from what [`MaxPoolKernels::choices`] returned.
    fn gradient_of_choices(_choices: &[u8], _gradient: &Tensor<5>) -> Tensor<5> {
        unreachable!("a backend without choices")
    }
}

/// Memory of [`max_pool2`] of a skip connection that is recovered.
pub fn memory_of_skip(op_shape: &OpShape) -> OpMemory {
    let choices = match op_shape.device {
        DeviceKind::Cpu => op_shape.num_input_elements() / 8,
        DeviceKind::Gpu => 0,
    };
    OpMemory { keeps_input: false, kept_bytes: choices, ..memory(op_shape) }
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
    use burn::backend::Flex;

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

    #[test]
    fn choices_give_the_gradient_of_the_input() {
        for shape in SHAPES {
            // Has many equal maxima.
            for x in [random(shape), random(shape).sign()] {
                let [b, c, k, j, i] = shape;
                let gradient = random([b, c, k / 2, j / 2, i / 2]);
                let choices = Flex::choices(&x).unwrap();
                let found = Flex::gradient_of_choices(&choices, &gradient);
                found.into_data().assert_eq(&Flex::gradient(&x, &gradient).into_data(), true);
            }
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
