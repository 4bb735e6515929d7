//! Depthwise 3³ convolution on the CPU. Slabs of planes run in parallel on a zero-padded copy, in
//! which a whole plane is one contiguous run for every tap.

use multiversion::multiversion;
use rayon::prelude::*;

use super::super::cpu::{Channel, Channels, LANES, sum_lanes};

/// Voxels of a slab. Its padded copy fits a core's own cache.
const SLAB_VOXELS: usize = 1 << 15;

/// Computes `output[v] = Σ_t weight[t] · x[v + t − 1]` per channel.
///
/// # Shapes
/// - x, output: `[b, c, k, j, i]` with `dims` = (i, j, k)
/// - weight: `[c, 3, 3, 3]`
pub fn forward(x: &Channels, weight: &[f32], channels: usize, dims: [usize; 3]) -> Vec<f32> {
    let plane = dims[0] * dims[1];
    let slab = (SLAB_VOXELS / plane).clamp(1, dims[2]);
    let mut output = vec![0.0; x.len()];
    output.par_chunks_mut(plane * dims[2]).enumerate().for_each(|(map, output)| {
        let x = x.map(map, plane * dims[2]);
        let weight = &weight[map % channels * 27..][..27];
        output.par_chunks_mut(plane * slab).enumerate().for_each(|(n, output)| {
            let padded = Padded::new(x, dims, n * slab, output.len() / plane);
            let mut sums = vec![0.0; padded.run()];
            for (k, output) in output.chunks_exact_mut(plane).enumerate() {
                convolve_plane(&mut sums, &padded, weight, k);
                let rows = output.chunks_exact_mut(dims[0]);
                for (output, sums) in rows.zip(sums.chunks_exact(padded.stride)) {
                    output.copy_from_slice(&sums[..dims[0]]);
                }
            }
        });
    });
    output
}

/// Computes the gradient of the input: the same convolution with the kernel mirrored.
pub fn input_gradient(
    gradient: &Channels,
    weight: &[f32],
    channels: usize,
    dims: [usize; 3],
) -> Vec<f32> {
    let mirrored: Vec<f32> =
        weight.chunks_exact(27).flat_map(|taps| taps.iter().rev().copied()).collect();
    forward(gradient, &mirrored, channels, dims)
}

/// Computes the gradient of the weight, all 27 taps in one pass over x and the gradient.
///
/// # Shapes
/// - x, gradient: `[b, c, k, j, i]`
/// - output: `[c, 3, 3, 3]`
pub fn weight_gradient(
    x: &Channels,
    gradient: &[f32],
    batch: usize,
    channels: usize,
    dims: [usize; 3],
) -> Vec<f32> {
    let [ni, nj, nk] = dims;
    let (plane, slab) = (ni * nj, (SLAB_VOXELS / (ni * nj)).clamp(1, nk));
    let mut output = vec![0.0; channels * 27];
    output.par_chunks_mut(27).enumerate().for_each(|(channel, taps)| {
        let mut sums = [0.0f64; 27];
        // The two columns after each row stay zero, so that products with the padding vanish.
        let mut rows = vec![0.0; nj * (ni + 2)];
        for map in (0..batch).map(|n| n * channels + channel) {
            let x = x.map(map, plane * nk);
            for first in (0..nk).step_by(slab) {
                let planes = slab.min(nk - first);
                let padded = Padded::new(x, dims, first, planes);
                for k in 0..planes {
                    let gradient = &gradient[(map * nk + first + k) * plane..][..plane];
                    let from = gradient.chunks_exact(ni);
                    for (row, from) in rows.chunks_exact_mut(ni + 2).zip(from) {
                        row[..ni].copy_from_slice(from);
                    }
                    correlate_plane(&mut sums, &padded, &rows, k);
                }
            }
        }
        taps.iter_mut().zip(sums).for_each(|(tap, sum)| *tap = sum as f32);
    });
    output
}

/// Some planes of a channel with a border of zeros. The first tap of output voxel (0, j, k) is at
/// `(k · (nj + 2) + j) · stride`.
struct Padded {
    values: Vec<f32>,
    /// Values from row to row.
    stride: usize,
    /// Values from plane to plane.
    plane: usize,
}

impl Padded {
    fn new(x: Channel, [ni, nj, nk]: [usize; 3], first: usize, planes: usize) -> Self {
        let (stride, plane) = (ni + 2, (ni + 2) * (nj + 2));
        // The taps of the last row reach two values beyond its plane.
        let mut values = vec![0.0; (planes + 2) * plane + 2];
        for k in first.saturating_sub(1)..(first + planes + 1).min(nk) {
            let rows = &mut values[(k + 1 - first) * plane + stride..][..nj * stride];
            load_plane(rows, x, k * ni * nj, ni);
        }
        Padded { values, stride, plane }
    }

    /// Returns the length of a plane of outputs, including the two unused values between rows.
    fn run(&self) -> usize {
        self.plane - 2 * self.stride
    }

    /// Returns the values that tap (di, dj, dk) reads for output plane `k`.
    #[inline(always)]
    fn tap(&self, k: usize, [di, dj, dk]: [usize; 3]) -> &[f32] {
        &self.values[(k + dk) * self.plane + dj * self.stride + di..][..self.run()]
    }
}

/// Loads the rows of the plane that begins at `start`, two zeros apart.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2", "aarch64+neon"))]
fn load_plane(rows: &mut [f32], x: Channel, start: usize, ni: usize) {
    for (j, row) in rows.chunks_exact_mut(ni + 2).enumerate() {
        x.load(&mut row[1..=ni], start + j * ni);
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2", "aarch64+neon"))]
fn convolve_plane(sums: &mut [f32], x: &Padded, weight: &[f32], k: usize) {
    sums.fill(0.0);
    for dk in 0..3 {
        for dj in 0..3 {
            let taps: [&[f32]; 3] = std::array::from_fn(|di| &x.tap(k, [di, dj, dk])[..sums.len()]);
            let w = &weight[(dk * 3 + dj) * 3..][..3];
            for (((sum, a), b), c) in sums.iter_mut().zip(taps[0]).zip(taps[1]).zip(taps[2]) {
                *sum += w[0] * a + w[1] * b + w[2] * c;
            }
        }
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2", "aarch64+neon"))]
fn correlate_plane(sums: &mut [f64; 27], x: &Padded, gradient: &[f32], k: usize) {
    for dk in 0..3 {
        for dj in 0..3 {
            let taps: [&[f32]; 3] =
                std::array::from_fn(|di| &x.tap(k, [di, dj, dk])[..gradient.len()]);
            let mut lanes = [[0.0f32; LANES]; 3];
            let gradients = gradient.chunks_exact(LANES);
            let rest = gradient.len() - gradients.remainder().len();
            for (n, gradient) in gradients.enumerate() {
                for (lanes, tap) in lanes.iter_mut().zip(taps) {
                    let tap = &tap[n * LANES..][..LANES];
                    for lane in 0..LANES {
                        lanes[lane] += tap[lane] * gradient[lane];
                    }
                }
            }
            for (di, (lanes, tap)) in lanes.iter().zip(taps).enumerate() {
                let ends = tap[rest..].iter().zip(&gradient[rest..]);
                let ends: f64 = ends.map(|(x, g)| f64::from(x * g)).sum();
                sums[(dk * 3 + dj) * 3 + di] += sum_lanes(lanes) + ends;
            }
        }
    }
}
