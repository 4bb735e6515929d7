//! Trilinear up-sampling by two on a GPU. A unit computes a few voxels of a row of the smaller
//! volume and their 2³ voxels each of the larger one.

// A kernel takes its buffers and sizes one by one.
#![allow(clippy::too_many_arguments)]
// CubeCL needs these forms of loops and sums.
#![allow(clippy::needless_range_loop, clippy::assign_op_pattern)]

use burn::Tensor;
use burn::backend::Cube;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::super::cube::{UNITS, contiguous, cubes, empty, float, indices, tensor, vector_size};
use super::UpsampleKernels;

impl UpsampleKernels for Cube {
    fn upsample2(x: &Tensor<5>, skip: Option<Tensor<5>>) -> Tensor<5> {
        let (x, skip) = (contiguous(x), skip.map(|skip| contiguous(&skip)));
        let dims @ [b, c, k, j, i] = x.meta.shape().dims::<5>();
        let output = empty([b, c, 2 * k, 2 * j, 2 * i], x.dtype, &x);
        let (vector, row, units) = work(dims, &x);
        // Safety: a unit reads inside its channel of x, and reads and writes its own voxels of the
        // output.
        unsafe {
            forward_kernel::launch_unchecked(
                &output.client,
                cubes(units.div_ceil(UNITS), &output),
                CubeDim::new_1d(UNITS as u32),
                indices([&output]),
                vector,
                vector / 2,
                x.clone().into_buffer_arg(),
                skip.map(CubeTensor::into_buffer_arg).into(),
                output.clone().into_buffer_arg(),
                row,
                j,
                k,
                units,
                float(x.dtype),
            );
        }
        tensor(output)
    }

    fn gradient(gradient: &Tensor<5>) -> Tensor<5> {
        let gradient = contiguous(gradient);
        let [b, c, k, j, i] = gradient.meta.shape().dims::<5>();
        let dims @ [.., k, j, _] = [b, c, k / 2, j / 2, i / 2];
        let output = empty(dims, gradient.dtype, &gradient);
        let (vector, row, units) = work(dims, &gradient);
        // Safety: a unit reads inside its channel of the gradient and writes its own voxels.
        unsafe {
            gradient_kernel::launch_unchecked(
                &output.client,
                cubes(units.div_ceil(UNITS), &output),
                CubeDim::new_1d(UNITS as u32),
                indices([&gradient]),
                vector,
                vector / 2,
                gradient.clone().into_buffer_arg(),
                output.clone().into_buffer_arg(),
                row,
                j,
                k,
                units,
                float(gradient.dtype),
            );
        }
        tensor(output)
    }
}

/// Returns, for the smaller volume: values per vector of the larger one, units per row, units in
/// total.
fn work([b, c, k, j, i]: [usize; 5], like: &CubeTensor) -> (usize, usize, usize) {
    let vector = vector_size(2 * i, like).max(2);
    let row = 2 * i / vector;
    (vector, row, b * c * k * j * row)
}

/// Returns the position of a unit in the smaller volume: vector of the row, row, plane, and the
/// number of planes before its channel.
#[cube]
fn place(row: usize, nj: usize, nk: usize) -> (usize, usize, usize, usize) {
    let line = ABSOLUTE_POS / row;
    let plane = line / nj;
    (ABSOLUTE_POS % row, line % nj, plane % nk, plane / nk * nk)
}

/// Returns the values before and after a row's vector; at the border the border value.
#[cube]
fn ends<F: Float, N: Size>(
    line: &[Vector<F, N>],
    start: usize,
    at: usize,
    row: usize,
) -> (f32, f32) {
    let size = N::value();
    let before = line[start + max(at, 1) - 1].extract(comptime![size - 1]);
    let after = line[start + min(at + 1, row - 1)].extract(0usize);
    let own = line[start + at];
    let first = own.extract(0usize);
    let last = own.extract(comptime![size - 1]);
    (
        f32::cast_from(select(at == 0, first, before)),
        f32::cast_from(select(at + 1 == row, last, after)),
    )
}

/// Weights of the previous, own and next voxel, for the lower and the upper half of a voxel.
const OF_HALF: [[f32; 3]; 2] = [[0.25, 0.75, 0.0], [0.0, 0.75, 0.25]];

/// Weights of a voxel in the output before its two, in these two, and in the one after them.
const OF_PLACE: [f32; 4] = [0.25, 0.75, 0.75, 0.25];

#[cube(launch_unchecked, address_type = "dynamic")]
fn forward_kernel<F: Float, N: Size, M: Size>(
    x: &[Vector<F, M>],
    skip: ComptimeOption<&[Vector<F, N>]>,
    output: &mut [Vector<F, N>],
    row: usize,
    nj: usize,
    nk: usize,
    units: usize,
    #[define(F)] _float: ElemType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let (at, j, k, planes) = place(row, nj, nk);
    // Sums for the halves of k and j.
    let mut sums = Array::<Vector<f32, N>>::new(4usize);
    #[unroll]
    for n in 0..4usize {
        sums[n] = Vector::new(0.0);
    }
    #[unroll]
    for dk in 0..3usize {
        #[unroll]
        for dj in 0..3usize {
            let plane = planes + min(max(k + dk, 1) - 1, nk - 1);
            let start = (plane * nj + min(max(j + dj, 1) - 1, nj - 1)) * row;
            let wide = widening_bytes::<F, N, M>(x, start, at, row);
            #[unroll]
            for n in 0..4usize {
                let weight = comptime![OF_HALF[n / 2][dk] * OF_HALF[n % 2][dj]];
                if comptime![weight > 0.0] {
                    sums[n] = sums[n] + wide * Vector::new(weight);
                }
            }
        }
    }
    #[unroll]
    for n in 0..4usize {
        let plane = 2 * (planes + k) + comptime![n / 2];
        let to = (plane * 2 * nj + 2 * j + comptime![n % 2]) * row + at;
        let mut sum = sums[n];
        #[comptime]
        if let ComptimeOption::Some(skip) = &skip {
            sum += Vector::cast_from(skip[to]);
        }
        output[to] = Vector::cast_from(sum);
    }
}

/// Doubles a vector of a row.
#[cube]
fn widening_bytes<F: Float, N: Size, M: Size>(
    x: &[Vector<F, M>],
    start: usize,
    at: usize,
    row: usize,
) -> Vector<f32, N> {
    let own = Vector::<f32, M>::cast_from(x[start + at]);
    let (before, after) = ends::<F, M>(x, start, at, row);
    let size = M::value();
    let mut wide = Vector::<f32, N>::empty();
    #[unroll]
    for m in 0..size {
        let near = own.extract(m) * 0.75;
        let lower = if comptime![m > 0] { own.extract(comptime![m.max(1) - 1]) } else { before };
        let last = comptime![size - 1];
        let upper =
            if comptime![m < last] { own.extract(comptime![(m + 1).min(last)]) } else { after };
        wide.insert(2 * m, near + lower * 0.25);
        wide.insert(2 * m + 1, near + upper * 0.25);
    }
    wide
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn gradient_kernel<F: Float, N: Size, M: Size>(
    gradient: &[Vector<F, N>],
    output: &mut [Vector<F, M>],
    row: usize,
    nj: usize,
    nk: usize,
    units: usize,
    #[define(F)] _float: ElemType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let (at, j, k, planes) = place(row, nj, nk);
    // A voxel contributes to its own two outputs along an axis and to one more on either side.
    // Beyond the border these are the border's own outputs.
    let mut sum = Vector::<f32, N>::new(0.0);
    let mut sum_before = 0.0f32;
    let mut sum_after = 0.0f32;
    #[unroll]
    for dk in 0..4usize {
        #[unroll]
        for dj in 0..4usize {
            let plane = 2 * planes + min(max(2 * k + dk, 1) - 1, 2 * nk - 1);
            let start = (plane * 2 * nj + min(max(2 * j + dj, 1) - 1, 2 * nj - 1)) * row;
            let weight = comptime![OF_PLACE[dk] * OF_PLACE[dj]];
            let (before, after) = ends::<F, N>(gradient, start, at, row);
            sum += Vector::cast_from(gradient[start + at]) * Vector::new(weight);
            sum_before += before * weight;
            sum_after += after * weight;
        }
    }
    let size = M::value();
    let mut narrow = Vector::<f32, M>::empty();
    #[unroll]
    for m in 0..size {
        let last = comptime![size - 1];
        let near = sum.extract(2 * m) + sum.extract(2 * m + 1);
        let lower =
            if comptime![m > 0] { sum.extract(comptime![2 * m.max(1) - 1]) } else { sum_before };
        let upper = if comptime![m < last] {
            sum.extract(comptime![2 * (m + 1).min(last)])
        } else {
            sum_after
        };
        narrow.insert(m, near * 0.75 + (lower + upper) * 0.25);
    }
    output[ABSOLUTE_POS] = Vector::cast_from(narrow);
}
