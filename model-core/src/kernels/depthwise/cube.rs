//! Depthwise 3³ convolution on a GPU. A cube covers a tile of rows and marches along k, so that a
//! voxel is read once into shared memory and serves all taps from there.
//!
//! A unit holds the sums of some rows of a column. The next plane is loaded while the current one
//! is computed. Shared memory holds the tile twice, which saves one barrier per plane.

// A kernel takes its buffers and sizes one by one.
#![allow(clippy::too_many_arguments)]

mod march;
mod weight;

use burn::Tensor;
use burn::backend::Cube;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::super::KernelInput;
use super::super::cube::{
    UNITS, arguments, contiguous, cubes, empty, float, indices, map_norm, tensor,
};
use super::DepthwiseConvKernels;
use march::{March, MarchPlan, fetch, places, put, spot};

impl DepthwiseConvKernels for Cube {
    fn forward(x: &KernelInput, weight: &Tensor<4>) -> Tensor<5> {
        convolve(x, weight, false)
    }

    fn input_gradient(gradient: Tensor<5>, weight: &Tensor<4>) -> Tensor<5> {
        convolve(&gradient.into(), weight, true)
    }

    fn weight_gradient(x: &KernelInput, gradient: &Tensor<5>) -> Tensor<4> {
        tensor(weight::gradient(x, contiguous(gradient)))
    }
}

fn convolve(source: &KernelInput, weight: &Tensor<4>, is_mirrored: bool) -> Tensor<5> {
    let (shape, x, weight) = (source.x.dims(), contiguous(&source.x), contiguous(weight));
    let (norms, slope) = arguments(source.norm.as_ref());
    let plan = MarchPlan::new(&x, 4);
    let output = empty(shape, x.dtype, &x);
    // Safety: a unit reads inside the feature maps and writes its own voxels.
    unsafe {
        convolve_kernel::launch_unchecked(
            &output.client,
            cubes(plan.maps * plan.spots(), &x),
            CubeDim::new_1d(UNITS as u32),
            indices([&x, &output]),
            x.clone().into_buffer_arg(),
            weight.into_buffer_arg(),
            norms,
            output.clone().into_buffer_arg(),
            plan.march(),
            slope,
            plan.width,
            plan.rows,
            is_mirrored,
            float(x.dtype),
        );
    }
    tensor(output)
}

/// Computes `output[v] = Σ_t weight[t] · x[v + t − 1]`, with an optional norm of x and optionally
/// with reversed taps.
#[cube(launch_unchecked, address_type = "dynamic")]
fn convolve_kernel<F: Float>(
    x: &[F],
    weight: &[F],
    norms: ComptimeOption<&[f32]>,
    output: &mut [F],
    march: March,
    slope: f32,
    #[comptime] width: usize,
    #[comptime] rows: usize,
    #[comptime] is_mirrored: bool,
    #[define(F)] _float: ElemType,
) {
    let height = comptime![UNITS / width * rows];
    let area = comptime![(width + 2) * (height + 2)];
    let loads = comptime![area.div_ceil(UNITS)];
    let spot = spot(&march, width, height);
    if spot.map >= march.maps {
        terminate!();
    }
    let mut weights = Array::<f32>::new(27usize);
    #[unroll]
    for tap in 0..27usize {
        let from = comptime![if is_mirrored { 26 - tap } else { tap }];
        weights[tap] = f32::cast_from(weight[spot.map % march.channels * 27 + from]);
    }
    let is_normed = comptime![norms.is_some()];
    let norm = map_norm(&norms, spot.map, slope);
    let places = places(&march, &spot, width, area);
    let mut tile = Shared::<[f32]>::new_slice(comptime![2 * area]);
    let mut next = Array::<F>::new(loads);
    fetch::<F>(x, &mut next, &places, &march, spot.map, spot.first, loads);

    let (column, row) = (UNIT_POS as usize % width, UNIT_POS as usize / width * rows);
    let (i, j) = (spot.i as usize + column, spot.j as usize + row);
    // Sums of the previous, the current and the next output plane.
    let mut before = Array::<f32>::new(rows);
    let mut here = Array::<f32>::new(rows);
    let mut after = Array::<f32>::new(rows);
    for step in 0..spot.count + 2 {
        let start = step % 2 * area;
        let plane = spot.first + step;
        put::<F>(&mut tile, &next, start, &places, &march, plane, &norm, area, is_normed);
        sync_cube();
        fetch::<F>(x, &mut next, &places, &march, spot.map, plane + 1, loads);
        #[unroll]
        for r in 0..rows {
            before[r] = here[r];
            here[r] = after[r];
            after[r] = 0.0;
        }
        #[unroll]
        for line in 0..rows + 2 {
            #[unroll]
            for di in 0..3usize {
                let value = tile[start + (row + line) * (width + 2) + column + di];
                #[unroll]
                for dj in 0..3usize {
                    if comptime![line >= dj && line < dj + rows] {
                        let r = comptime![line - dj];
                        before[r] += weights[comptime![18 + dj * 3 + di]] * value;
                        here[r] += weights[comptime![9 + dj * 3 + di]] * value;
                        after[r] += weights[comptime![dj * 3 + di]] * value;
                    }
                }
            }
        }
        if step >= 2 && i < march.ni {
            let plane = spot.map * march.nk + spot.first + step - 2;
            #[unroll]
            for r in 0..rows {
                if j + r < march.nj {
                    output[(plane * march.nj + j + r) * march.ni + i] = F::cast_from(before[r]);
                }
            }
        }
    }
}
