//! Trilinear up-sampling by two, corners not aligned.

mod cpu;

use burn::Tensor;
use burn::backend::Flex;

use super::cpu::{Values, is_cpu, tensor};
use super::{Call, Memory, Parent, Place, primitive, record};

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
        return composed(x);
    }
    let dims = [i, j, k];
    let forward =
        move |x: &Tensor<5>| tensor(cpu::forward(Values::new(x).slice(), dims), doubled, x);
    if !x.device().is_autodiff() {
        return forward(&x);
    }
    let x = Parent::<Flex, 5>::new(x);
    record::<Flex, 1, 5>([x.guard], forward(&x.value), move |gradient, _, _| {
        let gradient = Tensor::<5>::from_primitive::<Flex>(gradient);
        let of_x = cpu::input_gradient(Values::new(&gradient).slice(), dims);
        [Some(primitive::<Flex, 5>(tensor(of_x, shape, &gradient)))]
    })
}

/// What [`upsample2`] holds: nothing, since it is linear. Composed on a GPU, it makes the even and
/// the odd half of each axis before it joins them.
pub fn memory(call: &Call) -> Memory {
    let n = call.num_inputs();
    let scratch = match call.place {
        Place::Cpu => call.widened(9 * n),
        Place::Gpu => 12 * n * call.float_bytes,
    };
    Memory { forward_bytes: scratch, backward_bytes: scratch, ..Memory::default() }
}

/// The same by burn's own operations, axis by axis.
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

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_same, random};
    use super::*;

    #[test]
    fn equals_burns_operations() {
        for shape in [[2, 3, 4, 5, 7], [1, 1, 1, 1, 1], [1, 2, 2, 1, 17]] {
            let inputs = (random(shape), random([1; 4]));
            assert_same(&inputs, |(x, _)| upsample2(x), |(x, _)| composed(x));
        }
    }

    /// By hand: the two voxels 0 and 4 along i.
    #[test]
    fn blends_a_quarter_of_the_neighbor() {
        let x = Tensor::<1>::from_floats([0.0, 4.0], &burn::tensor::Device::flex());
        let y = upsample2(x.reshape([1, 1, 1, 1, 2])).narrow(2, 0, 1).narrow(3, 0, 1);
        assert_eq!(y.into_data().try_into_vec::<f32>().unwrap(), [0.0, 1.0, 3.0, 4.0]);
    }
}
