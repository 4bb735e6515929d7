//! Mean and deviation of every group of channels: the first half of a group norm.

use bytemuck::{Pod, Zeroable};
use model_core::network::config::NORM_EPSILON;

use super::kernel::{self, Dispatch, Kernel};

/// Entries: `partial`, then `combine`; or `whole_group`.
pub const KERNEL: Kernel = Kernel {
    name: "moments",
    body: include_str!("moments.wgsl"),
    entries: &["partial", "combine", "whole_group"],
    params_bytes: size_of::<Params>(),
    includes: &[kernel::MOMENTS],
};

/// Quads per chunk, as in the WGSL.
pub const CHUNK_QUADS: usize = 2048;

/// Largest group, in quads, that one workgroup reads at once.
pub const MAX_WHOLE_GROUP_QUADS: usize = 2 * CHUNK_QUADS;

/// Bytes of a chunk's moments.
pub const PARTIAL_BYTES: u64 = 16;

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
    pub group_channels: u32,
    pub chunks: u32,
    pub first_chunk: u32,
    pub first_channel: u32,
    pub slope: f32,
    pub epsilon: f32,
}

/// Returns the chunks of one channel of a slab.
pub fn num_chunks(stride: usize) -> usize {
    stride.div_ceil(CHUNK_QUADS)
}

/// Returns the dispatch of `partial` on a slab.
pub fn partial(params: Params, num_channels: usize) -> Dispatch<Params> {
    let chunks = num_chunks(params.stride as usize) as u32;
    Dispatch { params, constants: &[], workgroups: [chunks, num_channels as u32, 1] }
}

/// Returns the dispatch of `combine`, after all slabs, or of `whole_group`.
pub fn groups(params: Params, num_channels: usize) -> Dispatch<Params> {
    Dispatch {
        params,
        constants: &[],
        workgroups: [1, num_channels as u32 / params.group_channels, 1],
    }
}

/// Returns, for each group, the mean and the square root of the (biased) variance plus epsilon. In
/// f64, since the kernel's f32 sums are compared with it.
///
/// # Shapes
/// `values` `[c][voxels]` with `c / groups` channels per group.
pub fn reference(values: &[f32], groups: usize) -> Vec<[f64; 2]> {
    let statistics = |group: &[f32]| {
        let count = group.len() as f64;
        let mean = group.iter().map(|&x| x as f64).sum::<f64>() / count;
        let variance = group.iter().map(|&x| (x as f64 - mean).powi(2)).sum::<f64>() / count;
        [mean, (variance + NORM_EPSILON as f64).sqrt()]
    };
    values.chunks_exact(values.len() / groups).map(statistics).collect()
}
