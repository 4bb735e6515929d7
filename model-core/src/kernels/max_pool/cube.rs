//! Max pooling over 2³ voxels on a GPU. A unit computes a few outputs of a row.

use burn::Tensor;
use burn::backend::Cube;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::super::cube::{UNITS, contiguous, cubes, empty, float, indices, tensor, vector_size};
use super::MaxPoolKernels;

impl MaxPoolKernels for Cube {
    fn max_pool2(x: &Tensor<5>) -> Tensor<5> {
        let x = contiguous(x);
        let [b, c, k, j, i] = x.meta.shape().dims::<5>();
        let output = empty([b, c, k / 2, j / 2, i / 2], x.dtype, &x);
        let work = UnitLayout::new(&x);
        // Safety: a unit reads the 2³ voxels of each value of its own output vector.
        unsafe {
            forward_kernel::launch_unchecked(
                &output.client,
                cubes(work.units.div_ceil(UNITS), &output),
                CubeDim::new_1d(UNITS as u32),
                indices([&x]),
                2 * work.outputs,
                work.outputs,
                x.clone().into_buffer_arg(),
                output.clone().into_buffer_arg(),
                work.row,
                work.rows,
                work.units,
                float(x.dtype),
            );
        }
        tensor(output)
    }

    fn gradient(x: &Tensor<5>, gradient: &Tensor<5>) -> Tensor<5> {
        let (x, gradient) = (contiguous(x), contiguous(gradient));
        let output = empty(x.meta.shape().dims::<5>(), x.dtype, &x);
        let work = UnitLayout::new(&x);
        // Safety: as in the forward pass; a unit writes only where it reads x.
        unsafe {
            gradient_kernel::launch_unchecked(
                &output.client,
                cubes(work.units.div_ceil(UNITS), &output),
                CubeDim::new_1d(UNITS as u32),
                indices([&x]),
                2 * work.outputs,
                work.outputs,
                x.clone().into_buffer_arg(),
                gradient.into_buffer_arg(),
                output.clone().into_buffer_arg(),
                work.row,
                work.rows,
                work.units,
                float(x.dtype),
            );
        }
        tensor(output)
    }
}

/// The assignment of outputs to units.
struct UnitLayout {
    /// Outputs per unit.
    outputs: usize,
    /// Units per row of the output.
    row: usize,
    /// Rows per plane of the output.
    rows: usize,
    /// Units in total.
    units: usize,
}

impl UnitLayout {
    fn new(x: &CubeTensor) -> UnitLayout {
        let [b, c, k, j, i] = x.meta.shape().dims::<5>();
        // Vector size of the inputs: two inputs of a row make one output.
        let vector = vector_size(i, x).max(2);
        let (row, rows) = (i / vector, j / 2);
        UnitLayout { outputs: vector / 2, row, rows, units: b * c * (k / 2) * rows * row }
    }
}

/// Returns the index of the first of a unit's four input vectors.
#[cube]
fn first(row: usize, rows: usize) -> usize {
    let line = ABSOLUTE_POS / row;
    // The input has twice the planes and rows, so no term for the channel is needed.
    ((line / rows * 2) * (2 * rows) + line % rows * 2) * row + ABSOLUTE_POS % row
}

/// Returns the offsets of the four input vectors, in memory order.
#[cube]
fn offset(#[comptime] n: usize, row: usize, rows: usize) -> usize {
    (comptime![n / 2] * 2 * rows + comptime![n % 2]) * row
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn forward_kernel<F: Float, N: Size, M: Size>(
    x: &[Vector<F, N>],
    output: &mut [Vector<F, M>],
    row: usize,
    rows: usize,
    units: usize,
    #[define(F)] _float: ElemType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let first = first(row, rows);
    let mut largest = x[first];
    #[unroll]
    for n in 1..4usize {
        let other = x[first + offset(n, row, rows)];
        largest = select_many(other.greater_than(&largest), other, largest);
    }
    let mut y = Vector::<F, M>::empty();
    #[unroll]
    for m in 0..M::value() {
        let (a, b) = (largest.extract(2 * m), largest.extract(2 * m + 1));
        y.insert(m, select(b > a, b, a));
    }
    output[ABSOLUTE_POS] = y;
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn gradient_kernel<F: Float, N: Size, M: Size>(
    x: &[Vector<F, N>],
    gradient: &[Vector<F, M>],
    output: &mut [Vector<F, N>],
    row: usize,
    rows: usize,
    units: usize,
    #[define(F)] _float: ElemType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let first = first(row, rows);
    let gradient = gradient[ABSOLUTE_POS];
    // For each output, the largest input so far and its index among the eight, in memory order.
    let mut largest = Vector::<F, M>::empty();
    let mut places = Vector::<u32, M>::empty();
    #[unroll]
    for n in 0..4usize {
        let values = x[first + offset(n, row, rows)];
        #[unroll]
        for m in 0..M::value() {
            #[unroll]
            for d in 0..2usize {
                let value = values.extract(2 * m + d);
                let place = comptime![(2 * n + d) as u32];
                let is_larger = comptime![n + d == 0] || value > largest.extract(m);
                largest.insert(m, select(is_larger, value, largest.extract(m)));
                places.insert(m, select(is_larger, place, places.extract(m)));
            }
        }
    }
    #[unroll]
    for n in 0..4usize {
        let mut values = Vector::<F, N>::empty();
        #[unroll]
        for m in 0..M::value() {
            #[unroll]
            for d in 0..2usize {
                let is_here = places.extract(m) == comptime![(2 * n + d) as u32];
                values.insert(2 * m + d, select(is_here, gradient.extract(m), F::new(0.0)));
            }
        }
        output[first + offset(n, row, rows)] = values;
    }
}
