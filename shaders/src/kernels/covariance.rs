//! Means and covariance of channels.

use bytemuck::{Pod, Zeroable};

use super::blocks::BLOCK;
use super::kernel::{self, Dispatch, Kernel};
use super::workgroups::split_by_cost;

/// The kernel. [`expansion`](super::expansion) reduces its results.
pub const KERNEL: Kernel = Kernel {
    name: "covariance",
    body: include_str!("covariance.wgsl"),
    entries: &["main"],
    params_bytes: size_of::<Params>(),
    includes: &[kernel::BLOCK_PAIR, include_str!("common/deviations.wgsl")],
};

/// Quads per chunk, as in the WGSL.
pub const CHUNK_QUADS: usize = 2048;

/// Bytes of the result for a pair of channel blocks, of one chunk or of all.
pub const PAIR_BYTES: u64 = 16 * 21;

/// See the WGSL struct.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[allow(missing_docs)]
pub struct Params {
    pub stride: u32,
    pub offset: u32,
    pub row_voxels: u32,
    pub row_quads: u32,
    pub affine: u32,
    pub in_channels: u32,
    pub chunks: u32,
    pub first_chunk: u32,
    pub start_chunk: u32,
}

/// Returns the pairs of channel blocks, including a block with itself.
pub fn num_pairs(in_channels: usize) -> usize {
    let blocks = in_channels.div_ceil(BLOCK);
    blocks * (blocks + 1) / 2
}

/// Returns the chunks of a slab.
pub fn num_chunks(stride: usize) -> usize {
    stride.div_ceil(CHUNK_QUADS)
}

/// Returns the multiply-adds of a slab.
pub fn work(in_channels: usize, stride: usize) -> u64 {
    (4 * BLOCK * BLOCK * num_pairs(in_channels) * stride) as u64
}

/// Returns the dispatches of a slab, each of at most `max_cost` multiply-adds if it can be split.
/// Sets
/// `start_chunk`.
pub fn dispatches(params: Params, max_cost: u64) -> Vec<Dispatch<Params>> {
    let in_channels = params.in_channels as usize;
    let dispatch = |chunks: std::ops::Range<usize>| Dispatch {
        params: Params { start_chunk: chunks.start as u32, ..params },
        constants: &[],
        workgroups: [num_pairs(in_channels) as u32, chunks.len() as u32, 1],
    };
    let num_chunks = num_chunks(params.stride as usize);
    split_by_cost(num_chunks, work(in_channels, CHUNK_QUADS), max_cost).map(dispatch).collect()
}

/// Returns means and (biased) covariance by rows, in f64 like [`moments`](super::moments).
///
/// # Shapes
/// `from` `[c][voxels]`.
pub fn reference(from: &[f32], in_channels: usize) -> (Vec<f64>, Vec<Vec<f64>>) {
    let voxels = from.len() / in_channels;
    let channels: Vec<&[f32]> = from.chunks_exact(voxels).collect();
    let mean = |channel: &&[f32]| channel.iter().map(|&x| x as f64).sum::<f64>() / voxels as f64;
    let means: Vec<f64> = channels.iter().map(mean).collect();
    let covariance = |a: usize, b: usize| {
        let both = channels[a].iter().zip(channels[b]);
        let products = both.map(|(&x, &y)| (x as f64 - means[a]) * (y as f64 - means[b]));
        products.sum::<f64>() / voxels as f64
    };
    let row = |a: usize| (0..in_channels).map(|b| covariance(a, b)).collect();
    let rows = (0..in_channels).map(row).collect();
    (means, rows)
}
