//! The gradient of the weight on a GPU. A cube computes all taps of 32 output and 8 input channels
//! over one part of the tiles; a second pass adds the parts.

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::super::super::KernelInput;
use super::super::super::cube::{
    add_partial_sums, arguments, contiguous, cubes, empty, float, indices, map_norm, normalized,
};
use super::super::partials::{self, num_parts};
use super::tile::{BLOCK, Block, GROUPS, OUTSIDE, Point, places};

/// Input channels of a cube. A unit has one of them, one plane of taps and one block of outputs.
const CHANNELS: usize = partials::BLOCK[1];
const UNITS: usize = GROUPS * CHANNELS * 3;

/// Voxels of a tile along i and j. A tile has one plane.
const WIDTH: usize = partials::TILE[0];
const ROWS: usize = partials::TILE[1];
const LINES: usize = ROWS + 2;
const STRIDE: usize = WIDTH + 2;

/// Blocks from one voxel to the next: one more than there are, so that neighbors lie in different
/// memory banks.
const NEXT: usize = GROUPS + 1;

/// Values of one channel's tile with its border, and of one plane of it.
const AREA: usize = 3 * PLANE;
const PLANE: usize = LINES * STRIDE;

/// # Shapes
/// - x: `[b, in, k, j, i]`
/// - gradient: `[b, out, k, j, i]`
/// - output: `[out, in, 3, 3, 3]`
pub fn gradient(source: &KernelInput, gradient: CubeTensor, output: [usize; 5]) -> CubeTensor {
    let x = contiguous(&source.x);
    let (norms, slope) = arguments(source.norm.as_ref());
    let [batch, from, nk, nj, ni] = x.meta.shape().dims();
    let to = output[0];
    let parts = num_parts(from, to, batch, [ni, nj, nk]);
    let (tiles_i, tiles_j) = (ni.div_ceil(WIDTH), nj.div_ceil(ROWS));
    let share = (batch * nk * tiles_j * tiles_i).div_ceil(parts);
    let partials = empty([1, parts, to * from * 27], DType::F32, &x);
    let blocks = [to.div_ceil(GROUPS * BLOCK), from.div_ceil(CHANNELS)];
    let shape = ShapeLaunch::new(
        batch, from, to, ni, nj, nk, tiles_i, tiles_j, share, parts, blocks[0], blocks[1],
    );
    // Safety: a unit reads inside the feature maps and writes its own sums.
    unsafe {
        gradient_kernel::launch_unchecked(
            &x.client,
            cubes(parts * blocks[0] * blocks[1], &x),
            CubeDim::new_1d(UNITS as u32),
            indices([&x, &gradient, &partials]),
            x.clone().into_buffer_arg(),
            gradient.into_buffer_arg(),
            norms,
            partials.clone().into_buffer_arg(),
            shape,
            slope,
            float(x.dtype),
        );
    }
    add_partial_sums(partials, output, x.dtype)
}

#[derive(CubeLaunch, CubeType)]
struct Shape {
    batch: usize,
    from: usize,
    to: usize,
    ni: usize,
    nj: usize,
    nk: usize,
    tiles_i: usize,
    tiles_j: usize,
    /// Tiles per part.
    share: usize,
    parts: usize,
    blocks_to: usize,
    blocks_from: usize,
}

/// Computes `partials[part, o, c, t] = Σ_v gradient[o, v] · x[c, v + t − 1]` over the voxels of the
/// part.
#[cube(launch_unchecked, address_type = "dynamic")]
fn gradient_kernel<F: Float>(
    x: &[F],
    gradient: &[F],
    norms: ComptimeOption<&[f32]>,
    partials: &mut [f32],
    shape: Shape,
    slope: f32,
    #[define(F)] _float: ElemType,
) {
    let block_to = CUBE_POS % shape.blocks_to;
    let block_from = CUBE_POS / shape.blocks_to % shape.blocks_from;
    let part = CUBE_POS / (shape.blocks_to * shape.blocks_from);
    if part >= shape.parts {
        terminate!();
    }
    let unit = UNIT_POS as usize;
    let group = unit % GROUPS;
    let (channel, dk) = (unit / GROUPS % CHANNELS, unit / comptime![GROUPS * CHANNELS]);
    let mut sums = Array::<Block>::new(9usize);
    #[unroll]
    for tap in 0..9usize {
        sums[tap] = Block::new(0.0);
    }
    let mut maps = Shared::<[f32]>::new_slice(comptime![CHANNELS * AREA]);
    let mut gradients = Shared::<[Block]>::new_slice(comptime![ROWS * WIDTH * NEXT]);
    let tiles = shape.batch * shape.nk * shape.tiles_j * shape.tiles_i;
    let end = min((part + 1) * shape.share, tiles);
    for tile in part * shape.share..end {
        let corner = Point {
            i: (tile % shape.tiles_i * WIDTH) as u32,
            j: (tile / shape.tiles_i % shape.tiles_j * ROWS) as u32,
            k: (tile / (shape.tiles_i * shape.tiles_j) % shape.nk) as u32,
        };
        let item = tile / (shape.tiles_i * shape.tiles_j * shape.nk);
        sync_cube();
        load_maps::<F>(
            x,
            &norms,
            slope,
            &mut maps,
            &shape,
            item * shape.from,
            block_from * CHANNELS,
            &corner,
        );
        load_gradients::<F>(
            gradient,
            &mut gradients,
            &shape,
            item * shape.to,
            block_to * GROUPS * BLOCK,
            &corner,
        );
        sync_cube();
        for row in 0..ROWS {
            let start = channel * AREA + dk * PLANE + row * STRIDE;
            // Three columns of three rows; the newest column replaces the oldest.
            let mut seen = Array::<f32>::new(9usize);
            #[unroll]
            for dj in 0..3usize {
                seen[comptime![dj * 3]] = maps[start + dj * STRIDE];
                seen[comptime![dj * 3 + 1]] = maps[start + dj * STRIDE + 1];
            }
            #[unroll]
            for column in 0..WIDTH {
                let gradient = gradients[(row * WIDTH + column) * NEXT + group];
                #[unroll]
                for dj in 0..3usize {
                    let newest = comptime![dj * 3 + (column + 2) % 3];
                    seen[newest] = maps[start + dj * STRIDE + column + 2];
                    #[unroll]
                    for di in 0..3usize {
                        let value = seen[comptime![dj * 3 + (column + di) % 3]];
                        sums[comptime![dj * 3 + di]] += gradient * Block::new(value);
                    }
                }
            }
        }
    }
    let input = block_from * CHANNELS + channel;
    let first = (block_to * GROUPS + group) * BLOCK;
    #[unroll]
    for tap in 0..9usize {
        let sum = sums[tap];
        #[unroll]
        for n in 0..BLOCK {
            if first + n < shape.to && input < shape.from {
                let kernel = (part * shape.to + first + n) * shape.from + input;
                partials[kernel * 27 + dk * 9 + tap] = sum.extract(n);
            }
        }
    }
}

/// Loads a tile of some channels and its border into shared memory, normalized. Zeros outside the
/// volume and beyond the channels.
#[cube]
fn load_maps<F: Float>(
    x: &[F],
    norms: &ComptimeOption<&[f32]>,
    slope: f32,
    maps: &mut Shared<[f32]>,
    shape: &Shape,
    first_map: usize,
    first_channel: usize,
    corner: &Point,
) {
    let voxels = shape.ni * shape.nj * shape.nk;
    let dims = Point { i: shape.ni as u32, j: shape.nj as u32, k: shape.nk as u32 };
    let places =
        places(&dims, corner, comptime![STRIDE as u32], comptime![LINES as u32], AREA, UNITS);
    for channel in 0..CHANNELS {
        let is_channel = first_channel + channel < shape.from;
        // Beyond the last channel an existing channel is read and not used.
        let map = first_map + min(first_channel + channel, shape.from - 1);
        let (start, norm) = (map * voxels, map_norm(norms, map, slope));
        #[unroll]
        for n in 0..comptime![AREA.div_ceil(UNITS)] {
            let at = UNIT_POS as usize + comptime![n * UNITS];
            if at < AREA {
                let mut value = 0.0f32;
                if is_channel && places[n] != OUTSIDE {
                    value = f32::cast_from(x[start + places[n] as usize]);
                    if comptime![norms.is_some()] {
                        value = normalized(value, &norm);
                    }
                }
                maps[channel * AREA + at] = value;
            }
        }
    }
}

/// Loads the gradients of a tile into shared memory, with the outputs of a block side by side.
/// Zeros outside the volume and beyond the outputs.
#[cube]
fn load_gradients<F: Float>(
    gradient: &[F],
    gradients: &mut Shared<[Block]>,
    shape: &Shape,
    first_map: usize,
    first_output: usize,
    corner: &Point,
) {
    let mut at = UNIT_POS as usize;
    while at < comptime![ROWS * WIDTH * GROUPS] {
        // Neighbors in a row go to neighboring units, so that memory accesses are coalesced.
        let voxel = at % comptime![ROWS * WIDTH];
        let group = at / comptime![ROWS * WIDTH];
        let i = corner.i as usize + voxel % WIDTH;
        let j = corner.j as usize + voxel / WIDTH;
        let mut block = Block::new(0.0);
        #[unroll]
        for n in 0..BLOCK {
            let output = first_output + group * BLOCK + n;
            if i < shape.ni && j < shape.nj && output < shape.to {
                let map = (first_map + output) * shape.nk + corner.k as usize;
                let value = gradient[(map * shape.nj + j) * shape.ni + i];
                block.insert(n, f32::cast_from(value));
            }
        }
        gradients[voxel * NEXT + group] = block;
        at += UNITS;
    }
}
