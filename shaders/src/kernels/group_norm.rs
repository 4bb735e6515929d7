//! Group norm (Wu and He 2018) with activation. The kernel that reads a feature map applies it, by
//! the affine maps that [`moments`] computes.

use super::moments;

/// Bytes of a channel's affine map: mean, gamma / deviation, beta, and the factor of negative
/// values.
pub const AFFINE_BYTES: u64 = 16;

/// The affine map of a feature map without a norm.
pub const IDENTITY: [f32; 4] = [0.0, 1.0, 0.0, 1.0];

/// Packs `gamma` and `beta` as the kernel reads them.
pub fn pack(gamma: &[f32], beta: &[f32]) -> Vec<f32> {
    gamma.iter().zip(beta).flat_map(|(gamma, beta)| [*gamma, *beta]).collect()
}

/// Normalizes the channels of each group to mean 0 and variance 1, computes `gamma[c] · x +
/// beta[c]`, and multiplies negative values by `negative_slope`.
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
