//! Dense 3³ convolution, zero padding 1.

use bytemuck::{Pod, Zeroable};

use super::{
    BLOCK, Dispatch, Kernel, Window, correlate, for_each_voxel, pack_blocks, pieces, spread,
};

/// The kernel.
pub const KERNEL: Kernel = Kernel {
    name: "conv3",
    body: include_str!("conv3.wgsl"),
    entries: &["main"],
    params_bytes: size_of::<Params>(),
    parts: &[super::WINDOW, super::EIGHT],
};

/// See the WGSL struct.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[allow(missing_docs)]
pub struct Params {
    pub window: Window,
    pub to_channel: u32,
    pub num_from: u32,
    pub num_to: u32,
    pub first_block: u32,
    pub start: u32,
    pub end: u32,
    pub padding: [u32; 2],
}

/// Returns the dispatches, each of at most `max_cost` multiply-adds if it can be split. Sets
/// `first_block`, `start` and `end`.
pub fn dispatches(params: Params, max_cost: u64) -> Vec<Dispatch<Params>> {
    let Window { dims: [_, nj, _], quads, planes, .. } = params.window;
    let [quads, nj, planes] = [quads, nj, planes].map(|n| n as usize);
    let num_blocks = (params.num_to as usize).div_ceil(BLOCK);
    let plane_cost = 27 * 4 * (BLOCK * quads * nj) as u64 * u64::from(params.num_from);
    let mut list = Vec::new();
    for blocks in pieces(num_blocks, planes as u64 * plane_cost, max_cost) {
        for some in pieces(planes, blocks.len() as u64 * plane_cost, max_cost) {
            let [first_block, start, end] = [blocks.start, some.start, some.end].map(|n| n as u32);
            list.push(Dispatch {
                params: Params { first_block, start, end, ..params },
                constants: params.window.constants(),
                workgroups: spread(quads * nj.div_ceil(2) * some.len(), blocks.len()),
            });
        }
    }
    list
}

/// Returns the length of [`pack`]'s result.
pub fn packed_len(num_to: usize, num_from: usize) -> usize {
    num_to.div_ceil(BLOCK) * BLOCK * num_from * 27
}

/// Packs a weight `[to, from, 3, 3, 3]` as the kernel reads it.
pub fn pack(weight: &[f32], num_to: usize, num_from: usize) -> Vec<f32> {
    pack_blocks(weight, num_to, num_from, 27)
}

/// Computes `to[o] = Σ weight[o][c] ⋆ from[c]`.
///
/// # Shapes
/// `from` `[num_from][k][j][i]`, `to` `[num_to][k][j][i]`, `weight` `[num_to][num_from][3][3][3]`.
pub fn reference(from: &[f32], to: &mut [f32], weight: &[f32], dims: [usize; 3]) {
    let voxels = dims.iter().product();
    let num_from = from.len() / voxels;
    for (o, to) in to.chunks_exact_mut(voxels).enumerate() {
        to.fill(0.0);
        for (c, from) in from.chunks_exact(voxels).enumerate() {
            let taps = &weight[(o * num_from + c) * 27..][..27];
            for_each_voxel(dims, |at, place| to[at] += correlate(from, dims, place, taps));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dispatches_cover_every_block_and_plane_once() {
        let window = Window { dims: [8, 6, 9], quads: 2, planes: 5, ..Window::zeroed() };
        let params = Params { window, num_from: 3, num_to: 20, ..Params::zeroed() };
        for max_cost in [1, 20_000, 100_000, u64::MAX] {
            let mut covered = Vec::new();
            for Dispatch { params, workgroups, .. } in dispatches(params, max_cost) {
                for block in params.first_block..params.first_block + workgroups[1] {
                    covered.extend((params.start..params.end).map(|plane| (block, plane)));
                }
            }
            covered.sort_unstable();
            let all: Vec<_> = (0..3).flat_map(|block| (0..5).map(move |k| (block, k))).collect();
            assert_eq!(covered, all, "{max_cost}");
        }
    }
}
