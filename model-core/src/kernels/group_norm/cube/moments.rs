//! Mean and deviation of every group on a GPU: Welford updates in each unit, merged by Chan's
//! formula (Chan, Golub and LeVeque 1983). No sum of squares is taken far from zero, and no sum
//! runs over millions of values.

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::super::super::cube::{UNITS, cubes, empty, float, indices, vector_size};
use super::super::Layout;
use super::run_split::{RunSplit, STRIDES};
use crate::network::config::NORM_EPSILON;

/// # Shapes
/// - output: `[b · groups, 2]`, mean and 1 / deviation
pub fn statistics(x: CubeTensor, layout: Layout) -> CubeTensor {
    let batch = x.meta.shape()[0];
    let rows = batch * layout.groups;
    let cut = RunSplit::new(vector_size(layout.group_size(), &x), layout.group_size(), rows);
    let partials = empty([rows, cut.parts, 3], DType::F32, &x);
    let output = empty([rows, 2], DType::F32, &x);
    let client = x.client.clone();
    // Safety: a cube reads its part of one group and writes its own three values; one unit per
    // group then reads them.
    unsafe {
        moments_kernel::launch_unchecked(
            &client,
            cubes(cut.cubes, &x),
            CubeDim::new_1d(UNITS as u32),
            indices([&x]),
            cut.vector,
            x.clone().into_buffer_arg(),
            partials.clone().into_buffer_arg(),
            cut.run,
            cut.parts,
            cut.cubes,
            float(x.dtype),
        );
        merge_kernel::launch_unchecked(
            &client,
            cubes(rows, &x),
            CubeDim::new_1d(UNITS as u32),
            indices([&x]),
            x.clone().into_buffer_arg(),
            partials.into_buffer_arg(),
            output.clone().into_buffer_arg(),
            layout.group_size(),
            cut.parts,
            rows,
            NORM_EPSILON,
            float(x.dtype),
        );
    }
    output
}

/// Count, mean, and sum of squared differences from the mean.
#[derive(CubeType, Clone, Copy)]
struct Moments {
    count: f32,
    mean: f32,
    squares: f32,
}

/// Merges the moments of two sets of values.
#[cube]
fn merged(a: Moments, b: Moments) -> Moments {
    let count = a.count + b.count;
    let share = b.count / max(count, 1.0f32);
    let difference = b.mean - a.mean;
    Moments {
        count,
        mean: a.mean + difference * share,
        squares: a.squares + b.squares + difference * difference * a.count * share,
    }
}

/// Merges the moments of all units of a cube into the first unit.
#[cube]
fn merged_units(moments: Moments) -> Moments {
    let unit = UNIT_POS as usize;
    let mut counts = Shared::<[f32]>::new_slice(UNITS);
    let mut means = Shared::<[f32]>::new_slice(UNITS);
    let mut squares = Shared::<[f32]>::new_slice(UNITS);
    counts[unit] = moments.count;
    means[unit] = moments.mean;
    squares[unit] = moments.squares;
    sync_cube();
    #[unroll]
    for halving in 1..=comptime![UNITS.ilog2()] {
        let width = comptime![UNITS >> halving];
        if unit < width {
            let other = unit + width;
            let both = merged(
                Moments { count: counts[unit], mean: means[unit], squares: squares[unit] },
                Moments { count: counts[other], mean: means[other], squares: squares[other] },
            );
            counts[unit] = both.count;
            means[unit] = both.mean;
            squares[unit] = both.squares;
        }
        sync_cube();
    }
    Moments { count: counts[0], mean: means[0], squares: squares[0] }
}

/// Computes the moments of every part of every group, relative to the group's first value: values
/// far from zero keep more digits as differences.
#[cube(launch_unchecked, address_type = "dynamic")]
fn moments_kernel<F: Float, N: Size>(
    x: &[Vector<F, N>],
    partials: &mut [f32],
    run: usize,
    parts: usize,
    num_cubes: usize,
    #[define(F)] _float: ElemType,
) {
    if CUBE_POS >= num_cubes {
        terminate!();
    }
    let first = CUBE_POS / parts * run;
    let start = CUBE_POS % parts * comptime![UNITS * STRIDES];
    let end = min(start + comptime![UNITS * STRIDES], run);
    let pivot = f32::cast_from(x[first].extract(0usize));
    let mut count = 0.0f32;
    let mut mean = Vector::<f32, N>::new(0.0);
    let mut squares = Vector::<f32, N>::new(0.0);
    let mut at = start + UNIT_POS as usize;
    while at < end {
        count += 1.0;
        let value = Vector::<f32, N>::cast_from(x[first + at]) - Vector::new(pivot);
        let difference = value - mean;
        mean += difference * Vector::new(1.0 / count);
        squares += difference * (value - mean);
        at += UNITS;
    }
    let mut count_of_all = 0.0f32;
    let mut mean_of_all = 0.0f32;
    let mut squares_of_all = 0.0f32;
    #[unroll]
    for lane in 0..N::value() {
        let both = merged(
            Moments { count: count_of_all, mean: mean_of_all, squares: squares_of_all },
            Moments { count, mean: mean.extract(lane), squares: squares.extract(lane) },
        );
        count_of_all = both.count;
        mean_of_all = both.mean;
        squares_of_all = both.squares;
    }
    let all =
        merged_units(Moments { count: count_of_all, mean: mean_of_all, squares: squares_of_all });
    if UNIT_POS == 0 {
        partials[3 * CUBE_POS] = all.count;
        partials[3 * CUBE_POS + 1] = all.mean;
        partials[3 * CUBE_POS + 2] = all.squares;
    }
}

/// Merges the parts of a group into its mean and 1 / deviation.
#[cube(launch_unchecked, address_type = "dynamic")]
fn merge_kernel<F: Float>(
    x: &[F],
    partials: &[f32],
    output: &mut [f32],
    group_size: usize,
    parts: usize,
    rows: usize,
    epsilon: f32,
    #[define(F)] _float: ElemType,
) {
    if CUBE_POS >= rows {
        terminate!();
    }
    let mut count = 0.0f32;
    let mut mean = 0.0f32;
    let mut squares = 0.0f32;
    let mut part = UNIT_POS as usize;
    while part < parts {
        let at = 3 * (CUBE_POS * parts + part);
        let both = merged(
            Moments { count, mean, squares },
            Moments { count: partials[at], mean: partials[at + 1], squares: partials[at + 2] },
        );
        count = both.count;
        mean = both.mean;
        squares = both.squares;
        part += UNITS;
    }
    let all = merged_units(Moments { count, mean, squares });
    if UNIT_POS == 0 {
        let variance = all.squares / all.count;
        output[2 * CUBE_POS] = f32::cast_from(x[CUBE_POS * group_size]) + all.mean;
        output[2 * CUBE_POS + 1] = (variance + epsilon).inverse_sqrt();
    }
}
