//! Means and covariance of some channels.

use bytemuck::{Pod, Zeroable};

use super::{BLOCK, Dispatch, Kernel, pieces};

/// The kernel; [`expansion`](super::expansion) joins what it finds.
pub const KERNEL: Kernel = Kernel {
    name: "covariance",
    body: include_str!("covariance.wgsl"),
    entries: &["main"],
    params_bytes: size_of::<Params>(),
    parts: &[super::PAIR, include_str!("common/deviations.wgsl")],
};

/// Quads of one chunk, as in the WGSL.
pub const CHUNK: usize = 2048;

/// Bytes of what is found of a chunk, or of all, for a pair of blocks of channels.
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

/// Pairs of blocks of channels, a block with itself included.
pub fn num_pairs(num_from: usize) -> usize {
    let blocks = num_from.div_ceil(BLOCK);
    blocks * (blocks + 1) / 2
}

/// Chunks of a slab.
pub fn num_chunks(stride: usize) -> usize {
    stride.div_ceil(CHUNK)
}

/// Multiply-adds of a slab.
pub fn work(num_from: usize, stride: usize) -> u64 {
    (4 * BLOCK * BLOCK * num_pairs(num_from) * stride) as u64
}

/// The dispatches of a slab, each of at most `most_cost` multiply-adds where that can be;
/// `start` is set here.
pub fn dispatches(params: Params, most_cost: u64) -> Vec<Dispatch<Params>> {
    let num_from = params.num_from as usize;
    let dispatch = |chunks: std::ops::Range<usize>| Dispatch {
        params: Params { start: chunks.start as u32, ..params },
        constants: &[],
        workgroups: [num_pairs(num_from) as u32, chunks.len() as u32, 1],
    };
    let num_chunks = num_chunks(params.stride as usize);
    pieces(num_chunks, work(num_from, CHUNK), most_cost).map(dispatch).collect()
}

/// Means, and the (biased) covariance by rows. In f64, as that of [`moments`](super::moments).
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
