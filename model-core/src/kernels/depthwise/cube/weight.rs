//! The gradient of the weight on a GPU, all 27 taps in one march. A second pass adds the sums of
//! the cubes.

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::super::super::KernelInput;
use super::super::super::cube::{
    UNITS, add_partial_sums, arguments, contiguous, cubes, empty, float, indices, map_norm,
};
use super::march::{March, MarchPlan, fetch, places, put, spot};

/// # Shapes
/// - x, gradient: `[b, c, k, j, i]`
/// - output: `[c, 3, 3, 3]`
pub fn gradient(source: &KernelInput, gradient: CubeTensor) -> CubeTensor {
    let x = contiguous(&source.x);
    let (norms, slope) = arguments(source.norm.as_ref());
    let plan = MarchPlan::new(&x, 2);
    let batch = plan.maps / plan.channels;
    let parts = batch * plan.spots();
    let partials = empty([plan.channels, parts, 27], DType::F32, &x);
    // Safety: a unit reads inside the feature maps, and each cube writes its own 27 sums.
    unsafe {
        weight_kernel::launch_unchecked(
            &x.client,
            cubes(plan.channels * parts, &x),
            CubeDim::new_1d(UNITS as u32),
            indices([&x, &partials]),
            x.clone().into_buffer_arg(),
            gradient.into_buffer_arg(),
            norms,
            partials.clone().into_buffer_arg(),
            plan.march(),
            slope,
            batch,
            plan.width,
            plan.rows,
            float(x.dtype),
        );
    }
    add_partial_sums(partials, [plan.channels, 3, 3, 3], x.dtype)
}

/// Sums `gradient[v] · x[v + t − 1]` over a cube's tile and slab, for all 27 taps.
///
/// # Shapes
/// - partials: `[c, b · spot, 27]`
#[cube(launch_unchecked, address_type = "dynamic")]
fn weight_kernel<F: Float>(
    x: &[F],
    gradient: &[F],
    norms: ComptimeOption<&[f32]>,
    partials: &mut [f32],
    march: March,
    slope: f32,
    batch: usize,
    #[comptime] width: usize,
    #[comptime] rows: usize,
    #[define(F)] _float: ElemType,
) {
    let height = comptime![UNITS / width * rows];
    let area = comptime![(width + 2) * (height + 2)];
    let loads = comptime![area.div_ceil(UNITS)];
    let spot = spot(&march, width, height);
    if spot.map >= march.maps {
        terminate!();
    }
    let is_normed = comptime![norms.is_some()];
    let norm = map_norm(&norms, spot.map, slope);
    let places = places(&march, &spot, width, area);
    // At the end the same memory holds the sums of nine taps.
    let mut tile = Shared::<[f32]>::new_slice(comptime![Ord::max(2 * area, 9 * UNITS)]);
    let mut next = Array::<F>::new(loads);
    fetch::<F>(x, &mut next, &places, &march, spot.map, spot.first, loads);

    let (column, row) = (UNIT_POS as usize % width, UNIT_POS as usize / width * rows);
    let (i, j) = (spot.i as usize + column, spot.j as usize + row);
    // Gradients of the plane before, at and after the current plane of x.
    let mut before = Array::<f32>::new(rows);
    let mut here = Array::<f32>::new(rows);
    let mut after = Array::<f32>::new(rows);
    let mut sums = Array::<f32>::new(27usize);
    for step in 0..spot.count + 2 {
        let start = step % 2 * area;
        let at_plane = spot.first + step;
        put::<F>(&mut tile, &next, start, &places, &march, at_plane, &norm, area, is_normed);
        let plane = spot.map * march.nk + spot.first + step;
        #[unroll]
        for r in 0..rows {
            before[r] = here[r];
            here[r] = after[r];
            after[r] = 0.0;
            if step < spot.count && i < march.ni && j + r < march.nj {
                after[r] = f32::cast_from(gradient[(plane * march.nj + j + r) * march.ni + i]);
            }
        }
        sync_cube();
        fetch::<F>(x, &mut next, &places, &march, spot.map, at_plane + 1, loads);
        #[unroll]
        for line in 0..rows + 2 {
            #[unroll]
            for di in 0..3usize {
                let value = tile[start + (row + line) * (width + 2) + column + di];
                #[unroll]
                for dj in 0..3usize {
                    if comptime![line >= dj && line < dj + rows] {
                        let r = comptime![line - dj];
                        sums[comptime![dj * 3 + di]] += after[r] * value;
                        sums[comptime![9 + dj * 3 + di]] += here[r] * value;
                        sums[comptime![18 + dj * 3 + di]] += before[r] * value;
                    }
                }
            }
        }
    }
    let (map, channel) = (spot.map / march.channels, spot.map % march.channels);
    let spots = march.tiles_i * march.tiles_j * march.slabs;
    let part = ((channel * batch + map) * spots + spot.number) * 27;
    #[unroll]
    for dk in 0..3usize {
        add_units(&mut tile, &sums, partials, part, dk);
    }
}

/// Adds the units' sums of the taps of plane `dk`: 16 at a time per tap, then the results.
#[cube]
fn add_units(
    memory: &mut Shared<[f32]>,
    sums: &Array<f32>,
    partials: &mut [f32],
    part: usize,
    #[comptime] dk: usize,
) {
    let unit = UNIT_POS as usize;
    let lanes = comptime![UNITS / 16];
    sync_cube();
    #[unroll]
    for tap in 0..9usize {
        memory[tap * UNITS + unit] = sums[comptime![dk * 9 + tap]];
    }
    sync_cube();
    let mut sum = 0.0f32;
    if unit < 9 * lanes {
        let start = unit / lanes * UNITS + unit % lanes;
        for n in 0..16usize {
            sum += memory[start + n * lanes];
        }
    }
    sync_cube();
    if unit < 9 * lanes {
        memory[unit] = sum;
    }
    sync_cube();
    if unit < 9 {
        let mut sum = 0.0f32;
        for lane in 0..lanes {
            sum += memory[unit * lanes + lane];
        }
        partials[part + dk * 9 + unit] = sum;
    }
}
