//! 1³ convolution with bias.

use bytemuck::{Pod, Zeroable};

use super::{BLOCK, Dispatch, Kernel, LANES, pack_blocks, pieces, spread};

/// The kernel.
pub const KERNEL: Kernel = Kernel {
    name: "pointwise_conv",
    body: include_str!("pointwise_conv.wgsl"),
    entries: &["main", "counted"],
    params_bytes: size_of::<Params>(),
    parts: &[
        super::EIGHT,
        super::MOMENTS,
        super::JOIN_EIGHT,
        include_str!("common/convolved.wgsl"),
        super::FOUND,
        include_str!("common/lanes.wgsl"),
    ],
};

/// See the WGSL struct.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[allow(missing_docs)]
pub struct Params {
    pub stride: u32,
    pub from_offset: u32,
    pub to_offset: u32,
    pub affine: u32,
    pub num_from: u32,
    pub num_to: u32,
    pub first_block: u32,
    pub is_more: u32,
    pub row: u32,
    pub quads: u32,
    pub chunks: u32,
    pub first_chunk: u32,
}

/// Quads per invocation of `counted`, as in the WGSL.
pub const RUN: usize = 8;

/// Returns the chunks of moments of one channel of a slab, for the entry `counted`.
pub fn num_chunks(stride: usize) -> usize {
    let [x, _, z] = spread(stride.div_ceil(RUN), 1);
    (x * z) as usize
}

/// Returns the dispatches, each of at most `max_cost` multiply-adds if it can be split. Sets
/// `first_block`.
pub fn dispatches(params: Params, max_cost: u64) -> Vec<Dispatch<Params>> {
    let voxels = 4 * params.stride as u64;
    let row_cost = 2 * BLOCK as u64 * params.num_from as u64 * voxels;
    pieces((params.num_to as usize).div_ceil(2 * BLOCK), row_cost, max_cost)
        .map(|blocks| {
            let stride = params.stride as usize;
            let is_counted = params.chunks > 0;
            let is_small = stride < LANES && !is_counted;
            Dispatch {
                params: Params { first_block: 2 * blocks.start as u32, ..params },
                constants: if is_small { &[("IS_SMALL", 1)] } else { &[("IS_SMALL", 0)] },
                workgroups: match (is_small, is_counted) {
                    (true, _) => spread(stride * blocks.len(), 1),
                    (false, true) => spread(stride.div_ceil(RUN), blocks.len()),
                    (false, false) => spread(stride, blocks.len()),
                },
            }
        })
        .collect()
}

/// Returns the length of [`pack`]'s result.
pub fn packed_len(num_to: usize, num_from: usize) -> usize {
    num_to.div_ceil(BLOCK) * BLOCK * (num_from + 1)
}

/// Packs a weight `[to, from]` and the bias as the kernel reads them.
pub fn pack(weight: &[f32], bias: Option<&[f32]>, num_to: usize, num_from: usize) -> Vec<f32> {
    let mut joined = Vec::with_capacity(num_to * (num_from + 1));
    for to in 0..num_to {
        joined.push(bias.map_or(0.0, |bias| bias[to]));
        joined.extend_from_slice(&weight[to * num_from..][..num_from]);
    }
    pack_blocks(&joined, num_to, num_from + 1, 1)
}

/// Computes `to[o] = bias[o] + Σ weight[o][c] · from[c]` for every voxel.
///
/// # Shapes
/// `from` `[num_from][voxels]`, `to` `[num_to][voxels]`, `weight` `[num_to][num_from]`.
pub fn reference(
    from: &[f32],
    to: &mut [f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    voxels: usize,
) {
    let num_from = from.len() / voxels;
    for (o, to) in to.chunks_exact_mut(voxels).enumerate() {
        to.fill(bias.map_or(0.0, |bias| bias[o]));
        for (c, from) in from.chunks_exact(voxels).enumerate() {
            for (to, from) in to.iter_mut().zip(from) {
                *to += weight[o * num_from + c] * from;
            }
        }
    }
}
