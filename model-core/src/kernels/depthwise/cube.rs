//! Depthwise 3³ convolution on a GPU. A cube covers a tile of rows and marches along k, so that a
//! voxel is read once into shared memory and serves all taps from there.
//!
//! A unit holds the sums of some rows of a column. The next plane is loaded while the current one
//! is computed. Shared memory holds the tile twice, which saves one barrier per plane.

mod weight;

use burn::Tensor;
use burn::backend::Cube;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::super::KernelInput;
use super::super::cube::{
    ChannelAffine, UNITS, arguments, contiguous, cubes, empty, float, indices, map_norm,
    normalized, tensor,
};
use super::super::memory::BUSY_CUBES;
use super::DepthwiseConvKernels;

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

/// Division of the channels among cubes.
struct MarchPlan {
    maps: usize,
    channels: usize,
    dims: [usize; 3],
    /// Voxels of a tile along i.
    width: usize,
    /// Rows of a unit.
    rows: usize,
    tiles: [usize; 2],
    /// Planes that a cube marches through, and the number of such slabs per channel.
    slab: usize,
    slabs: usize,
}

impl MarchPlan {
    fn new(x: &CubeTensor, most_rows: usize) -> Self {
        let [batch, channels, nk, nj, ni] = x.meta.shape().dims();
        assert!(ni * nj < u32::MAX as usize, "planes of fewer than 2³² voxels, found {ni} × {nj}");
        let maps = batch * channels;
        let width = if ni > 16 { 32 } else { 16 };
        let lines = UNITS / width;
        let rows = nj.div_ceil(lines).next_power_of_two().min(most_rows);
        let tiles = [ni.div_ceil(width), nj.div_ceil(lines * rows)];
        // A slab reads two planes more than it writes.
        let wanted = BUSY_CUBES.div_ceil(maps * tiles[0] * tiles[1]).min(nk.div_ceil(8));
        let slab = nk.div_ceil(wanted);
        let slabs = nk.div_ceil(slab);
        MarchPlan { maps, channels, dims: [ni, nj, nk], width, rows, tiles, slab, slabs }
    }

    /// Returns the number of cubes per channel.
    fn spots(&self) -> usize {
        self.tiles[0] * self.tiles[1] * self.slabs
    }

    fn march(&self) -> MarchLaunch {
        let ([ni, nj, nk], [tiles_i, tiles_j]) = (self.dims, self.tiles);
        let (maps, channels, slab) = (self.maps, self.channels, self.slab);
        MarchLaunch::new(maps, channels, ni, nj, nk, tiles_i, tiles_j, slab, self.slabs)
    }
}

#[derive(CubeLaunch, CubeType)]
struct March {
    maps: usize,
    channels: usize,
    ni: usize,
    nj: usize,
    nk: usize,
    tiles_i: usize,
    tiles_j: usize,
    slab: usize,
    slabs: usize,
}

/// The position of a cube: its channel, the first voxel of its tile, and its planes.
#[derive(CubeType)]
struct TileOrigin {
    map: usize,
    /// Number among the cubes of the channel.
    number: usize,
    i: u32,
    j: u32,
    first: usize,
    count: usize,
}

#[cube]
fn spot(march: &March, #[comptime] width: usize, #[comptime] height: usize) -> TileOrigin {
    let spots = march.tiles_i * march.tiles_j * march.slabs;
    let number = CUBE_POS % spots;
    let tile_i = number % march.tiles_i;
    let tile_j = number / march.tiles_i % march.tiles_j;
    let first = number / (march.tiles_i * march.tiles_j) * march.slab;
    TileOrigin {
        map: CUBE_POS / spots,
        number,
        i: (tile_i * width) as u32,
        j: (tile_j * height) as u32,
        first,
        count: min(march.slab, march.nk - first),
    }
}

/// Marks an index outside the plane.
const OUTSIDE: u32 = u32::MAX;

/// Returns the indices within a plane of the values that a unit loads for the tile and its border
/// of one voxel.
#[cube]
fn places(
    march: &March,
    spot: &TileOrigin,
    #[comptime] width: usize,
    #[comptime] area: usize,
) -> Array<u32> {
    let loads = comptime![area.div_ceil(UNITS)];
    let stride = comptime![(width + 2) as u32];
    let mut places = Array::<u32>::new(loads);
    #[unroll]
    for n in 0..loads {
        let at = UNIT_POS + comptime![(n * UNITS) as u32];
        // Indices are shifted by one, so that none is negative.
        let i = spot.i + at % stride;
        let j = spot.j + at / stride;
        let is_voxel = at < comptime![area as u32]
            && i >= 1
            && j >= 1
            && i <= march.ni as u32
            && j <= march.nj as u32;
        // Wraps around outside the plane, where the value is not used.
        let place = (j - 1) * march.ni as u32 + i - 1;
        places[n] = select(is_voxel, place, OUTSIDE.runtime());
    }
    places
}

/// Starts to load a unit's values of plane `plane` − 1; zeros outside the volume.
#[cube]
fn fetch<F: Float>(
    x: &[F],
    next: &mut Array<F>,
    places: &Array<u32>,
    march: &March,
    map: usize,
    plane: usize,
    #[comptime] loads: usize,
) {
    let is_plane = plane >= 1 && plane <= march.nk;
    let start = (map * march.nk + plane - 1) * (march.ni * march.nj);
    #[unroll]
    for n in 0..loads {
        next[n] = F::new(0.0);
        if is_plane && places[n] != OUTSIDE {
            next[n] = x[start + places[n] as usize];
        }
    }
}

/// Stores the loaded values of plane `plane` − 1 in the tile, normalized. Values outside the volume
/// stay zero.
#[cube]
fn put<F: Float>(
    tile: &mut Shared<[f32]>,
    next: &Array<F>,
    start: usize,
    places: &Array<u32>,
    march: &March,
    plane: usize,
    norm: &ChannelAffine,
    #[comptime] area: usize,
    #[comptime] is_normed: bool,
) {
    let is_plane = plane >= 1 && plane <= march.nk;
    #[unroll]
    for n in 0..comptime![area.div_ceil(UNITS)] {
        let at = UNIT_POS as usize + comptime![n * UNITS];
        if at < area {
            let mut value = f32::cast_from(next[n]);
            if comptime![is_normed] {
                let is_voxel = is_plane && places[n] != OUTSIDE;
                value = select(is_voxel, normalized(value, norm), 0.0f32);
            }
            tile[start + at] = value;
        }
    }
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
