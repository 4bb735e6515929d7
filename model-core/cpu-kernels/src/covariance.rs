//! Statistics of the output of a pointwise convolution from those of its input, so that the output
//! need not exist: a sum over input channels has the mean w·m and the variance wᵀ C w.

use std::ops::Range;

use crate::channels::{Channel, Channels, Statistics};
use crate::moments::Moments;
use crate::parallel;
use crate::vector::{MAX_LANES, Vector, vectorized};

/// Voxels of a tile; its deviations stay in a core's own cache.
const TILE_VOXELS: usize = 512;

/// Fewest voxels of a part of a map.
const PART_VOXELS: usize = 1 << 12;

/// Number of voxels, means of channels, and sums of products of deviations.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Covariance {
    /// Number of voxels.
    pub count: f64,
    /// Mean of every channel.
    pub means: Vec<f64>,
    /// Sum of products of the deviations of channels a and b ≤ a, at `a (a + 1) / 2 + b`.
    pub products: Vec<f64>,
}

impl Covariance {
    /// Computes the covariance of a range of voxels.
    #[inline(never)]
    pub fn of(x: Channels, channels: usize, range: Range<usize>) -> Covariance {
        let voxels = x.len() / channels;
        let parts = parallel::parts(range.clone(), parallel::part_len(range.len(), PART_VOXELS));
        let of_parts = parallel::map(parts, |_, part| of_part(x, channels, voxels, part));
        let mut total = Covariance::default();
        of_parts.iter().for_each(|part| total.merge(part));
        total
    }

    /// Adds the voxels of another covariance.
    pub fn merge(&mut self, other: &Covariance) {
        if self.count == 0.0 {
            self.clone_from(other);
            return;
        }
        let count = self.count + other.count;
        let share = other.count / count;
        let apart: Vec<f64> = other.means.iter().zip(&self.means).map(|(a, b)| a - b).collect();
        let mut at = 0;
        for a in 0..apart.len() {
            for b in 0..=a {
                self.products[at] += other.products[at] + apart[a] * apart[b] * self.count * share;
                at += 1;
            }
        }
        self.means.iter_mut().zip(&apart).for_each(|(mean, apart)| *mean += apart * share);
        self.count = count;
    }

    /// Returns the covariance as numbers, for the other parts of a run.
    pub fn to_values(&self) -> Vec<f64> {
        [&[self.count][..], &self.means, &self.products].concat()
    }

    /// Returns the covariance of another part.
    ///
    /// # Panics
    /// Panics if the values are not those of as many channels.
    pub fn from_values(values: &[f64], channels: usize) -> Covariance {
        assert_eq!(values.len(), 1 + channels + num_products(channels), "a covariance");
        let (means, products) = values[1..].split_at(channels);
        Covariance { count: values[0], means: means.to_vec(), products: products.to_vec() }
    }

    /// Returns the statistics of one output channel with weights for every channel.
    pub fn output(&self, weight: &[f32]) -> Moments {
        let weight: Vec<f64> = weight.iter().map(|&w| f64::from(w)).collect();
        let mean = weight.iter().zip(&self.means).map(|(w, mean)| w * mean).sum();
        let (mut squares, mut at) = (0.0, 0);
        for a in 0..weight.len() {
            for b in 0..=a {
                let times = if a == b { 1.0 } else { 2.0 };
                squares += times * weight[a] * weight[b] * self.products[at];
                at += 1;
            }
        }
        // Rounding can make a variance of zero negative.
        Moments { count: self.count, mean, squares: squares.max(0.0) }
    }

    /// Returns the statistics of each group of output channels. Rows of `weight` are outputs.
    pub fn statistics(&self, weight: &[f32], groups: usize, epsilon: f32) -> Vec<Statistics> {
        let input = self.means.len();
        let outputs: Vec<Moments> =
            weight.chunks_exact(input).map(|weight| self.output(weight)).collect();
        let per_group = outputs.len() / groups;
        let groups = outputs.chunks_exact(per_group);
        groups.map(|group| Moments::merge_all(group.iter().copied()).statistics(epsilon)).collect()
    }

    /// Returns the bytes of a covariance, and of the tile of a thread.
    pub fn scratch_bytes(channels: usize) -> [usize; 2] {
        [8 * (channels + num_products(channels)), 4 * channels * TILE_VOXELS]
    }
}

fn num_products(channels: usize) -> usize {
    channels * (channels + 1) / 2
}

vectorized! {
    fn of_part(x: Channels, channels: usize, voxels: usize, range: Range<usize>) -> Covariance
        = of_part_by, 1
}

#[inline(always)]
fn of_part_by<V: Vector>(
    x: Channels,
    channels: usize,
    voxels: usize,
    range: Range<usize>,
) -> Covariance {
    let (mut total, mut tile) = (Covariance::default(), vec![0.0; channels * TILE_VOXELS]);
    // Deviations are from the means of the voxels so far, which are near those of a tile.
    let mut centers = vec![0.0; channels];
    for start in range.clone().step_by(TILE_VOXELS) {
        let len = TILE_VOXELS.min(range.end - start);
        // Whole vectors, of which those beyond the range stay zero.
        let stride = len.next_multiple_of(MAX_LANES);
        let mut means = Vec::with_capacity(channels);
        for (c, deviations) in tile.chunks_exact_mut(TILE_VOXELS).enumerate() {
            let x = x.channel(c, voxels);
            if start == range.start {
                centers[c] = x.affine().apply(x.values()[start]);
            }
            let sum = deviate::<V>(x, start, centers[c], &mut deviations[..len]);
            deviations[len..stride].fill(0.0);
            means.push((f64::from(centers[c]), sum));
        }
        let mut products = vec![0.0; num_products(channels)];
        for first_row in (0..channels).step_by(ROWS) {
            let last_row = (first_row + ROWS).min(channels) - 1;
            for first in (0..=last_row).step_by(COLUMNS) {
                let sums = dots::<V>(&tile, [first_row, first], last_row, stride);
                for (row, sums) in (first_row..=last_row).zip(sums) {
                    let columns = (first..(first + COLUMNS).min(row + 1)).zip(sums);
                    for (column, sum) in columns {
                        products[row * (row + 1) / 2 + column] = sum;
                    }
                }
            }
        }
        // The deviations are not quite from the tile's own means.
        let count = len as f64;
        let mut at = 0;
        for a in 0..channels {
            for b in 0..=a {
                products[at] -= means[a].1 * means[b].1 / count;
                at += 1;
            }
        }
        let means = means.iter().map(|(mean, rest)| mean + rest / count).collect();
        total.merge(&Covariance { count, means, products });
        centers.iter_mut().zip(&total.means).for_each(|(center, &mean)| *center = mean as f32);
    }
    total
}

/// Stores the deviations of values from `center`, and returns their sum.
#[inline(always)]
fn deviate<V: Vector>(x: Channel, start: usize, center: f32, deviations: &mut [f32]) -> f64 {
    let (affine, center) = (x.affine(), V::splat(center));
    let from = &x.values()[start..start + deviations.len()];
    let whole = deviations.len() / V::LANES * V::LANES;
    let (vectors, rest) = deviations.split_at_mut(whole);
    let mut sum = V::splat(0.0);
    for (to, from) in vectors.chunks_exact_mut(V::LANES).zip(from.chunks_exact(V::LANES)) {
        let deviation = affine.apply_vector(V::load(from)).sub(center);
        deviation.store(to);
        sum = sum.add(deviation);
    }
    affine.apply_vector(V::load_some(&from[whole..])).sub(center).store_some(rest);
    f64::from(sum.sum()) + rest.iter().map(|&x| f64::from(x)).sum::<f64>()
}

/// Channels of a block of products. Their sums, and the vectors of the rows, stay in registers.
const ROWS: usize = 2;
const COLUMNS: usize = 4;

/// Computes the products of a block of rows and columns from `first` on. Beyond `last`, the last
/// channel that the block needs, it is repeated.
#[inline(always)]
fn dots<V: Vector>(
    tile: &[f32],
    first: [usize; 2],
    last: usize,
    len: usize,
) -> [[f64; COLUMNS]; ROWS] {
    let channel = |c: usize| &tile[c.min(last) * TILE_VOXELS..][..len];
    let rows: [&[f32]; ROWS] = std::array::from_fn(|n| channel(first[0] + n));
    let columns: [&[f32]; COLUMNS] = std::array::from_fn(|n| channel(first[1] + n));
    let mut sums = [[V::splat(0.0); COLUMNS]; ROWS];
    for at in (0..len).step_by(V::LANES) {
        // SAFETY: `len` is a multiple of the lanes, and the length of every slice.
        let x = rows.map(|row| unsafe { V::load_unchecked(row, at) });
        for (n, column) in columns.iter().enumerate() {
            let y = unsafe { V::load_unchecked(column, at) };
            for row in 0..ROWS {
                sums[row][n] = x[row].mul_add(y, sums[row][n]);
            }
        }
    }
    sums.map(|row| row.map(|sum| f64::from(sum.sum())))
}
