//! Trilinear up-sampling by two on the CPU. Rows are blended first, then widened.

use burn::Tensor;
use burn::backend::Flex;
use burn::tensor::DType;
use multiversion::multiversion;
use rayon::prelude::*;

use super::super::cpu::{CpuValues, tensor};
use super::UpsampleKernels;

impl UpsampleKernels for Flex {
    fn upsample2(x: &Tensor<5>, skip: Option<Tensor<5>>) -> Tensor<5> {
        let [b, c, k, j, i] = x.dims();
        let doubled = [b, c, 2 * k, 2 * j, 2 * i];
        let values = CpuValues::new(x);
        let fill = |start| tensor(forward(values.slice(), start, [i, j, k]), doubled, x);
        match skip {
            None => fill(vec![0.0; 8 * values.slice().len()]),
            Some(skip) if x.dtype() == DType::F32 => fill(CpuValues::new(&skip).slice().to_vec()),
            // In half precision this would need a copy of the skip in f32.
            Some(skip) => fill(vec![0.0; 8 * values.slice().len()]) + skip,
        }
    }

    fn gradient(gradient: &Tensor<5>) -> Tensor<5> {
        let [b, c, k, j, i] = gradient.dims();
        let [k, j, i] = [k / 2, j / 2, i / 2];
        let input_grad = input_gradient(CpuValues::new(gradient).slice(), [i, j, k]);
        tensor(input_grad, [b, c, k, j, i], gradient)
    }
}

/// Adds the up-sampled x to `output`.
///
/// # Shapes
/// - x: `[maps, k, j, i]` with `dims` = (i, j, k)
/// - output: `[maps, 2k, 2j, 2i]`
fn forward(x: &[f32], mut output: Vec<f32>, dims: [usize; 3]) -> Vec<f32> {
    let [ni, nj, nk] = dims;
    output.par_chunks_mut(4 * ni * nj).enumerate().for_each(|(n, output)| {
        let x = &x[n / (2 * nk) * ni * nj * nk..][..ni * nj * nk];
        upsample_plane(output, x, dims, n % (2 * nk));
    });
    output
}

/// Computes the gradient of the input, the transpose of [`forward`].
fn input_gradient(gradient: &[f32], dims: [usize; 3]) -> Vec<f32> {
    let [ni, nj, nk] = dims;
    let mut output = vec![0.0; gradient.len() / 8];
    output.par_chunks_mut(ni * nj).enumerate().for_each(|(n, output)| {
        let map = 8 * ni * nj * nk;
        gather_plane(output, &gradient[n / nk * map..][..map], dims, n % nk);
    });
    output
}

/// Returns the two inputs of the output at index `place`, with their weights.
#[inline(always)]
fn sources(place: usize, n: usize) -> [(usize, f32); 2] {
    let near = place / 2;
    let far = if place.is_multiple_of(2) { near.saturating_sub(1) } else { (near + 1).min(n - 1) };
    [(near, 0.75), (far, 0.25)]
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
fn upsample_plane(output: &mut [f32], x: &[f32], [ni, nj, nk]: [usize; 3], plane: usize) {
    let mut blended = vec![0.0; ni];
    for (j, output) in output.chunks_exact_mut(2 * ni).enumerate() {
        blended.fill(0.0);
        for (k, weight_k) in sources(plane, nk) {
            for (j, weight_j) in sources(j, nj) {
                let (row, weight) = (&x[(k * nj + j) * ni..][..ni], weight_k * weight_j);
                blended.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
            }
        }
        output[0] += blended[0];
        output[2 * ni - 1] += blended[ni - 1];
        for (pair, ends) in output[1..2 * ni - 1].chunks_exact_mut(2).zip(blended.windows(2)) {
            pair[0] += 0.75 * ends[0] + 0.25 * ends[1];
            pair[1] += 0.25 * ends[0] + 0.75 * ends[1];
        }
    }
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
