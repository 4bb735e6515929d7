//! Trilinear up-sampling by two on the CPU, and its gradient.

use burn::Tensor;
use burn::backend::Flex;
use burn::tensor::{DType, FloatDType};
use multiversion::multiversion;

use super::super::cpu::{CpuValues, CpuValuesMut, tensor};
use super::UpsampleKernels;
use cpu_kernels::buffer;
use cpu_kernels::channels::{ChannelAffine, Channels};
use cpu_kernels::slab::Slab;
use cpu_kernels::upsample;

impl UpsampleKernels for Flex {
    fn upsample2(x: &Tensor<5>, skip: Option<Tensor<5>>) -> Tensor<5> {
        let [b, c, k, j, i] = x.dims();
        let doubled = [b, c, 2 * k, 2 * j, 2 * i];
        let values = CpuValues::new(x);
        let x_values = Channels::new(values.slice(), None);
        let [from, to] = [[i, j, k], [2 * i, 2 * j, 2 * k]].map(Slab::whole);
        match skip {
            Some(skip) if x.dtype() == DType::F32 => {
                let mut output = CpuValuesMut::new(skip);
                let own = vec![ChannelAffine::IDENTITY; b * c];
                upsample::forward(x_values, &from, output.slice(), &to, Some(&own));
                output.tensor(FloatDType::F32)
            }
            skip => {
                let mut output = buffer::zeros(8 * values.slice().len());
                upsample::forward(x_values, &from, &mut output, &to, None);
                let output = tensor(output, doubled, x);
                // In half precision a sum in place would need a copy of the skip in f32.
                skip.map_or(output.clone(), |skip| output + skip)
            }
        }
    }

    fn gradient(gradient: &Tensor<5>) -> Tensor<5> {
        let [b, c, k, j, i] = gradient.dims();
        let [k, j, i] = [k / 2, j / 2, i / 2];
        let input_grad = input_gradient(CpuValues::new(gradient).slice(), [i, j, k]);
        tensor(input_grad, [b, c, k, j, i], gradient)
    }
}

/// Computes the gradient of the input, the transpose of the op.
fn input_gradient(gradient: &[f32], dims: [usize; 3]) -> Vec<f32> {
    let [ni, nj, nk] = dims;
    let planes = gradient.len() / (8 * ni * nj);
    buffer::filled(vec![ni * nj; planes], |n, output| {
        let map = 8 * ni * nj * nk;
        gather_plane(output, &gradient[n / nk * map..][..map], dims, n % nk);
    })
}

/// Returns the at most four outputs that use the input at index `place`, with their weights.
#[inline(always)]
fn targets(place: usize, n: usize) -> [(usize, f32); 4] {
    let border = |at_border: bool| if at_border { 1.0 } else { 0.75 };
    [
        (2 * place, border(place == 0)),
        (2 * place + 1, border(place == n - 1)),
        if place > 0 { (2 * place - 1, 0.25) } else { (0, 0.0) },
        if place + 1 < n { (2 * place + 2, 0.25) } else { (0, 0.0) },
    ]
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2", "aarch64+neon"))]
fn gather_plane(output: &mut [f32], gradient: &[f32], [ni, nj, nk]: [usize; 3], plane: usize) {
    let mut blended = vec![0.0; 2 * ni];
    for (j, output) in output.chunks_exact_mut(ni).enumerate() {
        blended.fill(0.0);
        for (k, weight_k) in targets(plane, nk) {
            for (j, weight_j) in targets(j, nj) {
                let weight = weight_k * weight_j;
                if weight > 0.0 {
                    let row = &gradient[(k * 2 * nj + j) * 2 * ni..][..2 * ni];
                    blended.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
                }
            }
        }
        output[0] += 0.25 * blended[0];
        output[ni - 1] += 0.25 * blended[2 * ni - 1];
        for (i, output) in output.iter_mut().enumerate() {
            *output += 0.75 * (blended[2 * i] + blended[2 * i + 1]);
        }
        for (i, ends) in blended[1..2 * ni - 1].chunks_exact(2).enumerate() {
            output[i + 1] += 0.25 * ends[0];
            output[i] += 0.25 * ends[1];
        }
    }
}
