//! Max pooling over 2³ voxels on the CPU.

use burn::Tensor;
use burn::backend::Flex;
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
}

/// Computes the gradient of the input: that of each output goes to the first voxel that holds the
/// maximum.
fn input_gradient(x: &[f32], gradient: &[f32], [ni, nj, nk]: [usize; 3]) -> Vec<f32> {
    let (mi, mj, mk) = (ni / 2, nj / 2, nk / 2);
    let mut output = buffer::zeros(x.len());
    output.par_chunks_mut(2 * ni * nj).enumerate().for_each(|(n, output)| {
        let x = &x[n * 2 * ni * nj..][..2 * ni * nj];
        let gradient = &gradient[n * mi * mj..][..mi * mj];
        debug_assert!(n / mk * nk + n % mk * 2 == 2 * n);
        for j in 0..mj {
            let rows = four_rows(x, ni, nj, j);
            for i in 0..mi {
                let (mut best, mut place) = (f32::NEG_INFINITY, 0);
                for (r, row) in rows.iter().enumerate() {
                    for d in 0..2 {
                        if row[2 * i + d] > best {
                            (best, place) = (row[2 * i + d], r * 2 + d);
                        }
                    }
                }
                let (dk, dj, di) = (place / 4, place / 2 % 2, place % 2);
                output[(dk * nj + 2 * j + dj) * ni + 2 * i + di] = gradient[j * mi + i];
            }
        }
    });
    output
}

/// Returns the rows of two planes that row `j` of the output is computed from, in memory order.
fn four_rows(x: &[f32], ni: usize, nj: usize, j: usize) -> [&[f32]; 4] {
    [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(dk, dj)| &x[(dk * nj + 2 * j + dj) * ni..][..ni])
}
