//! The statistics of a norm after a 1³ convolution, computed from the means and the covariance of
//! the convolution's input.

use bytemuck::{Pod, Zeroable};

use super::covariance::{self, num_pairs};
use super::{Dispatch, Kernel};

/// The kernel: `combine`, then `norms`.
pub const KERNEL: Kernel = Kernel {
    name: "expansion",
    body: include_str!("expansion.wgsl"),
    entries: &["combine", "norms"],
    params_bytes: size_of::<Params>(),
    parts: &[super::PAIR],
};

/// See the WGSL struct.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[allow(missing_docs)]
pub struct Params {
    pub num_from: u32,
    pub chunks: u32,
    pub group_channels: u32,
    pub affine: u32,
    pub slope: f32,
    pub epsilon: f32,
}

/// Returns the dispatch of `combine`, after all slabs.
pub fn combine(params: Params) -> Dispatch<Params> {
    let pairs = num_pairs(params.num_from as usize) as u32;
    Dispatch { params, constants: &[], workgroups: [pairs, 1, 1] }
}

/// Returns the dispatch of `norms`, after `combine`.
pub fn norms(params: Params, num_channels: usize) -> Dispatch<Params> {
    let groups = num_channels as u32 / params.group_channels;
    Dispatch { params, constants: &[], workgroups: [groups, 1, 1] }
}

/// Packs the norm's parameters and the convolution's weight `[to, from]` as the kernel reads them.
pub fn pack(gamma: &[f32], beta: &[f32], weight: &[f32]) -> Vec<f32> {
    let rows = weight.chunks_exact(weight.len() / gamma.len());
    let channels = gamma.iter().zip(beta).zip(rows);
    channels.flat_map(|((&gamma, &beta), row)| [&[gamma, beta], row].concat()).collect()
}

/// Returns, for each group of the convolution's output channels, the mean and the square root of
/// the (biased) variance plus epsilon: the result of
/// [`moments::reference`](super::moments::reference) on the expanded channels.
///
/// # Shapes
/// `from` `[c][voxels]`, `weight` `[to][c]`.
pub fn reference(from: &[f32], weight: &[f32], groups: usize, num_from: usize) -> Vec<[f64; 2]> {
    let (means, matrix) = covariance::reference(from, num_from);
    let of_row = |row: &[f32]| {
        let along =
            |values: &[f64]| -> f64 { row.iter().zip(values).map(|(&w, v)| w as f64 * v).sum() };
        let products: Vec<f64> = matrix.iter().map(|values| along(values)).collect();
        [along(&means), along(&products)]
    };
    let rows: Vec<[f64; 2]> = weight.chunks_exact(num_from).map(of_row).collect();
    let of_group = |rows: &[[f64; 2]]| {
        let count = rows.len() as f64;
        let mean = rows.iter().map(|row| row[0]).sum::<f64>() / count;
        let squares = rows.iter().map(|row| row[1] + (row[0] - mean).powi(2)).sum::<f64>();
        [mean, (squares / count + model_core::network::config::NORM_EPSILON as f64).sqrt()]
    };
    rows.chunks_exact(rows.len() / groups).map(of_group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{moments, pointwise_conv};

    #[test]
    fn a_covariance_tells_the_moments_of_what_is_expanded() {
        let (num_from, num_to, voxels) = (3, 4, 50);
        let number = |n: usize| ((n * 7919) % 101) as f32 / 25.0 - 1.0;
        let from: Vec<f32> = (0..num_from * voxels).map(number).collect();
        let weight: Vec<f32> = (0..num_to * num_from).map(|n| number(n + 31)).collect();
        let mut expanded = vec![0.0; num_to * voxels];
        pointwise_conv::reference(&from, &mut expanded, &weight, None, voxels);
        let found = reference(&from, &weight, 2, num_from);
        for (found, expected) in found.iter().zip(moments::reference(&expanded, 2)) {
            for (a, b) in found.iter().zip(expected) {
                assert!((a - b).abs() < 1e-5, "{a} {b}");
            }
        }
    }
}
