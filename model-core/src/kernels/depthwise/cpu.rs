//! Depthwise 3³ convolution on the CPU: planes in parallel, three rows of nine taps at a time.

use multiversion::multiversion;
use rayon::prelude::*;

use super::super::cpu::{LANES, sum_lanes};

/// `output[v] = Σ_t weight[t] · x[v + t − 1]`, per channel.
///
/// # Shapes
/// - x, output: `[b, c, k, j, i]` with `dims` = (i, j, k)
/// - weight: `[c, 3, 3, 3]`
pub fn forward(x: &[f32], weight: &[f32], channels: usize, dims: [usize; 3]) -> Vec<f32> {
    let [ni, nj, nk] = dims;
    let plane = ni * nj;
    let mut output = vec![0.0; x.len()];
    output.par_chunks_mut(plane).enumerate().for_each(|(n, output)| {
        let (map, k) = (n / nk, n % nk);
        let x = &x[map * plane * nk..][..plane * nk];
        let weight = &weight[map % channels * 27..][..27];
        convolve_plane(output, x, weight, dims, k);
    });
    output
}

/// The gradient of the input: the same convolution with the kernel mirrored.
pub fn input_gradient(
    gradient: &[f32],
    weight: &[f32],
    channels: usize,
    dims: [usize; 3],
) -> Vec<f32> {
    let mirrored: Vec<f32> =
        weight.chunks_exact(27).flat_map(|taps| taps.iter().rev().copied()).collect();
    forward(gradient, &mirrored, channels, dims)
}

/// The gradient of the weight, all 27 taps in one pass over both maps.
///
/// # Shapes
/// - x, gradient: `[b, c, k, j, i]`
/// - output: `[c, 3, 3, 3]`
pub fn weight_gradient(
    x: &[f32],
    gradient: &[f32],
    batch: usize,
    channels: usize,
    dims: [usize; 3],
) -> Vec<f32> {
    let voxels: usize = dims.iter().product();
    let mut output = vec![0.0; channels * 27];
    output.par_chunks_mut(27).enumerate().for_each(|(channel, taps)| {
        let mut sums = [0.0f64; 27];
        for n in 0..batch {
            let map = (n * channels + channel) * voxels;
            let (x, gradient) = (&x[map..][..voxels], &gradient[map..][..voxels]);
            for k in 0..dims[2] {
                correlate_plane(&mut sums, x, gradient, dims, k);
            }
        }
        taps.iter_mut().zip(sums).for_each(|(tap, sum)| *tap = sum as f32);
    });
    output
}

/// Row `j` of plane `k`, or none beyond the border, where the padding is zero. Indices are one
/// more than the row's, so that −1 can be named.
#[inline(always)]
fn row(x: &[f32], [ni, nj, nk]: [usize; 3], j1: usize, k1: usize) -> Option<&[f32]> {
    let inside = (1..=nj).contains(&j1) && (1..=nk).contains(&k1);
    inside.then(|| &x[((k1 - 1) * nj + j1 - 1) * ni..][..ni])
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2", "aarch64+neon"))]
fn convolve_plane(output: &mut [f32], x: &[f32], weight: &[f32], dims: [usize; 3], k: usize) {
    for (j, output) in output.chunks_exact_mut(dims[0]).enumerate() {
        for dk in 0..3 {
            for dj in 0..3 {
                if let Some(row) = row(x, dims, j + dj, k + dk) {
                    let taps = &weight[(dk * 3 + dj) * 3..][..3];
                    add_row(output, row, taps[0], taps[1], taps[2]);
                }
            }
        }
    }
}

/// `output[i] += a · x[i − 1] + b · x[i] + c · x[i + 1]`, zero beyond the ends.
#[inline(always)]
fn add_row(output: &mut [f32], x: &[f32], a: f32, b: f32, c: f32) {
    let n = x.len();
    if n == 1 {
        output[0] += b * x[0];
        return;
    }
    output[0] += b * x[0] + c * x[1];
    output[n - 1] += a * x[n - 2] + b * x[n - 1];
    let inner = &mut output[1..n - 1];
    let (left, middle, right) = (&x[..n - 2], &x[1..n - 1], &x[2..]);
    for (((o, l), m), r) in inner.iter_mut().zip(left).zip(middle).zip(right) {
        *o += a * l + b * m + c * r;
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2", "aarch64+neon"))]
fn correlate_plane(sums: &mut [f64; 27], x: &[f32], gradient: &[f32], dims: [usize; 3], k: usize) {
    let ni = dims[0];
    for dk in 0..3 {
        for dj in 0..3 {
            let mut lanes = [[0.0f32; LANES]; 3];
            let mut ends = [0.0f32; 3];
            for j in 0..dims[1] {
                let gradient = &gradient[(k * dims[1] + j) * ni..][..ni];
                if let Some(row) = row(x, dims, j + dj, k + dk) {
                    correlate_row(&mut lanes, &mut ends, row, gradient);
                }
            }
            for di in 0..3 {
                sums[(dk * 3 + dj) * 3 + di] += sum_lanes(&lanes[di]) + f64::from(ends[di]);
            }
        }
    }
}

/// Adds `Σ gradient[i] · x[i + d]` for d = −1, 0, 1; what fills no vector goes to `ends`.
#[inline(always)]
fn correlate_row(lanes: &mut [[f32; LANES]; 3], ends: &mut [f32; 3], x: &[f32], gradient: &[f32]) {
    let n = x.len();
    for (d, (lanes, end)) in lanes.iter_mut().zip(ends).enumerate() {
        let (from_x, from_gradient) =
            (&x[d.saturating_sub(1).min(n)..], &gradient[(d == 0) as usize..]);
        let length = from_x.len().min(from_gradient.len());
        let (from_x, from_gradient) = (&from_x[..length], &from_gradient[..length]);
        let (xs, gs) = (from_x.chunks_exact(LANES), from_gradient.chunks_exact(LANES));
        for (x, g) in xs.remainder().iter().zip(gs.remainder()) {
            *end += x * g;
        }
        for (x, g) in xs.zip(gs) {
            for lane in 0..LANES {
                lanes[lane] += x[lane] * g[lane];
            }
        }
    }
}
