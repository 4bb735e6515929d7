//! Group norm (Wu and He 2018) with activation, in place.

use bytemuck::{Pod, Zeroable};
use model_core::config::NORM_EPSILON;

use super::{Dispatch, Kernel, spread};

/// The kernel: `partial`, then `combine`, then `apply`.
pub const KERNEL: Kernel = Kernel {
    name: "group_norm",
    source: include_str!("group_norm.wgsl"),
    entries: &["partial", "combine", "apply"],
    params_bytes: size_of::<Params>(),
};

/// vec4s of one chunk, as in the WGSL.
const CHUNK: usize = 4096;

/// Bytes of a chunk's moments.
pub const PARTIAL_BYTES: u64 = 16;

/// Bytes of a group's statistics.
pub const STATISTICS_BYTES: u64 = 8;

/// See the WGSL struct.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[allow(missing_docs)]
pub struct Params {
    pub stride: u32,
    pub num_voxels: u32,
    pub offset: u32,
    pub group_channels: u32,
    pub chunks: u32,
    pub epsilon: f32,
    pub negative_slope: f32,
}

/// Chunks of one channel.
pub fn num_chunks(stride: u32) -> usize {
    (stride as usize).div_ceil(CHUNK)
}

/// The dispatches of the three passes, in the order of [`KERNEL`]'s entries.
pub fn dispatches(params: Params, num_channels: usize) -> [Dispatch<Params>; 3] {
    let num_groups = num_channels as u32 / params.group_channels;
    let pass = |workgroups| Dispatch { params, workgroups };
    [
        pass([params.chunks, num_channels as u32, 1]),
        pass([1, num_groups, 1]),
        pass(spread(params.stride as usize, num_channels)),
    ]
}

/// `gamma` and `beta` as the kernel reads them.
pub fn pack(gamma: &[f32], beta: &[f32]) -> Vec<f32> {
    gamma.iter().zip(beta).flat_map(|(gamma, beta)| [*gamma, *beta]).collect()
}

/// Over the channels of each group together: mean 0, (biased) variance 1; then
/// `gamma[c] · x + beta[c]`; then negative values times `negative_slope`.
///
/// # Shapes
/// `on` `[c][voxels]`, `gamma`, `beta` `[c]`.
pub fn reference(
    on: &mut [f32],
    groups: usize,
    gamma: &[f32],
    beta: &[f32],
    negative_slope: f32,
    voxels: usize,
) {
    let group_channels = gamma.len() / groups;
    for (g, group) in on.chunks_exact_mut(group_channels * voxels).enumerate() {
        // In f64: the reference is what the kernel's sums in f32 are measured against.
        let count = group.len() as f64;
        let mean = group.iter().map(|&x| x as f64).sum::<f64>() / count;
        let variance = group.iter().map(|&x| (x as f64 - mean).powi(2)).sum::<f64>() / count;
        let deviation = (variance + NORM_EPSILON as f64).sqrt();
        for (c, channel) in group.chunks_exact_mut(voxels).enumerate() {
            let c = g * group_channels + c;
            for x in channel {
                let y = ((*x as f64 - mean) / deviation) as f32 * gamma[c] + beta[c];
                *x = if y > 0.0 { y } else { negative_slope * y };
            }
        }
    }
}
