//! Trilinear up-sampling by two, corners not aligned.

mod cpu;

use burn::Tensor;
use burn::backend::Flex;

use super::cpu::{Values, is_cpu, primitive, tensor};
use super::{Parent, record};

/// Doubles every axis. An output at even place 2m is ¾ of input m and ¼ of m − 1, at odd place
/// ¾ of m and ¼ of m + 1; beyond the border the border's value holds.
///
/// # Shapes
/// - x: `[b, c, k, j, i]`
/// - output: `[b, c, 2k, 2j, 2i]`
pub fn upsample2(x: Tensor<5>) -> Tensor<5> {
    let shape @ [b, c, k, j, i] = x.dims();
    let doubled = [b, c, 2 * k, 2 * j, 2 * i];
    if !is_cpu(&x) {
        let x = x.reshape([b * c, k, j, i]);
        return (1..4).fold(x, double_axis).reshape(doubled);
    }
    let dims = [i, j, k];
    if !x.device().is_autodiff() {
        return tensor(cpu::forward(Values::new(x).slice(), dims), doubled);
    }
    let x = Parent::<Flex, 5>::new(x);
    let output = tensor(cpu::forward(Values::new(x.value).slice(), dims), doubled);
    record::<Flex, 1, 5>([x.guard], output, move |gradient, _, _| {
        let gradient = Values::from_primitive(gradient);
        [Some(primitive(cpu::input_gradient(gradient.slice(), dims), shape))]
    })
}

/// One axis by burn's own operations.
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
