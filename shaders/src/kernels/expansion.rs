//! The statistics of a norm after a 1³ convolution, computed from the means and the covariance of
//! the convolution's input.

use bytemuck::{Pod, Zeroable};

use super::covariance::{self, num_pairs};
use super::kernel::{self, Dispatch, Kernel};

/// The kernel: `combine`, then `norm_affines`.
pub const KERNEL: Kernel = Kernel {
    name: "expansion",
    body: include_str!("expansion.wgsl"),
    entries: &["combine", "norm_affines"],
    params_bytes: size_of::<Params>(),
    includes: &[kernel::BLOCK_PAIR],
};

/// See the WGSL struct.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[allow(missing_docs)]
pub struct Params {
    pub in_channels: u32,
    pub chunks: u32,
    pub group_channels: u32,
    pub affine: u32,
    pub slope: f32,
    pub epsilon: f32,
}

/// Returns the dispatch of `combine`, after all slabs.
pub fn combine(params: Params) -> Dispatch<Params> {
    let pairs = num_pairs(params.in_channels as usize) as u32;
    Dispatch { params, constants: &[], workgroups: [pairs, 1, 1] }
}

/// Returns the dispatch of `norm_affines`, after `combine`.
pub fn norm_affines(params: Params, num_channels: usize) -> Dispatch<Params> {
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
pub fn reference(from: &[f32], weight: &[f32], groups: usize, in_channels: usize) -> Vec<[f64; 2]> {
    let (means, matrix) = covariance::reference(from, in_channels);
    let of_row = |row: &[f32]| {
        let along =
            |values: &[f64]| -> f64 { row.iter().zip(values).map(|(&w, v)| w as f64 * v).sum() };
        let products: Vec<f64> = matrix.iter().map(|values| along(values)).collect();
        [along(&means), along(&products)]
    };
    let rows: Vec<[f64; 2]> = weight.chunks_exact(in_channels).map(of_row).collect();
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
        let (in_channels, out_channels, voxels) = (3, 4, 50);
        let number = |n: usize| ((n * 7919) % 101) as f32 / 25.0 - 1.0;
        let from: Vec<f32> = (0..in_channels * voxels).map(number).collect();
        let weight: Vec<f32> = (0..out_channels * in_channels).map(|n| number(n + 31)).collect();
        let mut expanded = vec![0.0; out_channels * voxels];
        pointwise_conv::reference(&from, &mut expanded, &weight, None, voxels);
        let found = reference(&from, &weight, 2, in_channels);
        for (found, expected) in found.iter().zip(moments::reference(&expanded, 2)) {
            for (a, b) in found.iter().zip(expected) {
                assert!((a - b).abs() < 1e-5, "{a} {b}");
            }
        }
    }
}
