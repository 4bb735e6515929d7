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
}

/// The dispatches, each of at most `most_cost` multiply-adds where that can be; `first_block` is
/// set here.
pub fn dispatches(params: Params, most_cost: u64) -> Vec<Dispatch<Params>> {
    let Window { dims: [_, nj, _], quads, planes, .. } = params.window;
    let [quads, nj, planes] = [quads, nj, planes].map(|n| n as usize);
    let voxels = 4 * (quads * nj * planes) as u64;
    let row_cost = 27 * BLOCK as u64 * u64::from(params.num_from) * voxels;
    pieces((params.num_to as usize).div_ceil(BLOCK), row_cost, most_cost)
        .map(|blocks| Dispatch {
            params: Params { first_block: blocks.start as u32, ..params },
            constants: params.window.constants(),
            workgroups: spread(quads * nj.div_ceil(2) * planes, blocks.len()),
        })
        .collect()
}

/// Numbers that [`pack`] gives.
pub fn packed_len(num_to: usize, num_from: usize) -> usize {
    num_to.div_ceil(BLOCK) * BLOCK * num_from * 27
}

/// `weight` `[to, from, 3, 3, 3]` as the kernel reads it.
pub fn pack(weight: &[f32], num_to: usize, num_from: usize) -> Vec<f32> {
    pack_blocks(weight, num_to, num_from, 27)
}

/// `to[o] = Σ weight[o][c] ⋆ from[c]`.
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
