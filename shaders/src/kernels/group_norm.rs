//! Group norm (Wu and He 2018) with activation, in place or into another buffer.

use bytemuck::{Pod, Zeroable};

use super::{Dispatch, Kernel, moments, spread};

/// The kernel, which follows [`moments`]: `main` in place, `apart` into another buffer.
pub const KERNEL: Kernel = Kernel {
    name: "group_norm",
    source: include_str!("group_norm.wgsl"),
    entries: &["main", "apart"],
    params_bytes: size_of::<Params>(),
};

/// See the WGSL struct.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[allow(missing_docs)]
pub struct Params {
    pub stride: u32,
    pub from_offset: u32,
    pub to_offset: u32,
    pub group_channels: u32,
    pub negative_slope: f32,
}

/// The dispatch of either entry, for `num_channels`.
pub fn dispatch(params: Params, num_channels: usize) -> Dispatch<Params> {
    Dispatch { params, workgroups: spread(params.stride as usize, num_channels) }
}

/// `gamma` and `beta` as the kernel reads them.
pub fn pack(gamma: &[f32], beta: &[f32]) -> Vec<f32> {
    gamma.iter().zip(beta).flat_map(|(gamma, beta)| [*gamma, *beta]).collect()
}

/// Over the channels of each group together: mean 0, variance 1; then `gamma[c] · x + beta[c]`;
/// then negative values times `negative_slope`.
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
    let statistics = moments::reference(on, groups);
    for (c, channel) in on.chunks_exact_mut(voxels).enumerate() {
        let [mean, deviation] = statistics[c / group_channels];
        for x in channel {
            let y = ((*x as f64 - mean) / deviation) as f32 * gamma[c] + beta[c];
            *x = if y > 0.0 { y } else { negative_slope * y };
        }
    }
}
