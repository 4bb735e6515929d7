//! Halves of the channels, concatenated and split. On the CPU, all threads copy.

use burn::Tensor;

use super::cpu::{CpuValues, CpuValuesMut, is_plain_cpu, new_tensor};
use cpu_kernels::buffer;

/// Concatenates two tensors along the channels. On the CPU, one volume in f32 grows in place if
/// nothing else holds x1: the system moves large memory without a copy.
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
    let (shape, values2) = ([b, c1 + c2, k, j, i], CpuValues::new(&x2));
    let values1 = match CpuValuesMut::reusing(x1) {
        Ok(values) if b == 1 => {
            let mut values = values.into_vec();
            values.reserve_exact(c2 * voxels);
            values.extend_from_slice(values2.slice());
            return new_tensor(values, shape);
        }
        Ok(values) => values.into(),
        Err(values) => values,
    };
    let samples1 = values1.slice().chunks_exact(c1 * voxels);
    let samples2 = values2.slice().chunks_exact(c2 * voxels);
    let parts: Vec<&[f32]> = samples1.zip(samples2).flat_map(<[&[f32]; 2]>::from).collect();
    new_tensor(buffer::concat(&parts), shape)
}

/// Splits the channels into two halves, neither of which keeps the memory of both. They are copies;
/// on the CPU, the first half of one volume in f32 stays where it is if nothing else holds x.
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
    let (len, shape) = (half * k * j * i, [b, half, k, j, i]);
    let values = match CpuValuesMut::reusing(x) {
        Ok(mut values) if b == 1 => {
            let x2 = new_tensor(buffer::concat(&[&values.slice()[len..]]), shape);
            let mut x1 = values.into_vec();
            x1.truncate(len);
            x1.shrink_to_fit();
            return (new_tensor(x1, shape), x2);
        }
        Ok(values) => values.into(),
        Err(values) => values,
    };
    let samples = values.slice().chunks_exact(len);
    let [x1, x2] = [0, 1].map(|n| {
        let parts: Vec<&[f32]> = samples.clone().skip(n).step_by(2).collect();
        new_tensor(buffer::concat(&parts), shape)
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
            // Held by nothing else.
            let (own1, own2) = split_channels(x.clone() + 0.0);
            own1.to_data().assert_eq(&x1.to_data(), true);
            own2.to_data().assert_eq(&x2.to_data(), true);
            concat_channels(x1, x2).to_data().assert_eq(&x.to_data(), true);
            concat_channels(own1, own2).to_data().assert_eq(&x.to_data(), true);
        }
    }
}
