//! Dense 3³ convolution with zero padding 1. The sums of one block of outputs and one vector of
//! voxels stay in registers while the loop passes over channels and taps.

pub mod tile;

use crate::channels::Channels;
use crate::moments::Moments;
use crate::parallel;
use crate::slab::Slab;
use crate::vector::{Vector, vectorized};
use tile::{Shape, Tile};

/// Output channels that share each loaded vector.
const BLOCK: usize = 6;

/// Values of a tile: the padded values of all channels and the sums of a block. A tile fits a
/// core's own cache.
const TILE_VALUES: usize = 3 << 15;

/// The weight in the order of use, `[block, in, tap, output of the block]`, with zeros beyond the
/// last output.
#[derive(Debug, Clone)]
pub struct Conv3 {
    input: usize,
    output: usize,
    packed: Vec<f32>,
}

impl Conv3 {
    /// Packs a weight; `weight` returns that of an output, an input and a tap.
    pub fn new(
        output: usize,
        input: usize,
        weight: impl Fn(usize, usize, usize) -> f32 + Sync + Send,
    ) -> Conv3 {
        let each = input * 27 * BLOCK;
        let mut packed = vec![0.0; output.div_ceil(BLOCK) * each];
        parallel::for_each_chunk(&mut packed, each, |block, packed| {
            for (c, packed) in packed.as_chunks_mut::<{ 27 * BLOCK }>().0.iter_mut().enumerate() {
                for o in 0..BLOCK.min(output - block * BLOCK) {
                    for tap in 0..27 {
                        packed[tap * BLOCK + o] = weight(block * BLOCK + o, c, tap);
                    }
                }
            }
        });
        Conv3 { input, output, packed }
    }

    /// Computes `output[o, v] = Σ_c Σ_t weight[o, c, t] · x[c, v + t − 1]` for the own planes, or adds
    /// it to the output. Returns the statistics of every output channel if they are wanted.
    ///
    /// # Shapes
    /// - x: `[in, k, j, i]`
    /// - output: `[out, k, j, i]`
    #[inline(never)]
    pub fn forward(
        &self,
        x: Channels,
        slab: &Slab,
        output: &mut [f32],
        adds_to_output: bool,
        wants_moments: bool,
    ) -> Vec<Moments> {
        let (blocks, num_planes) = (self.output.div_ceil(BLOCK), slab.own.len());
        // Blocks of outputs run in parallel if there are few planes.
        let groups = (4 * parallel::num_threads()).div_ceil(num_planes).min(blocks);
        let group = blocks.div_ceil(groups);
        let groups = blocks.div_ceil(group);
        // The output planes of each task, one per output channel.
        let mut tasks: Vec<Vec<&mut [f32]>> = Vec::new();
        tasks.resize_with(num_planes * groups, Vec::new);
        for (o, channel) in output.chunks_exact_mut(slab.voxels()).enumerate() {
            let own = channel[slab.own_voxels()].chunks_exact_mut(slab.plane());
            for (k, plane) in own.enumerate() {
                tasks[k * groups + o / (group * BLOCK)].push(plane);
            }
        }
        let of_tasks = parallel::map(tasks, |n, mut planes| {
            let k = slab.own.start + n / groups;
            let weight = &self.packed[n % groups * group * self.input * 27 * BLOCK..];
            convolve_plane(&mut planes, x, weight, self.shape(slab), k, adds_to_output);
            match wants_moments {
                true => planes.iter().map(|plane| Moments::of(plane)).collect(),
                false => Vec::new(),
            }
        });
        let planes: Vec<_> = of_tasks.chunks(groups).map(<[Vec<Moments>]>::concat).collect();
        Moments::merge_parts(&planes)
    }

    fn shape(&self, slab: &Slab) -> Shape {
        Shape { input: self.input, output: self.output, dims: slab.dims }
    }

    /// Returns the bytes of the packed weight and of the tile of a thread.
    pub fn scratch_bytes(input: usize, output: usize, dims: [usize; 3]) -> [usize; 2] {
        let shape = Shape { input, output, dims };
        let tile_len = tile_len(shape);
        let padded = 3 * input * shape.tile(tile_len, 0).padded_len();
        [4 * output.div_ceil(BLOCK) * BLOCK * input * 27, 4 * (padded + BLOCK * tile_len)]
    }
}

fn tile_len(shape: Shape) -> usize {
    let halo = 2 * shape.stride() + 2;
    let most = (TILE_VALUES / (3 * shape.input + BLOCK)).saturating_sub(halo);
    // A tile is at least as long as its halo, which is copied once per tile.
    shape.tile_len(most.max(halo))
}

/// Convolves plane `k` of some outputs, tile by tile.
fn convolve_plane(
    planes: &mut [&mut [f32]],
    x: Channels,
    weight: &[f32],
    shape: Shape,
    k: usize,
    adds_to_output: bool,
) {
    let (voxels, tile_len) = (shape.plane() * shape.dims[2], tile_len(shape));
    let padded_len = shape.tile(tile_len, 0).padded_len();
    let mut padded = vec![0.0; shape.input * 3 * padded_len];
    let mut sums = vec![0.0; BLOCK * tile_len];
    for first in (0..shape.positions()).step_by(tile_len) {
        for (n, padded) in padded.chunks_exact_mut(padded_len).enumerate() {
            shape.pad(padded, x.channel(n / 3, voxels), k + n % 3, first);
        }
        let tile = shape.tile(tile_len, first);
        let weights = weight.chunks_exact(shape.input * 27 * BLOCK);
        for (planes, weight) in planes.chunks_mut(BLOCK).zip(weights) {
            convolve_tile(&mut sums, &padded, weight, tile);
            for (plane, sums) in planes.iter_mut().zip(sums.chunks_exact(tile_len)) {
                shape.row_segments(first, tile.positions, 0, |from, at, len| {
                    let (plane, sums) = (&mut plane[at..at + len], &sums[from..from + len]);
                    match adds_to_output {
                        true => plane.iter_mut().zip(sums).for_each(|(value, sum)| *value += sum),
                        false => plane.copy_from_slice(sums),
                    }
                });
            }
        }
    }
}

vectorized! {
    /// Convolves a block of outputs on a tile.
    fn convolve_tile(sums: &mut [f32], x: &[f32], weight: &[f32], tile: Tile) = convolve_runs, 2
}

/// # Shapes
/// - sums: `[output of the block, position]`
/// - x: `[in, 3, position]`
/// - weight: `[in, tap, output of the block]`
#[inline(always)]
fn convolve_runs<V: Vector>(sums: &mut [f32], x: &[f32], weight: &[f32], tile: Tile) {
    // An array of offsets keeps this loop from being unrolled, which would spill the sums.
    let offsets: [usize; 27] = std::array::from_fn(|tap| {
        tap / 9 * tile.padded_len() + tap / 3 % 3 * tile.stride + tap % 3
    });
    for at in (0..tile.positions).step_by(V::LANES) {
        let mut lanes = [V::splat(0.0); BLOCK];
        let channels = x.chunks_exact(3 * tile.padded_len()).zip(weight.chunks_exact(27 * BLOCK));
        for (x, weight) in channels {
            for (weight, offset) in weight.as_chunks::<BLOCK>().0.iter().zip(&offsets) {
                let x = V::load(&x[at + offset..]);
                for o in 0..BLOCK {
                    lanes[o] = x.mul_add(V::splat(weight[o]), lanes[o]);
                }
            }
        }
        for o in 0..BLOCK {
            lanes[o].store(&mut sums[o * tile.tile_len + at..]);
        }
    }
}
