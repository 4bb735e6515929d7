//! The gradient of the weight on the CPU. The sums of a block of outputs and three taps stay in registers
//! while the loop passes over the positions of a tile.

use multiversion::{multiversion, target::match_target};
use rayon::prelude::*;

use cpu_kernels::channels::Channels;
use cpu_kernels::conv3::tile::{Shape, Tile};

/// Output channels that share each loaded voxel.
const BLOCK: usize = 4;

/// Positions summed in f32 before the sum continues in f64. The gradients of a block and the planes
/// of one channel fit the L1 cache.
const RUN: usize = 1024;

/// Upper bound of the input and output channels of one task.
const GROUP: usize = 16;

/// Computes the gradient of the weight. One task sums each value, tile after tile, so the result
/// does not depend on the number of threads.
///
/// # Shapes
/// - x: `[b, in, k, j, i]`
/// - gradient: `[b, out, k, j, i]`
/// - output: `[out, in, 3, 3, 3]`
pub fn weight_gradient(x: Channels, gradient: Channels, shape: Shape) -> Vec<f32> {
    let Shape { input, output, .. } = shape;
    let out_groups = output.div_ceil(GROUP);
    let group = (input * out_groups / (4 * rayon::current_num_threads())).clamp(1, GROUP);
    let in_groups = input.div_ceil(group);
    let mut weight = vec![0.0; output * input * 27];
    // The weights of each task, one slice per output channel.
    let mut tasks: Vec<Vec<&mut [f32]>> = Vec::new();
    tasks.resize_with(out_groups * in_groups, Vec::new);
    for (o, weight) in weight.chunks_exact_mut(input * 27).enumerate() {
        for (n, weight) in weight.chunks_mut(group * 27).enumerate() {
            tasks[o / GROUP * in_groups + n].push(weight);
        }
    }
    tasks.into_par_iter().enumerate().for_each(|(n, mut weights)| {
        let (o, c) = (n / in_groups * GROUP, n % in_groups * group);
        correlate(&mut weights, x, gradient, shape, [o, c]);
    });
    weight
}

/// Computes the gradients of a group of weights, from output and input channel `from` on.
fn correlate(
    weights: &mut [&mut [f32]],
    x: Channels,
    gradient: Channels,
    shape: Shape,
    from: [usize; 2],
) {
    let (nk, map) = (shape.dims[2], shape.plane() * shape.dims[2]);
    let blocks = weights.len().div_ceil(BLOCK);
    let channels = weights[0].len() / 27;
    // A part of a large plane, or several small planes.
    let tile_len = shape.tile_len(RUN);
    let depth = (RUN / tile_len).clamp(1, nk);
    let padded_len = shape.tile(tile_len, 0).padded_len();
    // [block, in, output of the block, tap]
    let mut sums = vec![0.0f64; blocks * channels * BLOCK * 27];
    let mut padded = vec![0.0; (depth + 2) * padded_len];
    let mut gradients = vec![0.0; blocks * BLOCK * depth * tile_len];
    for item in 0..x.len() / (shape.input * map) {
        let first_map = [item * shape.output + from[0], item * shape.input + from[1]];
        let firsts = (0..shape.positions()).step_by(tile_len);
        for (k, first) in (0..nk).step_by(depth).flat_map(|k| firsts.clone().map(move |n| (k, n))) {
            // The last tile may have fewer planes; the rest is filled with zeros.
            let outputs = gradients.chunks_exact_mut(depth * tile_len);
            for (o, to) in outputs.enumerate().take(weights.len()) {
                let gradient = gradient.channel(first_map[0] + o, map);
                for (n, to) in to.chunks_exact_mut(tile_len).enumerate() {
                    shape.pad(to, gradient, k + 1 + n, first + shape.stride() + 1);
                }
            }
            for c in 0..channels {
                let x = x.channel(first_map[1] + c, map);
                for (n, to) in padded.chunks_exact_mut(padded_len).enumerate() {
                    shape.pad(to, x, k + n, first);
                }
                for (block, gradients) in
                    gradients.chunks_exact(BLOCK * depth * tile_len).enumerate()
                {
                    let sums = &mut sums[(block * channels + c) * BLOCK * 27..][..BLOCK * 27];
                    correlate_tile(sums, &padded, gradients, shape.tile(tile_len, first));
                }
            }
        }
    }
    for (o, weight) in weights.iter_mut().enumerate() {
        for (n, weight) in weight.iter_mut().enumerate() {
            let (block, c) = (o / BLOCK, n / 27);
            let at = ((block * channels + c) * BLOCK + o % BLOCK) * 27 + n % 27;
            *weight = sums[at] as f32;
        }
    }
}

/// Adds the products of one input channel with the gradients of a block of outputs, one vector
/// register each. The compiler splits arrays of 16 lanes, so AVX-512 machines also run the version
/// for 8.
#[multiversion(targets("x86_64+avx2+fma", "aarch64+neon"))]
fn correlate_tile(sums: &mut [f64], x: &[f32], gradient: &[f32], tile: Tile) {
    match_target! {
        "x86_64+avx2+fma" => correlate_runs::<8, true>(sums, x, gradient, tile),
        "aarch64+neon" => correlate_runs::<4, true>(sums, x, gradient, tile),
        _ => correlate_runs::<4, false>(sums, x, gradient, tile),
    }
}

/// # Shapes
/// - sums: `[output of the block, tap]`
/// - x: `[plane, position]`, two planes more than the gradient
/// - gradient: `[output of the block, plane, position]`
#[inline(always)]
fn correlate_runs<const WIDTH: usize, const FUSED: bool>(
    sums: &mut [f64],
    x: &[f32],
    gradient: &[f32],
    tile: Tile,
) {
    let depth = gradient.len() / (BLOCK * tile.tile_len);
    let vectors = tile.positions.div_ceil(WIDTH);
    // Lanes are added at the end: horizontal sums inside the loop make the compiler choose shorter
    // vectors.
    let mut all = [[0.0f32; WIDTH]; BLOCK * 27];
    for (dk, di) in (0..9).map(|n| (n / 3, n % 3)) {
        let mut lanes = [[[0.0f32; WIDTH]; 3]; BLOCK];
        for k in 0..depth {
            let x = &x[(k + dk) * tile.padded_len() + di..];
            // Loops, since the closure of `array::from_fn` would be called for every plane and tap.
            let mut taps: [&[[f32; WIDTH]]; 3] = [&[]; 3];
            for (dj, tap) in taps.iter_mut().enumerate() {
                *tap = &x[dj * tile.stride..].as_chunks().0[..vectors];
            }
            let mut gradients: [&[[f32; WIDTH]]; BLOCK] = [&[]; BLOCK];
            for (o, to) in gradients.iter_mut().enumerate() {
                *to = &gradient[(o * depth + k) * tile.tile_len..].as_chunks().0[..vectors];
            }
            for n in 0..vectors {
                let x = [taps[0][n], taps[1][n], taps[2][n]];
                for o in 0..BLOCK {
                    for dj in 0..3 {
                        for lane in 0..WIDTH {
                            lanes[o][dj][lane] = multiply_add::<FUSED>(
                                x[dj][lane],
                                gradients[o][n][lane],
                                lanes[o][dj][lane],
                            );
                        }
                    }
                }
            }
        }
        for o in 0..BLOCK {
            for dj in 0..3 {
                all[o * 27 + (dk * 3 + dj) * 3 + di] = lanes[o][dj];
            }
        }
    }
    for (sum, lanes) in sums.iter_mut().zip(&all) {
        *sum += f64::from(halved(*lanes));
    }
}

/// Sums the lanes by repeatedly adding one half to the other.
#[inline(always)]
fn halved<const WIDTH: usize>(mut lanes: [f32; WIDTH]) -> f32 {
    let mut width = WIDTH;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
    }
    lanes[0]
}

/// Computes `a · b + c`. Set `FUSED` only if the machine has the instruction; otherwise it would be
/// a function call.
#[inline(always)]
fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}
