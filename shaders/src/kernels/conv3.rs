//! Dense 3³ convolution, zero padding 1.

use bytemuck::{Pod, Zeroable};

use super::blocks::{BLOCK, pack_blocks};
use super::kernel::{self, Dispatch, Kernel};
use super::slab::InputSlab;
use super::voxels::{correlate, for_each_voxel};
use super::workgroups::{split_by_cost, spread};

/// The kernel.
pub const KERNEL: Kernel = Kernel {
    name: "conv3",
    body: include_str!("conv3.wgsl"),
    entries: &["main"],
    params_bytes: size_of::<Params>(),
    includes: &[kernel::INPUT_SLAB, kernel::EIGHT_CHANNELS],
};

/// See the WGSL struct.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[allow(missing_docs)]
pub struct Params {
    pub input: InputSlab,
    pub output_channel: u32,
    pub in_channels: u32,
    pub out_channels: u32,
    pub first_block: u32,
    pub start_plane: u32,
    pub end_plane: u32,
    pub padding: [u32; 2],
}

/// Returns the dispatches, each of at most `max_cost` multiply-adds if it can be split. Sets
/// `first_block`, `start_plane` and `end_plane`.
pub fn dispatches(params: Params, max_cost: u64) -> Vec<Dispatch<Params>> {
    let InputSlab { dims: [_, nj, _], row_quads, planes, .. } = params.input;
    let [quads, nj, planes] = [row_quads, nj, planes].map(|n| n as usize);
    let num_blocks = (params.out_channels as usize).div_ceil(BLOCK);
    let plane_cost = 27 * 4 * (BLOCK * quads * nj) as u64 * u64::from(params.in_channels);
    let mut list = Vec::new();
    for blocks in split_by_cost(num_blocks, planes as u64 * plane_cost, max_cost) {
        for some in split_by_cost(planes, blocks.len() as u64 * plane_cost, max_cost) {
            let [first_block, start_plane, end_plane] =
                [blocks.start, some.start, some.end].map(|n| n as u32);
            list.push(Dispatch {
                params: Params { first_block, start_plane, end_plane, ..params },
                constants: params.input.constants(),
                workgroups: spread(quads * nj.div_ceil(2) * some.len(), blocks.len()),
            });
        }
    }
    list
}

/// Returns the length of [`pack`]'s result.
pub fn packed_len(out_channels: usize, in_channels: usize) -> usize {
    out_channels.div_ceil(BLOCK) * BLOCK * in_channels * 27
}

/// Packs a weight `[to, from, 3, 3, 3]` as the kernel reads it.
pub fn pack(weight: &[f32], out_channels: usize, in_channels: usize) -> Vec<f32> {
    pack_blocks(weight, out_channels, in_channels, 27)
}

/// Computes `to[o] = Σ weight[o][c] ⋆ from[c]`.
///
/// # Shapes
/// `from` `[in_channels][k][j][i]`, `to` `[out_channels][k][j][i]`, `weight`
/// `[out_channels][in_channels][3][3][3]`.
pub fn reference(from: &[f32], to: &mut [f32], weight: &[f32], dims: [usize; 3]) {
    let voxels = dims.iter().product();
    let in_channels = from.len() / voxels;
    for (o, to) in to.chunks_exact_mut(voxels).enumerate() {
        to.fill(0.0);
        for (c, from) in from.chunks_exact(voxels).enumerate() {
            let taps = &weight[(o * in_channels + c) * 27..][..27];
            for_each_voxel(dims, |at, place| to[at] += correlate(from, dims, place, taps));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dispatches_cover_every_block_and_plane_once() {
        let input = InputSlab { dims: [8, 6, 9], row_quads: 2, planes: 5, ..InputSlab::zeroed() };
        let params = Params { input, in_channels: 3, out_channels: 20, ..Params::zeroed() };
        for max_cost in [1, 20_000, 100_000, u64::MAX] {
            let mut covered = Vec::new();
            for Dispatch { params, workgroups, .. } in dispatches(params, max_cost) {
                for block in params.first_block..params.first_block + workgroups[1] {
                    covered
                        .extend((params.start_plane..params.end_plane).map(|plane| (block, plane)));
                }
            }
            covered.sort_unstable();
            let all: Vec<_> = (0..3).flat_map(|block| (0..5).map(move |k| (block, k))).collect();
            assert_eq!(covered, all, "{max_cost}");
        }
    }
}
