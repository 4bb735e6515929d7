//! Max pooling over 2³ voxels.

mod cpu;

use burn::Tensor;
use burn::backend::Flex;

use super::cpu::{Values, is_cpu, tensor};
use super::{Call, Memory, Parent, Place, primitive, recomputed, record};

/// The maximum over every 2³ voxels; all axes are even. The gradient goes to the first of equal
/// maxima.
///
/// # Shapes
/// - x: `[b, c, k, j, i]`
/// - output: `[b, c, k/2, j/2, i/2]`
pub fn max_pool2(x: Tensor<5>) -> Tensor<5> {
    let shape @ [b, c, k, j, i] = x.dims();
    assert!([k, j, i].iter().all(|n| n % 2 == 0), "even axes, found {shape:?}");
    let pooled = [b, c, k / 2, j / 2, i / 2];
    if !is_cpu(&x) {
        return recomputed(x, composed);
    }
    let dims = [i, j, k];
    let forward =
        move |x: &Tensor<5>| tensor(cpu::forward(Values::new(x).slice(), dims), pooled, x);
    if !x.device().is_autodiff() {
        return forward(&x);
    }
    let x = Parent::<Flex, 5>::new(x);
    let value = x.value;
    let output = forward(&value);
    record::<Flex, 1, 5>([x.guard], output, move |gradient, _, _| {
        let gradient = Values::new(&Tensor::<5>::from_primitive::<Flex>(gradient));
        let of_x = cpu::input_gradient(Values::new(&value).slice(), gradient.slice(), dims);
        [Some(primitive::<Flex, 5>(tensor(of_x, shape, &value)))]
    })
}

/// What [`max_pool2`] holds. Composed on a GPU, its backward pass goes through the halved maps of
/// two axes, each with the indices of its maxima.
pub fn memory(call: &Call) -> Memory {
    let n = call.num_inputs();
    let scratch = match call.place {
        Place::Cpu => call.widened(n + n / 8),
        Place::Gpu => (n / 2 + n / 4) * (call.float_bytes + 4),
    };
    Memory {
        keeps_input: true,
        kept_bytes: 0,
        forward_bytes: scratch,
        backward_bytes: scratch + call.widened(n),
    }
}

/// The same by burn's own operations, axis by axis.
fn composed(x: Tensor<5>) -> Tensor<5> {
    let [b, c, k, j, i] = x.dims();
    let x = x.reshape([b * c, k, j, i / 2, 2]).max_dim(4);
    let x = x.reshape([b * c, k, j / 2, 2, i / 2]).max_dim(3);
    let x = x.reshape([b * c, k / 2, 2, j / 2, i / 2]).max_dim(2);
    x.reshape([b, c, k / 2, j / 2, i / 2])
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_same, random};
    use super::*;

    #[test]
    fn equals_burns_operations() {
        for shape in [[2, 3, 4, 6, 10], [1, 1, 2, 2, 2], [1, 5, 8, 2, 34]] {
            let inputs = (random(shape), random([1; 4]));
            assert_same(&inputs, |(x, _)| max_pool2(x), |(x, _)| composed(x));
            assert_same(&inputs, |(x, _)| recomputed(x, composed), |(x, _)| composed(x));
        }
    }
}
