//! Dense 3³ convolution, zero padding 1: every output channel sees every input channel.
//!
//! On the CPU burn's stock operation lays the whole map out anew and copies what each tap sees of it;
//! ours reads the map where it lies.

mod cpu;

use burn::Tensor;
use burn::backend::Flex;
use burn::tensor::module::conv3d;
use burn::tensor::ops::ConvOptions;

use super::cpu::{Values, is_cpu, tensor};
use super::{Call, Memory, Parent, Place, primitive, record};

/// Convolves every output channel from all input channels with a 3³ kernel for each, stride 1, zero
/// padding 1, no bias.
///
/// For the backward pass only x and the weight are kept, shared and not copied where they are
/// contiguous. While it runs, each pass on the CPU needs beside its result, in f32:
/// - forward and for the gradient of x: one copy of the weight, and a thread's tile of 384 KiB, or
///   of four padded rows of three planes of each channel where these are more;
/// - for the gradient of the weight: about 150 KiB and six padded rows a thread.
///
/// Results do not depend on the number of threads; in the last digit they may on whether the machine
/// multiplies and adds in one step.
///
/// # Shapes
/// - x: `[b, in, k, j, i]`
/// - weight: `[out, in, 3, 3, 3]`
/// - output: `[b, out, k, j, i]`
pub fn conv3(x: Tensor<5>, weight: Tensor<5>) -> Tensor<5> {
    let [batch, input, nk, nj, ni] = x.dims();
    let output = weight.dims()[0];
    assert_eq!(weight.dims(), [output, input, 3, 3, 3], "a 3³ kernel an output and input channel");
    if !is_cpu(&x) {
        return composed(x, weight);
    }
    let shape = cpu::Shape { input, output, dims: [ni, nj, nk] };
    let y_dims = [batch, output, nk, nj, ni];
    let forward = move |x: &Tensor<5>, weight: &Tensor<5>| {
        let values = (Values::new(x), Values::new(weight));
        tensor(cpu::forward(values.0.slice(), values.1.slice(), shape), y_dims, x)
    };
    if !x.device().is_autodiff() {
        return forward(&x, &weight);
    }
    let (x, weight) = (Parent::<Flex, 5>::new(x), Parent::<Flex, 5>::new(weight));
    let (x_value, weight_value) = (x.value, weight.value);
    let y = forward(&x_value, &weight_value);
    record::<Flex, 2, 5>([x.guard, weight.guard], y, move |gradient, wanted, _| {
        let gradient = Values::new(&Tensor::<5>::from_primitive::<Flex>(gradient));
        let of_x = wanted[0].then(|| {
            let weight = Values::new(&weight_value);
            let of_x = cpu::input_gradient(gradient.slice(), weight.slice(), shape);
            primitive::<Flex, 5>(tensor(of_x, [batch, input, nk, nj, ni], &x_value))
        });
        let of_weight = wanted[1].then(|| {
            let x = Values::new(&x_value);
            let of_weight = cpu::weight_gradient(x.slice(), gradient.slice(), shape);
            let weight_dims = [output, input, 3, 3, 3];
            primitive::<Flex, 5>(tensor(of_weight, weight_dims, &weight_value))
        });
        [of_x, of_weight]
    })
}

/// What [`conv3`] holds. On a GPU burn's implicit product of matrices reads and writes another
/// layout: its input and its output are copied.
pub fn memory(call: &Call) -> Memory {
    let outputs = call.numbers(call.to);
    let scratch = match call.place {
        Place::Cpu => {
            let threads = rayon::current_num_threads() as u64;
            let rows = 4 * 12 * (call.from * (call.dims[0] + 2)) as u64;
            4 * 27 * (call.from * call.to) as u64 + threads * rows.max(3 << 17)
        }
        Place::Gpu => (call.num_inputs() + outputs) * call.float_bytes,
    };
    let widened = call.widened(call.num_inputs() + outputs);
    Memory {
        keeps_input: true,
        kept_bytes: 0,
        forward_bytes: scratch + widened,
        backward_bytes: scratch + widened + call.widened(call.num_inputs()),
    }
}

/// The same by burn's own operation, whose gradients it then uses.
fn composed(x: Tensor<5>, weight: Tensor<5>) -> Tensor<5> {
    conv3d(x, weight, None, ConvOptions::new([1; 3], [1; 3], [1; 3], 1))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_same, random};
    use super::*;

    /// Several tiles a plane, several planes a tile, axes of 1, channels that fill no block.
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
            // [out, in, 27], as `assert_same` takes inputs of four axes.
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
                let of_x = x.grad_remove(&mut gradients).unwrap();
                let of_weight = weight.grad_remove(&mut gradients).unwrap();
                [y.inner(), of_x, of_weight].map(|t| t.into_data().try_into_vec::<f32>().unwrap())
            })
        };
        assert_eq!(run(1), run(3));
    }
}
