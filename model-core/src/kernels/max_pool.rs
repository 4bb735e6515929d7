//! Max pooling over 2³ voxels.

mod cpu;

use burn::Tensor;
use burn::backend::Flex;

use super::cpu::{Values, is_cpu, primitive, tensor};
use super::{Parent, record};

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
        // Axis by axis: each step keeps six or fewer axes, as the GPU backends want.
        let x = x.reshape([b * c, k, j, i / 2, 2]).max_dim(4);
        let x = x.reshape([b * c, k, j / 2, 2, i / 2]).max_dim(3);
        return x.reshape([b * c, k / 2, 2, j / 2, i / 2]).max_dim(2).reshape(pooled);
    }
    let dims = [i, j, k];
    if !x.device().is_autodiff() {
        return tensor(cpu::forward(Values::new(x).slice(), dims), pooled);
    }
    let x = Parent::<Flex, 5>::new(x);
    let values = Values::new(x.value);
    let output = tensor(cpu::forward(values.slice(), dims), pooled);
    record::<Flex, 1, 5>([x.guard], output, move |gradient, _, _| {
        let gradient = Values::from_primitive(gradient);
        [Some(primitive(cpu::input_gradient(values.slice(), gradient.slice(), dims), shape))]
    })
}
