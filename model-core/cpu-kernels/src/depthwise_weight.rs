//! The gradient of the weight of a depthwise 3³ convolution, slab by slab of a zero-padded copy.

use crate::channels::Channels;
use crate::depthwise::Padded;
use crate::parallel;
use crate::vector::{Vector, vectorized};

/// Voxels of a slab. Its padded copy fits a core's own cache.
const SLAB_VOXELS: usize = 1 << 15;

/// Rows of the gradient that share the loaded rows of x.
const ROWS: usize = 4;

/// Computes the gradient of the weight, all 27 taps in one pass over x and the gradient.
///
/// # Shapes
/// - x, gradient: `[b, c, k, j, i]`
/// - returns: `[c, 3, 3, 3]`
pub fn weight_gradient(
    x: Channels,
    gradient: &[f32],
    batch: usize,
    channels: usize,
    dims: [usize; 3],
) -> Vec<f32> {
    let [ni, nj, nk] = dims;
    let (plane, slab) = (ni * nj, (SLAB_VOXELS / (ni * nj)).clamp(1, nk));
    // Slabs of all maps, so that a few channels keep many threads busy.
    let starts = (0..nk).step_by(slab);
    let maps = (0..channels).flat_map(|c| (0..batch).map(move |n| n * channels + c));
    let parts = maps.flat_map(|map| starts.clone().map(move |first| (map, first)));
    let sums = parallel::map(parts.collect(), |_, (map, first): (usize, usize)| {
        let planes = slab.min(nk - first);
        let x = x.channel(map, plane * nk);
        let padded = Padded::new(x, dims, first as isize - 1, planes + 2);
        let mut sums = [0.0f64; 27];
        for k in 0..planes {
            let gradient = &gradient[(map * nk + first + k) * plane..][..plane];
            for dk in 0..3 {
                let x = padded.from_plane(k + dk);
                let of_plane = correlate(x, padded.stride, gradient, ni);
                sums[dk * 9..].iter_mut().zip(of_plane).for_each(|(sum, more)| *sum += more);
            }
        }
        sums
    });
    let of_channels = sums.chunks(batch * nk.div_ceil(slab));
    let add = |of_channel: &[[f64; 27]]| -> [f32; 27] {
        std::array::from_fn(|tap| of_channel.iter().map(|sums| sums[tap]).sum::<f64>() as f32)
    };
    of_channels.flat_map(add).collect()
}

vectorized! {
    /// Computes the sums of nine taps over a plane.
    ///
    /// # Shapes
    /// - x: a padded plane, rows `stride` apart, followed by at least a vector of values
    /// - gradient: `[row, ni]`
    fn correlate(x: &[f32], stride: usize, gradient: &[f32], ni: usize) -> [f64; 9]
        = correlate_by, 1
}

#[inline(always)]
fn correlate_by<V: Vector>(x: &[f32], stride: usize, gradient: &[f32], ni: usize) -> [f64; 9] {
    let mut sums = [V::splat(0.0); 9];
    for (block, gradient) in gradient.chunks(ROWS * ni).enumerate() {
        let (rows, x) = (gradient.len() / ni, &x[block * ROWS * stride..]);
        assert!(x.len() >= (rows + 1) * stride + ni.next_multiple_of(V::LANES) + 2);
        match rows {
            ROWS => add_rows::<V, ROWS>(&mut sums, x, stride, gradient, ni),
            _ => {
                for (row, gradient) in gradient.chunks_exact(ni).enumerate() {
                    add_rows::<V, 1>(&mut sums, &x[row * stride..], stride, gradient, ni);
                }
            }
        }
    }
    let mut totals = [0.0; 9];
    for n in 0..9 {
        totals[n] = f64::from(sums[n].sum());
    }
    totals
}

/// Adds the products of `R` rows of the gradient.
#[inline(always)]
fn add_rows<V: Vector, const R: usize>(
    all: &mut [V; 9],
    x: &[f32],
    stride: usize,
    gradient: &[f32],
    ni: usize,
) {
    let mut sums = *all;
    for i in (0..ni).step_by(V::LANES) {
        // Beyond the end of a row the gradient is 0, and so are products with what follows in x.
        let mut gradients = [V::splat(0.0); R];
        for row in 0..R {
            let end = ni.min(i + V::LANES);
            gradients[row] = V::load_some(&gradient[row * ni + i..row * ni + end]);
        }
        for row in 0..R + 2 {
            for di in 0..3 {
                // SAFETY: the caller checked the length of x.
                let x = unsafe { V::load_unchecked(x, row * stride + i + di) };
                for dj in 0..3 {
                    if row >= dj && row - dj < R {
                        sums[dj * 3 + di] = x.mul_add(gradients[row - dj], sums[dj * 3 + di]);
                    }
                }
            }
        }
    }
    *all = sums;
}
