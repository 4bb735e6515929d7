//! Means and covariance of channels.

use bytemuck::{Pod, Zeroable};

use super::{BLOCK, Dispatch, Kernel, pieces};

/// The kernel. [`expansion`](super::expansion) reduces its results.
pub const KERNEL: Kernel = Kernel {
    name: "covariance",
    body: include_str!("covariance.wgsl"),
    entries: &["main"],
    params_bytes: size_of::<Params>(),
    parts: &[super::PAIR, include_str!("common/deviations.wgsl")],
};

/// Quads per chunk, as in the WGSL.
pub const CHUNK: usize = 2048;

/// Bytes of the result for a pair of channel blocks, of one chunk or of all.
pub const PAIR_BYTES: u64 = 16 * 21;

/// See the WGSL struct.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[allow(missing_docs)]
pub struct Params {
    pub stride: u32,
    pub offset: u32,
    pub row: u32,
    pub quads: u32,
    pub affine: u32,
    pub num_from: u32,
    pub chunks: u32,
    pub first_chunk: u32,
    pub start: u32,
}

/// Returns the pairs of channel blocks, including a block with itself.
pub fn num_pairs(num_from: usize) -> usize {
    let blocks = num_from.div_ceil(BLOCK);
    blocks * (blocks + 1) / 2
}

/// Returns the chunks of a slab.
pub fn num_chunks(stride: usize) -> usize {
    stride.div_ceil(CHUNK)
}

/// Returns the multiply-adds of a slab.
pub fn work(num_from: usize, stride: usize) -> u64 {
    (4 * BLOCK * BLOCK * num_pairs(num_from) * stride) as u64
}

/// Returns the dispatches of a slab, each of at most `max_cost` multiply-adds if it can be split.
/// Sets `start`.
pub fn dispatches(params: Params, max_cost: u64) -> Vec<Dispatch<Params>> {
    let num_from = params.num_from as usize;
    let dispatch = |chunks: std::ops::Range<usize>| Dispatch {
        params: Params { start: chunks.start as u32, ..params },
        constants: &[],
        workgroups: [num_pairs(num_from) as u32, chunks.len() as u32, 1],
    };
    let num_chunks = num_chunks(params.stride as usize);
    pieces(num_chunks, work(num_from, CHUNK), max_cost).map(dispatch).collect()
}

/// Returns means and (biased) covariance by rows, in f64 like [`moments`](super::moments).
///
/// # Shapes
/// `from` `[c][voxels]`.
pub fn reference(from: &[f32], num_from: usize) -> (Vec<f64>, Vec<Vec<f64>>) {
    let voxels = from.len() / num_from;
    let channels: Vec<&[f32]> = from.chunks_exact(voxels).collect();
    let mean = |channel: &&[f32]| channel.iter().map(|&x| x as f64).sum::<f64>() / voxels as f64;
    let means: Vec<f64> = channels.iter().map(mean).collect();
    let covariance = |a: usize, b: usize| {
        let both = channels[a].iter().zip(channels[b]);
        let products = both.map(|(&x, &y)| (x as f64 - means[a]) * (y as f64 - means[b]));
        products.sum::<f64>() / voxels as f64
    };
    let row = |a: usize| (0..num_from).map(|b| covariance(a, b)).collect();
    let rows = (0..num_from).map(row).collect();
    (means, rows)
}
