//! Pointwise (1³) convolution: a matrix product over the channels of each voxel. The sums of a block
//! of outputs and a vector of voxels stay in registers while the loop passes over the inputs.

use std::ops::Range;

use crate::buffer;
use crate::channels::Channels;
use crate::moments::Moments;
use crate::parallel;
use crate::vector::{MAX_LANES, Vector, vectorized};

/// Most output channels that share each loaded vector. WebAssembly's engines have 15 vector
/// registers on x86, so that more sums would not stay in registers.
const BLOCK: usize = if cfg!(target_arch = "wasm32") { 4 } else { 6 };

/// Values of a tile's inputs. They stay in a core's nearest cache.
const TILE_VALUES: usize = 1 << 12;

/// Most channels that are read where they are, instead of from a tile.
const DIRECT_CHANNELS: usize = 8;

/// Fewest voxels of a part of a map.
const PART_VOXELS: usize = 1 << 12;

/// Weights of a convolution, and what happens to its sums.
#[derive(Debug, Clone)]
pub struct Pointwise {
    input: usize,
    output: usize,
    /// Blocks of outputs, each `[in][output of the block]`.
    packed: Vec<f32>,
    bias: Option<Vec<f32>>,
    /// The activation's factor for negative sums, if there is an activation.
    slope: Option<f32>,
}

impl Pointwise {
    /// Packs a weight; `weight` returns that of an output and an input.
    pub fn new(
        output: usize,
        input: usize,
        bias: Option<Vec<f32>>,
        weight: impl Fn(usize, usize) -> f32,
    ) -> Pointwise {
        let mut packed = Vec::with_capacity(output * input);
        for block in blocks(output) {
            for c in 0..input {
                packed.extend(block.clone().map(|o| weight(o, c)));
            }
        }
        Pointwise { input, output, packed, bias, slope: None }
    }

    /// Applies an activation to the sums.
    pub(crate) fn with_activation(self, slope: f32) -> Pointwise {
        Pointwise { slope: Some(slope), ..self }
    }

    /// Computes `output[o, v] = bias[o] + Σ_c weight[o, c] · x[c, v]` for a range of voxels, or adds
    /// it to `output`. Returns the statistics of every output channel if they are wanted.
    ///
    /// # Shapes
    /// - x: `[in, voxel]`
    /// - output: `[out, voxel]`
    #[inline(never)]
    pub fn forward(
        &self,
        x: Channels,
        output: &mut [f32],
        range: Range<usize>,
        adds_to_output: bool,
        wants_moments: bool,
    ) -> Vec<Moments> {
        let voxels = output.len() / self.output;
        let ranges = parallel::parts(range.clone(), parallel::part_len(range.len(), PART_VOXELS));
        let parts = parallel::split_channels(output, voxels, &ranges);
        let of_parts = parallel::map(parts, |n, mut outputs| {
            let mut moments = vec![Moments::default(); if wants_moments { self.output } else { 0 }];
            part(self, x, voxels, ranges[n].start, &mut outputs, adds_to_output, &mut moments);
            moments
        });
        Moments::merge_parts(&of_parts)
    }

    /// Computes all outputs of a map of `voxels` voxels into new memory.
    ///
    /// # Shapes
    /// - x: `[in, voxel]`
    /// - returns: `[out, voxel]`
    pub fn output(&self, x: Channels, voxels: usize) -> Vec<f32> {
        let mut output = Vec::with_capacity(self.output * voxels);
        let new = &mut output.spare_capacity_mut()[..self.output * voxels];
        let ranges = parallel::parts(0..voxels, parallel::part_len(voxels, PART_VOXELS));
        let parts = parallel::split_channels(new, voxels, &ranges);
        parallel::map(parts, |n, mut outputs| {
            let stride = tile_len(self.input);
            let mut tile = vec![0.0; self.input * stride];
            for start in (0..ranges[n].len()).step_by(stride) {
                let len = stride.min(ranges[n].len() - start);
                let first = ranges[n].start + start;
                let (tile, stride) = inputs(x, voxels, first, len, &mut tile, stride);
                // Zeroed tile by tile, the memory is in the cache when the sums overwrite it.
                let outputs = outputs.iter_mut();
                let outputs = outputs.map(|output| buffer::zeroed(&mut output[start..][..len]));
                let mut outputs: Vec<&mut [f32]> = outputs.collect();
                convolve(self, tile, stride, &mut outputs, 0..len, false);
            }
        });
        // SAFETY: the tiles of the parts cover all outputs of all voxels, and all of them were zeroed.
        unsafe { output.set_len(self.output * voxels) };
        output
    }

    /// Returns the bytes of the packed weights and of the tile of a thread.
    pub fn scratch_bytes(input: usize, output: usize) -> [usize; 2] {
        [4 * (input + 1) * output, 4 * input * tile_len(input)]
    }
}

/// Returns `len` voxels of all channels from voxel `start` on, and the distance of the channels: those
/// of the map itself, or else a tile with their copy.
fn inputs<'a>(
    x: Channels<'a>,
    voxels: usize,
    start: usize,
    len: usize,
    tile: &'a mut [f32],
    stride: usize,
) -> (&'a [f32], usize) {
    let channels = tile.len() / stride;
    // The channels of a map are far apart, and share the cache's sets: only few stay in the cache.
    if let Some(values) = x.plain().filter(|_| channels <= DIRECT_CHANNELS)
        && values.len() >= start + (channels - 1) * voxels + len.next_multiple_of(MAX_LANES)
    {
        return (&values[start..], voxels);
    }
    for (c, tile) in tile.chunks_exact_mut(stride).enumerate() {
        x.channel(c, voxels).load(&mut tile[..len], start);
    }
    (tile, stride)
}

/// Returns the voxels of a tile.
fn tile_len(input: usize) -> usize {
    (TILE_VALUES / input).clamp(MAX_LANES, 1024).next_multiple_of(MAX_LANES)
}

/// Returns the blocks that the outputs are divided into, of almost equal sizes.
fn blocks(output: usize) -> impl Iterator<Item = Range<usize>> {
    let number = output.div_ceil(BLOCK);
    (0..number).map(move |n| n * output / number..(n + 1) * output / number)
}

/// Computes all outputs of a part of the voxels, tile by tile.
fn part(
    convolution: &Pointwise,
    x: Channels,
    voxels: usize,
    first: usize,
    outputs: &mut [&mut [f32]],
    adds_to_output: bool,
    moments: &mut [Moments],
) {
    let stride = tile_len(convolution.input);
    let mut tile = vec![0.0; convolution.input * stride];
    let all = outputs[0].len();
    for start in (0..all).step_by(stride) {
        let len = stride.min(all - start);
        let (tile, stride) = inputs(x, voxels, first + start, len, &mut tile, stride);
        convolve(convolution, tile, stride, outputs, start..start + len, adds_to_output);
        for (moments, output) in moments.iter_mut().zip(&mut *outputs) {
            *moments = moments.merge(Moments::of(&output[start..start + len]));
        }
    }
}

vectorized! {
    /// Computes a range of all outputs from a tile.
    ///
    /// # Shapes
    /// - x: channels `stride` apart, each as long as the range, rounded up to a vector; the range
    ///   begins at its first position
    /// - outputs: `[out][position]`
    pub(crate) fn convolve(
        convolution: &Pointwise,
        x: &[f32],
        stride: usize,
        outputs: &mut [&mut [f32]],
        range: Range<usize>,
        adds_to_output: bool,
    ) = convolve_by, 2
}

#[inline(always)]
fn convolve_by<V: Vector>(
    convolution: &Pointwise,
    x: &[f32],
    stride: usize,
    outputs: &mut [&mut [f32]],
    range: Range<usize>,
    adds_to_output: bool,
) {
    let mut weight = &convolution.packed[..];
    for block in blocks(convolution.output) {
        let (of_block, rest) = weight.split_at(convolution.input * block.len());
        weight = rest;
        let bias = convolution.bias.as_ref().map(|bias| &bias[block.clone()]);
        let outputs = &mut outputs[block.clone()];
        let range = range.clone();
        let (slope, adds) = (convolution.slope, adds_to_output);
        match block.len() {
            1 => convolve_block::<V, 1>(of_block, bias, slope, x, stride, outputs, range, adds),
            2 => convolve_block::<V, 2>(of_block, bias, slope, x, stride, outputs, range, adds),
            3 => convolve_block::<V, 3>(of_block, bias, slope, x, stride, outputs, range, adds),
            4 => convolve_block::<V, 4>(of_block, bias, slope, x, stride, outputs, range, adds),
            5 => convolve_block::<V, 5>(of_block, bias, slope, x, stride, outputs, range, adds),
            _ => convolve_block::<V, 6>(of_block, bias, slope, x, stride, outputs, range, adds),
        }
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)] // registers
fn convolve_block<V: Vector, const B: usize>(
    weight: &[f32],
    bias: Option<&[f32]>,
    slope: Option<f32>,
    x: &[f32],
    stride: usize,
    outputs: &mut [&mut [f32]],
    range: Range<usize>,
    adds_to_output: bool,
) {
    let weight = weight.as_chunks::<B>().0;
    assert!(x.len() >= (weight.len() - 1) * stride + range.len().next_multiple_of(V::LANES));
    for at in (0..range.len()).step_by(V::LANES) {
        let end = range.end.min(range.start + at + V::LANES);
        let place = range.start + at..end;
        let mut sums = [V::splat(0.0); B];
        if let Some(bias) = bias {
            for o in 0..B {
                sums[o] = V::splat(bias[o]);
            }
        }
        if adds_to_output {
            for o in 0..B {
                sums[o] = sums[o].add(V::load_some(&outputs[o][place.clone()]));
            }
        }
        for (c, weight) in weight.iter().enumerate() {
            // SAFETY: c · stride + at + LANES is at most the length of x, as asserted above.
            let x = unsafe { V::load_unchecked(x, c * stride + at) };
            for o in 0..B {
                sums[o] = x.mul_add(V::splat(weight[o]), sums[o]);
            }
        }
        for o in 0..B {
            let sum = match slope {
                None => sums[o],
                Some(slope) => sums[o].rectified(V::splat(slope)),
            };
            sum.store_some(&mut outputs[o][place.clone()]);
        }
    }
}
