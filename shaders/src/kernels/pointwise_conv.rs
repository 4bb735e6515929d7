//! 1³ convolution with bias.

use bytemuck::{Pod, Zeroable};

use super::blocks::{BLOCK, pack_blocks};
use super::kernel::{self, Dispatch, Kernel};
use super::workgroups::{WORKGROUP_SIZE, split_by_cost, spread};

/// The kernel.
pub const KERNEL: Kernel = Kernel {
    name: "pointwise_conv",
    body: include_str!("pointwise_conv.wgsl"),
    entries: &["main", "with_moments"],
    params_bytes: size_of::<Params>(),
    includes: &[
        kernel::EIGHT_CHANNELS,
        kernel::MOMENTS,
        kernel::REDUCE_EIGHT,
        include_str!("common/pointwise_sums.wgsl"),
        kernel::SHIFTED_SUMS,
        include_str!("common/invocation_moments.wgsl"),
    ],
};

/// See the WGSL struct.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[allow(missing_docs)]
pub struct Params {
    pub stride: u32,
    pub input_offset: u32,
    pub output_offset: u32,
    pub affine: u32,
    pub in_channels: u32,
    pub out_channels: u32,
    pub first_block: u32,
    pub adds_to_output: u32,
    pub row_voxels: u32,
    pub row_quads: u32,
    pub chunks: u32,
    pub first_chunk: u32,
}

/// Quads per invocation of `with_moments`, as in the WGSL.
pub const QUADS_PER_INVOCATION: usize = 8;

/// Returns the chunks of moments of one channel of a slab, for the entry `with_moments`.
pub fn num_chunks(stride: usize) -> usize {
    let [x, _, z] = spread(stride.div_ceil(QUADS_PER_INVOCATION), 1);
    (x * z) as usize
}

/// Returns the dispatches, each of at most `max_cost` multiply-adds if it can be split. Sets
/// `first_block`.
pub fn dispatches(params: Params, max_cost: u64) -> Vec<Dispatch<Params>> {
    let voxels = 4 * params.stride as u64;
    let row_cost = 2 * BLOCK as u64 * params.in_channels as u64 * voxels;
    split_by_cost((params.out_channels as usize).div_ceil(2 * BLOCK), row_cost, max_cost)
        .map(|blocks| {
            let stride = params.stride as usize;
            let writes_moments = params.chunks > 0;
            let is_small = stride < WORKGROUP_SIZE && !writes_moments;
            Dispatch {
                params: Params { first_block: 2 * blocks.start as u32, ..params },
                constants: if is_small { &[("IS_SMALL", 1)] } else { &[("IS_SMALL", 0)] },
                workgroups: match (is_small, writes_moments) {
                    (true, _) => spread(stride * blocks.len(), 1),
                    (false, true) => spread(stride.div_ceil(QUADS_PER_INVOCATION), blocks.len()),
                    (false, false) => spread(stride, blocks.len()),
                },
            }
        })
        .collect()
}

/// Returns the length of [`pack`]'s result.
pub fn packed_len(out_channels: usize, in_channels: usize) -> usize {
    out_channels.div_ceil(BLOCK) * BLOCK * (in_channels + 1)
}

/// Packs a weight `[to, from]` and the bias as the kernel reads them.
pub fn pack(
    weight: &[f32],
    bias: Option<&[f32]>,
    out_channels: usize,
    in_channels: usize,
) -> Vec<f32> {
    let mut joined = Vec::with_capacity(out_channels * (in_channels + 1));
    for to in 0..out_channels {
        joined.push(bias.map_or(0.0, |bias| bias[to]));
        joined.extend_from_slice(&weight[to * in_channels..][..in_channels]);
    }
    pack_blocks(&joined, out_channels, in_channels + 1, 1)
}

/// Computes `to[o] = bias[o] + Σ weight[o][c] · from[c]` for every voxel.
///
/// # Shapes
/// `from` `[in_channels][voxels]`, `to` `[out_channels][voxels]`, `weight` `[out_channels][in_channels]`.
pub fn reference(
    from: &[f32],
    to: &mut [f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    voxels: usize,
) {
    let in_channels = from.len() / voxels;
    for (o, to) in to.chunks_exact_mut(voxels).enumerate() {
        to.fill(bias.map_or(0.0, |bias| bias[o]));
        for (c, from) in from.chunks_exact(voxels).enumerate() {
            for (to, from) in to.iter_mut().zip(from) {
                *to += weight[o * in_channels + c] * from;
            }
        }
    }
}
