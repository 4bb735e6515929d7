//! Max pooling over 2³ voxels on the CPU.

use burn::Tensor;
use burn::backend::Flex;
use multiversion::multiversion;
use rayon::prelude::*;

use super::super::cpu::{CpuValues, tensor};
use super::MaxPoolKernels;
use cpu_kernels::buffer;
use cpu_kernels::channels::Channels;
use cpu_kernels::max_pool;
use cpu_kernels::slab::Slab;

impl MaxPoolKernels for Flex {
    fn max_pool2(x: &Tensor<5>) -> Tensor<5> {
        let [b, c, k, j, i] = x.dims();
        let mut output = buffer::zeros(b * c * (k * j * i / 8));
        let [from, to] = [[i, j, k], [i / 2, j / 2, k / 2]].map(Slab::whole);
        let values = CpuValues::new(x);
        max_pool::forward(Channels::new(values.slice(), None), &from, &mut output, &to);
        tensor(output, [b, c, k / 2, j / 2, i / 2], x)
    }

    fn gradient(x: &Tensor<5>, gradient: &Tensor<5>) -> Tensor<5> {
        let shape @ [.., k, j, i] = x.dims();
        let (values, gradient) = (CpuValues::new(x), CpuValues::new(gradient));
        tensor(input_gradient(values.slice(), gradient.slice(), [i, j, k]), shape, x)
    }

    fn choices(x: &Tensor<5>) -> Option<Vec<u8>> {
        let [.., nj, ni] = x.dims();
        let values = CpuValues::new(x);
        let mut choices = vec![0; values.slice().len() / 8];
        let planes =
            choices.par_chunks_mut(ni * nj / 4).zip(values.slice().par_chunks(2 * ni * nj));
        planes.for_each(|(choices, x)| choose(choices, x, ni, nj));
        Some(choices)
    }

    fn gradient_of_choices(choices: &[u8], gradient: &Tensor<5>) -> Tensor<5> {
        let [b, c, k, j, i] = gradient.dims();
        let (ni, nj, values) = (2 * i, 2 * j, CpuValues::new(gradient));
        let gradient_values = values.slice();
        let planes = gradient_values.len() / (i * j);
        let input_grad = buffer::filled(vec![2 * ni * nj; planes], |n, output| {
            let plane = n * i * j..(n + 1) * i * j;
            scatter(output, &choices[plane.clone()], &gradient_values[plane], ni, nj);
        });
        tensor(input_grad, [b, c, 2 * k, nj, ni], gradient)
    }
}

/// Returns which voxel of its 2³ each output of two planes is taken from.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2", "aarch64+neon"))]
fn choose(output: &mut [u8], x: &[f32], ni: usize, nj: usize) {
    let mut largest = vec![0.0; ni / 2];
    for (j, output) in output.chunks_exact_mut(ni / 2).enumerate() {
        largest.fill(f32::NEG_INFINITY);
        for (n, row) in [0, 1, nj, nj + 1].map(|row| (2 * j + row) * ni).into_iter().enumerate() {
            let pairs = x[row..][..ni].as_chunks::<2>().0.iter();
            for ((choice, largest), pair) in output.iter_mut().zip(&mut largest).zip(pairs) {
                for (d, &value) in pair.iter().enumerate() {
                    let is_larger = value > *largest;
                    *choice = if is_larger { (2 * n + d) as u8 } else { *choice };
                    *largest = if is_larger { value } else { *largest };
                }
            }
        }
    }
}

/// Computes the gradient of two planes from that of one.
fn scatter(output: &mut [f32], choices: &[u8], gradient: &[f32], ni: usize, nj: usize) {
    for (n, (&choice, &gradient)) in choices.iter().zip(gradient).enumerate() {
        let [d, row, plane] = [choice & 1, choice >> 1 & 1, choice >> 2].map(usize::from);
        let (i, j) = (n % (ni / 2), n / (ni / 2));
        output[(plane * nj + 2 * j + row) * ni + 2 * i + d] = gradient;
    }
}

/// Computes the gradient of the input: that of each output goes to the first voxel that holds the
/// maximum.
fn input_gradient(x: &[f32], gradient: &[f32], [ni, nj, _]: [usize; 3]) -> Vec<f32> {
    let planes = x.len() / (2 * ni * nj);
    buffer::filled(vec![2 * ni * nj; planes], |n, output| {
        let x = &x[n * 2 * ni * nj..][..2 * ni * nj];
        scatter_planes(output, x, &gradient[n * ni * nj / 4..][..ni * nj / 4], ni, nj);
    })
}

/// Computes the gradient of two planes from that of one.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2", "aarch64+neon"))]
fn scatter_planes(output: &mut [f32], x: &[f32], gradient: &[f32], ni: usize, nj: usize) {
    // The maximum of each output, and the gradient that no voxel has taken yet.
    let (mut largest, mut rest) = (vec![0.0; ni / 2], vec![0.0; ni / 2]);
    for (j, gradient) in gradient.chunks_exact(ni / 2).enumerate() {
        let rows = [0, 1, nj, nj + 1].map(|row| (2 * j + row) * ni);
        largest.fill(f32::NEG_INFINITY);
        for row in rows {
            for (largest, pair) in largest.iter_mut().zip(x[row..][..ni].as_chunks::<2>().0) {
                let pair = if pair[1] > pair[0] { pair[1] } else { pair[0] };
                *largest = if pair > *largest { pair } else { *largest };
            }
        }
        rest.copy_from_slice(gradient);
        for row in rows {
            let pairs = x[row..][..ni].as_chunks::<2>().0.iter();
            let output = output[row..][..ni].as_chunks_mut::<2>().0.iter_mut();
            for (((output, pair), largest), rest) in output.zip(pairs).zip(&largest).zip(&mut rest)
            {
                for d in 0..2 {
                    let holds = pair[d] == *largest;
                    output[d] = if holds { *rest } else { 0.0 };
                    *rest = if holds { 0.0 } else { *rest };
                }
            }
        }
    }
}
