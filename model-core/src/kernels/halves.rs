//! Halves of the channels, concatenated and split. On the CPU, all threads copy.

use burn::Tensor;

use super::cpu::{CpuValues, is_plain_cpu, tensor};
use cpu_kernels::buffer;

/// Concatenates two tensors along the channels.
///
/// # Shapes
/// - x1: `[b, c1, k, j, i]`
/// - x2: `[b, c2, k, j, i]`
/// - output: `[b, c1 + c2, k, j, i]`
pub(crate) fn concat_channels(x1: Tensor<5>, x2: Tensor<5>) -> Tensor<5> {
    if !is_plain_cpu(&x1) {
        return Tensor::cat(vec![x1, x2], 1);
    }
    let ([b, c1, k, j, i], [_, c2, ..]) = (x1.dims(), x2.dims());
    let voxels = k * j * i;
    let (values1, values2) = (CpuValues::new(&x1), CpuValues::new(&x2));
    let samples1 = values1.slice().chunks_exact(c1 * voxels);
    let samples2 = values2.slice().chunks_exact(c2 * voxels);
    let parts: Vec<&[f32]> = samples1.zip(samples2).flat_map(<[&[f32]; 2]>::from).collect();
    tensor(buffer::concat(&parts), [b, c1 + c2, k, j, i], &x1)
}

/// Splits the channels into two halves. They are copies, so that neither keeps the memory of both.
///
/// # Shapes
/// - x: `[b, c, k, j, i]`
/// - output: both `[b, c/2, k, j, i]`
pub(crate) fn split_channels(x: Tensor<5>) -> (Tensor<5>, Tensor<5>) {
    let [b, c, k, j, i] = x.dims();
    let half = c / 2;
    if !is_plain_cpu(&x) {
        let (x1, x2) = (x.clone().narrow(1, 0, half), x.narrow(1, half, half));
        // A product makes a copy.
        return (x1.mul_scalar(1.0), x2.mul_scalar(1.0));
    }
    let values = CpuValues::new(&x);
    let samples = values.slice().chunks_exact(half * k * j * i);
    let [x1, x2] = [0, 1].map(|n| {
        let parts: Vec<&[f32]> = samples.clone().skip(n).step_by(2).collect();
        tensor(buffer::concat(&parts), [b, half, k, j, i], &x)
    });
    (x1, x2)
}

#[cfg(test)]
mod tests {
    use super::super::tests::random;
    use super::*;

    #[test]
    fn halves_are_split_and_joined() {
        for shape in [[1, 6, 3, 4, 5], [3, 2, 1, 2, 7]] {
            let x = random::<5>(shape);
            let (x1, x2) = split_channels(x.clone());
            let half = shape[1] / 2;
            x1.to_data().assert_eq(&x.clone().narrow(1, 0, half).to_data(), true);
            x2.to_data().assert_eq(&x.clone().narrow(1, half, half).to_data(), true);
            concat_channels(x1, x2).to_data().assert_eq(&x.to_data(), true);
        }
    }
}
