//! Dense 3³ convolution on the CPU. The sums of one block of outputs and one run of voxels stay in
//! registers while the loop passes over channels and taps.

mod tile;
mod weight;

use multiversion::{multiversion, target::match_target};
use rayon::prelude::*;

use super::super::cpu::Channels;
pub use tile::Shape;
use tile::{Tile, multiply_add};
pub use weight::weight_gradient;

/// Output channels that share each loaded voxel.
const BLOCK: usize = 6;

/// Values of a tile: the padded values of all channels and the sums of a block. A tile fits a
/// core's own cache.
const TILE_VALUES: usize = 3 << 15;

/// Computes `output[o, v] = Σ_c Σ_t weight[o, c, t] · x[c, v + t − 1]`.
///
/// # Shapes
/// - x: `[b, in, k, j, i]`
/// - weight: `[out, in, 3, 3, 3]`
/// - output: `[b, out, k, j, i]`
pub fn forward(x: &Channels, weight: &[f32], shape: Shape) -> Vec<f32> {
    let packed = pack(shape, |o, c, tap| weight[(o * shape.input + c) * 27 + tap]);
    convolve(x, &packed, shape)
}

/// Computes the gradient of the input: the same convolution from outputs to inputs, with mirrored
/// kernels.
///
/// # Shapes
/// - gradient: `[b, out, k, j, i]`
/// - weight: `[out, in, 3, 3, 3]`
/// - output: `[b, in, k, j, i]`
pub fn input_gradient(gradient: &Channels, weight: &[f32], shape: Shape) -> Vec<f32> {
    let back = Shape { input: shape.output, output: shape.input, ..shape };
    let packed = pack(back, |o, c, tap| weight[(c * shape.input + o) * 27 + 26 - tap]);
    convolve(gradient, &packed, back)
}

/// Packs the weights in the order of use, `[block, in, tap, output of the block]`, with zeros
/// beyond the last output.
fn pack(shape: Shape, weight: impl Fn(usize, usize, usize) -> f32 + Sync) -> Vec<f32> {
    let each = shape.input * 27 * BLOCK;
    let mut packed = vec![0.0; shape.output.div_ceil(BLOCK) * each];
    packed.par_chunks_exact_mut(each).enumerate().for_each(|(block, packed)| {
        for (c, packed) in packed.as_chunks_mut::<{ 27 * BLOCK }>().0.iter_mut().enumerate() {
            for o in 0..BLOCK.min(shape.output - block * BLOCK) {
                for tap in 0..27 {
                    packed[tap * BLOCK + o] = weight(block * BLOCK + o, c, tap);
                }
            }
        }
    });
    packed
}

/// Convolves planes in parallel, and blocks of outputs if there are few planes.
fn convolve(x: &Channels, weight: &[f32], shape: Shape) -> Vec<f32> {
    let Shape { input, output, dims: [_, _, nk] } = shape;
    let blocks = output.div_ceil(BLOCK);
    let batch = x.len() / (input * nk * shape.plane());
    let mut y = vec![0.0; batch * output * nk * shape.plane()];
    let groups = (4 * rayon::current_num_threads()).div_ceil(batch * nk).min(blocks);
    let group = blocks.div_ceil(groups);
    let groups = blocks.div_ceil(group);
    // The output planes of each task, one per output channel.
    let mut tasks: Vec<Vec<&mut [f32]>> = Vec::new();
    tasks.resize_with(batch * nk * groups, Vec::new);
    for (n, plane) in y.chunks_exact_mut(shape.plane()).enumerate() {
        let (map, k) = (n / nk, n % nk);
        let (item, o) = (map / output, map % output);
        tasks[(item * nk + k) * groups + o / (group * BLOCK)].push(plane);
    }
    tasks.into_par_iter().enumerate().for_each(|(n, mut planes)| {
        let (k, first_map) = (n / groups % nk, n / groups / nk * input);
        let weight = &weight[n % groups * group * input * 27 * BLOCK..];
        convolve_plane(&mut planes, x, first_map, weight, shape, k);
    });
    y
}

/// Convolves plane `k` of some outputs, tile by tile. `first_map` is the sample's first channel.
fn convolve_plane(
    planes: &mut [&mut [f32]],
    x: &Channels,
    first_map: usize,
    weight: &[f32],
    shape: Shape,
    k: usize,
) {
    let voxels = shape.plane() * shape.dims[2];
    let halo = 2 * shape.stride() + 2;
    let most = (TILE_VALUES / (3 * shape.input + BLOCK)).saturating_sub(halo);
    // A tile is at least as long as its halo, which is copied once per tile.
    let tile_len = shape.tile_len(most.max(halo));
    let padded_len = shape.tile(tile_len, 0).padded_len();
    let mut padded = vec![0.0; shape.input * 3 * padded_len];
    let mut sums = vec![0.0; BLOCK * tile_len];
    for first in (0..shape.positions()).step_by(tile_len) {
        for (n, padded) in padded.chunks_exact_mut(padded_len).enumerate() {
            shape.pad(padded, x.map(first_map + n / 3, voxels), k + n % 3, first);
        }
        let tile = shape.tile(tile_len, first);
        let weights = weight.chunks_exact(shape.input * 27 * BLOCK);
        for (planes, weight) in planes.chunks_mut(BLOCK).zip(weights) {
            convolve_tile(&mut sums, &padded, weight, tile);
            for (plane, sums) in planes.iter_mut().zip(sums.chunks_exact(tile_len)) {
                shape.row_segments(first, tile.positions, 0, |from, at, len| {
                    plane[at..at + len].copy_from_slice(&sums[from..from + len]);
                });
            }
        }
    }
}

/// Convolves a block of outputs on a tile, two vector registers at a time.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma", "aarch64+neon"))]
fn convolve_tile(sums: &mut [f32], x: &[f32], weight: &[f32], tile: Tile) {
    match_target! {
        "x86_64+avx512f" => convolve_runs::<32, true>(sums, x, weight, tile),
        "x86_64+avx2+fma" => convolve_runs::<16, true>(sums, x, weight, tile),
        "aarch64+neon" => convolve_runs::<16, true>(sums, x, weight, tile),
        _ => convolve_runs::<8, false>(sums, x, weight, tile),
    }
}

/// # Shapes
/// - sums: `[output of the block, position]`
/// - x: `[in, 3, position]`
/// - weight: `[in, tap, output of the block]`
#[inline(always)]
fn convolve_runs<const WIDTH: usize, const FUSED: bool>(
    sums: &mut [f32],
    x: &[f32],
    weight: &[f32],
    tile: Tile,
) {
    // An array of offsets keeps this loop from being unrolled, which would spill the sums.
    let offsets: [usize; 27] = std::array::from_fn(|tap| {
        tap / 9 * tile.padded_len() + tap / 3 % 3 * tile.stride + tap % 3
    });
    let mut rows: [&mut [[f32; WIDTH]]; BLOCK] = Default::default();
    for (row, sums) in rows.iter_mut().zip(sums.chunks_exact_mut(tile.tile_len)) {
        *row = sums.as_chunks_mut().0;
    }
    for n in 0..tile.positions.div_ceil(WIDTH) {
        let mut lanes = [[0.0f32; WIDTH]; BLOCK];
        let channels = x.chunks_exact(3 * tile.padded_len()).zip(weight.chunks_exact(27 * BLOCK));
        for (x, weight) in channels {
            for (weight, offset) in weight.as_chunks::<BLOCK>().0.iter().zip(&offsets) {
                let x = &x[n * WIDTH + offset..][..WIDTH];
                for o in 0..BLOCK {
                    for lane in 0..WIDTH {
                        lanes[o][lane] = multiply_add::<FUSED>(weight[o], x[lane], lanes[o][lane]);
                    }
                }
            }
        }
        for o in 0..BLOCK {
            rows[o][n] = lanes[o];
        }
    }
}
