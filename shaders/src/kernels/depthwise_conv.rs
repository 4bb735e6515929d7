//! Depthwise 3³ convolution, zero padding 1.

use bytemuck::{Pod, Zeroable};

use super::kernel::{self, Constants, Dispatch, Kernel};
use super::slab::InputSlab;
use super::voxels::{correlate, for_each_voxel};
use super::workgroups::{split_by_cost, spread};

/// The kernel.
pub const KERNEL: Kernel = Kernel {
    name: "depthwise_conv",
    body: include_str!("depthwise_conv.wgsl"),
    entries: &["main"],
    params_bytes: size_of::<Params>(),
    includes: &[kernel::INPUT_SLAB, kernel::MOMENTS, kernel::PLANE_SUMS],
};

/// Planes along k per invocation, as in the WGSL.
pub const PLANES: usize = 8;

/// Rows per invocation, as in the WGSL.
pub const ROWS: usize = 2;

/// See the WGSL struct.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[allow(missing_docs)]
pub struct Params {
    pub input: InputSlab,
    pub output_channel: u32,
    pub first_channel: u32,
    pub chunks: u32,
    pub first_chunk: u32,
}

/// Returns the workgroups along x and z for a channel of a slab. Each writes one chunk of moments.
fn groups(slab: &InputSlab) -> [u32; 2] {
    let [quads, nj, planes] = [slab.row_quads, slab.dims[1], slab.planes].map(|n| n as usize);
    let [x, _, z] = spread(quads * nj.div_ceil(ROWS) * planes.div_ceil(PLANES), 1);
    [x, z]
}

/// Returns the chunks of one channel of a slab.
pub fn num_chunks(slab: &InputSlab) -> usize {
    groups(slab).iter().map(|&n| n as usize).product()
}

/// Returns the dispatches for `num_channels`, each of at most `max_cost` multiply-adds if it can
/// be split. They also write moments of the output if `chunks` is not 0. Sets `first_channel`.
pub fn dispatches(params: Params, num_channels: usize, max_cost: u64) -> Vec<Dispatch<Params>> {
    let InputSlab { dims: [_, nj, _], row_quads, planes, .. } = params.input;
    let voxels = [4, row_quads, nj, planes].map(u64::from).iter().product::<u64>();
    let [x, z] = groups(&params.input);
    let is_only_slab = params.input.is_only_slab();
    split_by_cost(num_channels, 27 * voxels, max_cost)
        .map(|channels| Dispatch {
            params: Params { first_channel: channels.start as u32, ..params },
            constants: constants(is_only_slab, params.chunks > 0),
            workgroups: [x, channels.len() as u32, z],
        })
        .collect()
}

/// Returns the constants of a kernel that can write moments of its output.
pub(super) fn constants(is_only_slab: bool, writes_moments: bool) -> Constants {
    match (is_only_slab, writes_moments) {
        (false, false) => &[("IS_ONLY_SLAB", 0), ("WRITES_MOMENTS", 0)],
        (false, true) => &[("IS_ONLY_SLAB", 0), ("WRITES_MOMENTS", 1)],
        (true, false) => &[("IS_ONLY_SLAB", 1), ("WRITES_MOMENTS", 0)],
        (true, true) => &[("IS_ONLY_SLAB", 1), ("WRITES_MOMENTS", 1)],
    }
}

/// Returns the length of [`pack`]'s result.
pub fn packed_len(num_channels: usize) -> usize {
    num_channels * 36
}

/// Packs a weight `[c, 3, 3, 3]` as the kernel reads it, with a fourth, unused tap along i.
pub fn pack(weight: &[f32]) -> Vec<f32> {
    weight.chunks_exact(3).flat_map(|row| [row[0], row[1], row[2], 0.0]).collect()
}

/// Computes `to[c] = weight[c] ⋆ from[c]`.
///
/// # Shapes
/// `from`, `to` `[c][k][j][i]`, `weight` `[c][3][3][3]`.
pub fn reference(from: &[f32], to: &mut [f32], weight: &[f32], dims: [usize; 3]) {
    let voxels = dims.iter().product();
    let channels = from.chunks_exact(voxels).zip(to.chunks_exact_mut(voxels));
    for ((from, to), taps) in channels.zip(weight.chunks_exact(27)) {
        for_each_voxel(dims, |at, place| to[at] = correlate(from, dims, place, taps));
    }
}
