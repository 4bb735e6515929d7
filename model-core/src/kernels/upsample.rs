//! Trilinear up-sampling by two (`align_corners = false`).

mod cpu;
#[cfg(feature = "gpu")]
mod cube;

use burn::Tensor;
use burn::backend::{Autodiff, Backend, DispatchKindConversion, DispatchTensor};

use super::profiler::{OpKind, forward_scope};
use super::{OpMemory, OpShape, Parent, Place, on_backend, primitive, record};

/// Doubles every axis. The output at 2m is ¾ of input m and ¼ of input m − 1; the output at 2m + 1
/// is ¾ of input m and ¼ of input m + 1. Beyond the border the border value is used.
///
/// # Shapes
/// - x: `[b, c, k, j, i]`
/// - output: `[b, c, 2k, 2j, 2i]`
pub fn upsample2(x: Tensor<5>) -> Tensor<5> {
    let _scope = forward_scope(OpKind::Upsample, &x);
    on_backend!(x, B => {
        if !x.device().is_autodiff() {
            return B::upsample2(&x, None);
        }
        let Parent { value: x, guard, .. } = Parent::<B, 5>::new(x);
        record::<B, 1, 5>([guard], B::upsample2(&x, None), move |gradient, _, _| {
            let gradient = Tensor::<5>::from_primitive::<B>(gradient);
            [Some(primitive::<B, 5>(B::gradient(&gradient)))]
        })
    })
}

/// [`upsample2`] and the addition of the decoder's skip connection, in one pass.
///
/// # Shapes
/// - x: `[b, c, k, j, i]`
/// - skip, output: `[b, c, 2k, 2j, 2i]`, with the type of x
pub fn upsample2_add(x: Tensor<5>, skip: Tensor<5>) -> Tensor<5> {
    upsample2_add_recovered(x, skip, None)
}

/// [`upsample2_add`] of a skip connection that is recovered. The backward pass finds the sum in the
/// skip's place, and leaves the skip there: the sum minus the up-sampled x, which is kept instead and
/// has an eighth of the values.
pub(crate) fn upsample2_add_recovered(
    x: Tensor<5>,
    skip: Tensor<5>,
    recovered: Option<Place>,
) -> Tensor<5> {
    let _scope = forward_scope(OpKind::Upsample, &x);
    let [b, c, k, j, i] = x.dims();
    assert_eq!(skip.dims(), [b, c, 2 * k, 2 * j, 2 * i], "a skip of twice the size");
    assert_eq!(skip.dtype(), x.dtype(), "a skip of the same type");
    on_backend!(x, B => {
        if x.device().is_autodiff() {
            record_add::<B>(x, skip, recovered)
        } else {
            B::upsample2(&x, Some(skip))
        }
    })
}

fn record_add<B: UpsampleKernels>(
    x: Tensor<5>,
    skip: Tensor<5>,
    recovered: Option<Place>,
) -> Tensor<5>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
{
    let (x, skip) = (Parent::<B, 5>::new(x), Parent::<B, 5>::new(skip));
    let output = B::upsample2(&x.value, Some(skip.value));
    let kept = recovered.map(|place| (place, x.value));
    record::<B, 2, 5>([x.guard, skip.guard], output, move |gradient, [input_grad, skip_grad], _| {
        if let Some((place, x)) = kept {
            let sum = place.take();
            place.put(B::upsample2(&x.neg(), Some(sum)));
        }
        let skip_grad = skip_grad.then(|| gradient.clone());
        let gradient = Tensor::<5>::from_primitive::<B>(gradient);
        [input_grad.then(|| primitive::<B, 5>(B::gradient(&gradient))), skip_grad]
    })
}

/// Kernels of one backend. Tensors are without autodiff.
pub(crate) trait UpsampleKernels: Backend {
    /// Up-samples x and adds `skip`.
    fn upsample2(x: &Tensor<5>, skip: Option<Tensor<5>>) -> Tensor<5>;

    /// Returns the gradient of x for a gradient of the output: the transpose.
    fn gradient(gradient: &Tensor<5>) -> Tensor<5>;
}

/// Memory of [`upsample2`] and [`upsample2_add`]: nothing is kept, since both are linear.
pub fn memory(op_shape: &OpShape) -> OpMemory {
    let scratch = op_shape.widening_bytes(9 * op_shape.num_input_elements());
    OpMemory { forward_bytes: scratch, backward_bytes: scratch, ..OpMemory::default() }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Inputs, assert_same, random};
    use super::*;

    /// The same with burn's own ops, axis by axis.
    fn composed(x: Tensor<5>) -> Tensor<5> {
        let [b, c, k, j, i] = x.dims();
        let x = (1..4).fold(x.reshape([b * c, k, j, i]), double_axis);
        x.reshape([b, c, 2 * k, 2 * j, 2 * i])
    }

    fn double_axis(x: Tensor<4>, axis: usize) -> Tensor<4> {
        let n = x.dims()[axis];
        let first = x.clone().narrow(axis, 0, 1);
        let last = x.clone().narrow(axis, n - 1, 1);
        let (before, after) = match n {
            1 => (first, last),
            _ => (
                Tensor::cat(vec![first, x.clone().narrow(axis, 0, n - 1)], axis),
                Tensor::cat(vec![x.clone().narrow(axis, 1, n - 1), last], axis),
            ),
        };
        let mut shape = x.dims();
        shape[axis] = 2 * n;
        let near = x * 0.75;
        let even: Tensor<5> = (near.clone() + before * 0.25).unsqueeze_dim(axis + 1);
        let odd: Tensor<5> = (near + after * 0.25).unsqueeze_dim(axis + 1);
        Tensor::cat(vec![even, odd], axis + 1).reshape(shape)
    }

    const SHAPES: [[usize; 5]; 5] =
        [[2, 3, 4, 5, 7], [1, 1, 1, 1, 1], [1, 2, 2, 1, 17], [3, 1, 3, 2, 8], [1, 60, 1, 2, 6]];

    /// Returns x, and a skip as 4-D parameters.
    fn inputs([b, c, k, j, i]: [usize; 5]) -> Inputs {
        (random([b, c, k, j, i]), random([b * c, 2 * k, 2 * j, 2 * i]))
    }

    fn record_add((x, skip): Inputs) -> Tensor<5> {
        let [b, c, k, j, i] = x.dims();
        upsample2_add(x, skip.reshape([b, c, 2 * k, 2 * j, 2 * i]))
    }

    #[test]
    fn equals_burns_operations() {
        for shape in SHAPES {
            let inputs = inputs(shape);
            assert_same(&inputs, |(x, _)| upsample2(x), |(x, _)| composed(x));
            let stock = |(x, skip): Inputs| {
                let y = composed(x);
                y.clone() + skip.reshape(y.dims())
            };
            assert_same(&inputs, record_add, stock);
        }
    }

    #[cfg(feature = "gpu")]
    #[test]
    fn a_gpu_finds_what_the_cpu_finds() {
        use super::super::cube::tests::assert_gpu_matches_cpu;
        for shape in SHAPES {
            assert_gpu_matches_cpu(&inputs(shape), |(x, _)| upsample2(x));
            assert_gpu_matches_cpu(&inputs(shape), record_add);
        }
    }

    /// Computed by hand: the two voxels 0 and 4 along i.
    #[test]
    fn blends_a_quarter_of_the_neighbor() {
        let x = Tensor::<1>::from_floats([0.0, 4.0], &burn::tensor::Device::flex());
        let y = upsample2(x.reshape([1, 1, 1, 1, 2])).narrow(2, 0, 1).narrow(3, 0, 1);
        assert_eq!(y.into_data().try_into_vec::<f32>().unwrap(), [0.0, 1.0, 3.0, 4.0]);
    }
}
