//! The gradient of the weight on the CPU, slab by slab of a zero-padded copy.

use multiversion::multiversion;
use rayon::prelude::*;

use super::super::cpu::{LANES, sum_lanes};
use cpu_kernels::channels::Channels;
use cpu_kernels::depthwise::Padded;

/// Voxels of a slab. Its padded copy fits a core's own cache.
const SLAB_VOXELS: usize = 1 << 15;

/// Computes the gradient of the weight, all 27 taps in one pass over x and the gradient.
///
/// # Shapes
/// - x, gradient: `[b, c, k, j, i]`
/// - output: `[c, 3, 3, 3]`
pub fn weight_gradient(
    x: Channels,
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
            let x = x.channel(map, plane * nk);
            for first in (0..nk).step_by(slab) {
                let planes = slab.min(nk - first);
                let padded = Padded::new(x, dims, first as isize - 1, planes + 2);
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

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2", "aarch64+neon"))]
fn correlate_plane(sums: &mut [f64; 27], x: &Padded, gradient: &[f32], k: usize) {
    for dk in 0..3 {
        for dj in 0..3 {
            let taps: [&[f32]; 3] = std::array::from_fn(|di| {
                &x.from_plane(k + dk)[dj * x.stride + di..][..gradient.len()]
            });
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
