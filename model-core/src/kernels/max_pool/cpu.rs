//! Max pooling over 2³ voxels on the CPU.

use burn::Tensor;
use burn::backend::Flex;
use multiversion::multiversion;

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
