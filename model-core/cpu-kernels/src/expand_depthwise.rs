//! The first half of an MBConv block in one pass: pointwise convolution, norm, activation and
//! depthwise 3³ convolution. The expanded channels exist for three planes of some rows at a time.

use std::ops::Range;

use crate::channels::{ChannelAffine, Channels};
use crate::depthwise::convolve_rows;
use crate::moments::Moments;
use crate::parallel;
use crate::pointwise::{Pointwise, convolve};
use crate::slab::Slab;
use crate::vector::MAX_LANES;

/// Bytes of the expanded rows of a thread. They stay in a core's own cache.
const RING_BYTES: usize = 3 << 18;

/// Fewest planes of a part. One plane on either side of a part is expanded twice.
const PART_PLANES: usize = 8;

/// Parameters of the stage, for a range of the expanded channels.
#[derive(Debug, Clone)]
pub struct ExpandDepthwise {
    input: usize,
    /// The expansion with its norm and activation.
    expansion: Pointwise,
    /// Taps of every expanded channel.
    taps: Vec<[f32; 27]>,
}

impl ExpandDepthwise {
    /// Prepares the parameters.
    ///
    /// # Shapes
    /// - expansion: `[expanded, in]`
    /// - norms: one per expanded channel
    /// - taps: `[expanded, 3, 3, 3]`
    pub fn new(expansion: &[f32], norms: &[ChannelAffine], taps: &[f32]) -> ExpandDepthwise {
        let (output, input) = (norms.len(), expansion.len() / norms.len());
        let bias = norms.iter().map(|norm| norm.shift).collect();
        let weight = |o: usize, c: usize| norms[o].scale * expansion[o * input + c];
        let expansion = Pointwise::new(output, input, Some(bias), weight);
        let expansion = expansion.with_activation(norms[0].slope);
        ExpandDepthwise { input, expansion, taps: taps.as_chunks().0.to_vec() }
    }

    /// Computes the own planes of all expanded channels. Returns the statistics of each.
    ///
    /// # Shapes
    /// - x: `[in, k, j, i]`
    /// - output: `[expanded, k, j, i]`
    #[inline(never)]
    pub fn forward(&self, x: Channels, slab: &Slab, output: &mut [f32]) -> Vec<Moments> {
        let len = parallel::part_len(slab.own.len(), PART_PLANES);
        let planes = parallel::parts(slab.own.clone(), len);
        let voxels = |planes: &Range<usize>| planes.start * slab.plane()..planes.end * slab.plane();
        let ranges: Vec<_> = planes.iter().map(voxels).collect();
        let parts = parallel::split_channels(output, slab.voxels(), &ranges);
        let of_parts = parallel::map(parts, |n, mut outputs| {
            let mut moments = vec![Moments::default(); outputs.len()];
            part(self, x, slab, planes[n].clone(), &mut outputs, &mut moments);
            moments
        });
        Moments::merge_parts(&of_parts)
    }

    /// Returns the bytes of the packed parameters and of the rows of a thread.
    pub fn scratch_bytes(input: usize, expanded: usize, [ni, nj, _]: [usize; 3]) -> [usize; 2] {
        let [packed, _] = Pointwise::scratch_bytes(input, expanded);
        let run = run_len(ni, tile_rows(ni, nj, expanded));
        [packed + 4 * 27 * expanded, 4 * run * (3 * expanded + input)]
    }
}

/// Returns the rows of outputs that are computed from one ring.
fn tile_rows(ni: usize, nj: usize, expanded: usize) -> usize {
    let most = (RING_BYTES / (3 * 4 * expanded * (ni + 2))).max(4);
    nj.div_ceil(nj.div_ceil(most))
}

/// Returns the values of the padded rows of a plane of a tile, and a vector after them.
fn run_len(ni: usize, rows: usize) -> usize {
    ((rows + 2) * (ni + 2)).next_multiple_of(MAX_LANES) + MAX_LANES
}

fn part(
    stage: &ExpandDepthwise,
    x: Channels,
    slab: &Slab,
    planes: Range<usize>,
    outputs: &mut [&mut [f32]],
    moments: &mut [Moments],
) {
    let ([ni, nj, nk], expanded) = (slab.dims, stage.taps.len());
    let (stride, tile) = (ni + 2, tile_rows(ni, nj, expanded));
    let run = run_len(ni, tile);
    let mut input = vec![0.0; stage.input * run];
    let mut ring = vec![0.0; 3 * expanded * run];
    for first in (0..nj).step_by(tile) {
        let rows = first..(first + tile).min(nj);
        // The row before the first output is the first row of the ring.
        let inside = rows.start.saturating_sub(1)..(rows.end + 1).min(nj);
        let at = (inside.start + 1 - rows.start) * stride;
        for step in 0..planes.len() + 2 {
            let k = (planes.start + step).checked_sub(1).filter(|&k| k < nk);
            let slot = &mut ring[step % 3 * expanded * run..][..expanded * run];
            match k {
                None => slot.fill(0.0),
                Some(k) => {
                    for (c, input) in input.chunks_exact_mut(run).enumerate() {
                        let channel = x.channel(c, slab.voxels());
                        for j in inside.clone() {
                            let row = at + (j - inside.start) * stride + 1;
                            channel.load(&mut input[row..row + ni], (k * nj + j) * ni);
                        }
                    }
                    let mut slots: Vec<&mut [f32]> = slot.chunks_exact_mut(run).collect();
                    let all = 0..(rows.len() + 2) * stride;
                    convolve(&stage.expansion, &input, run, &mut slots, all, false);
                    let height = rows.len() + 2;
                    for slot in slots {
                        clear_border(slot, ni, height, at / stride, inside.len());
                    }
                }
            }
            let Some(k) = step.checked_sub(2) else { continue };
            for e in 0..expanded {
                let slots = [0, 1, 2].map(|dk| &ring[((k + dk) % 3 * expanded + e) * run..][..run]);
                let place = (k * nj + rows.start) * ni;
                let output = &mut outputs[e][place..place + rows.len() * ni];
                convolve_rows(slots, &stage.taps[e], output, ni, stride);
                moments[e] = moments[e].merge(Moments::of(output));
            }
        }
    }
}

/// Sets the padding of the expanded rows to zero, which the norm would have shifted.
fn clear_border(slot: &mut [f32], ni: usize, height: usize, first: usize, inside: usize) {
    for (j, row) in slot.chunks_exact_mut(ni + 2).take(height).enumerate() {
        match (first..first + inside).contains(&j) {
            true => (row[0], row[ni + 1]) = (0.0, 0.0),
            false => row.fill(0.0),
        }
    }
}
