//! Maximum over 2³ voxels.

use bytemuck::{Pod, Zeroable};

use super::kernel::{self, Dispatch, Kernel};
use super::slab::{InputSlab, OutputPlanes};
use super::voxels::for_each_voxel;
use super::workgroups::spread;

/// The kernel.
pub const KERNEL: Kernel = Kernel {
    name: "max_pool",
    body: include_str!("max_pool.wgsl"),
    entries: &["main"],
    params_bytes: size_of::<Params>(),
    includes: &[kernel::INPUT_SLAB, kernel::OUTPUT_PLANES],
};

/// See the WGSL struct.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[allow(missing_docs)]
pub struct Params {
    pub input: InputSlab,
    pub output: OutputPlanes,
}

/// The dispatch for `num_channels`.
pub fn dispatch(params: Params, num_channels: usize) -> Dispatch<Params> {
    Dispatch {
        params,
        constants: params.input.constants(),
        workgroups: spread(params.output.num_quads(), num_channels),
    }
}

/// Computes the maximum of every 2³ voxels.
///
/// # Shapes
/// `to` `[c][k][j][i]` of `dims`, `from` `[c][2k][2j][2i]`.
pub fn reference(from: &[f32], to: &mut [f32], dims: [usize; 3]) {
    let voxels: usize = dims.iter().product();
    let [ni, nj, _] = dims.map(|d| 2 * d);
    for (from, to) in from.chunks_exact(8 * voxels).zip(to.chunks_exact_mut(voxels)) {
        for_each_voxel(dims, |at, [i, j, k]| {
            let corners = (0..8).map(|n| {
                let [i, j, k] = [2 * i + n % 2, 2 * j + n / 2 % 2, 2 * k + n / 4];
                from[(k * nj + j) * ni + i]
            });
            to[at] = corners.fold(f32::NEG_INFINITY, f32::max);
        });
    }
}
