//! Statistics of a channel's intensities.

use model_core::Volume;
use serde::Serialize;

/// A value on at least this share of a volume's outer faces is its background.
const BORDER_SHARE: f64 = 0.95;

/// Values below this fraction of the range from the smallest value to the 99th percentile are dark.
const DARK_FRACTION: f32 = 0.1;

/// Statistics of a channel's intensities.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IntensityStats {
    /// The smallest value.
    pub min: f32,
    /// The 1st percentile.
    pub percentile_1: f32,
    /// The median.
    pub median: f32,
    /// The 99th percentile.
    pub percentile_99: f32,
    /// The largest value.
    pub max: f32,
    /// The mean.
    pub mean: f64,
    /// The standard deviation.
    pub deviation: f64,
    /// The number of voxels that are NaN or infinite in the file. They count as 0.
    pub num_non_finite: u64,
    /// The share of dark voxels on the volume's outer faces.
    pub dark_border_share: f64,
    /// The value of nearly all voxels on the volume's outer faces, if there is one.
    pub background: Option<f32>,
    /// The share of all voxels that have the background's value.
    pub background_share: f64,
}

impl IntensityStats {
    /// Measures a channel.
    ///
    /// # Panics
    /// Panics if the channel has no voxels.
    pub fn measure(volume: &Volume, num_non_finite: u64) -> IntensityStats {
        let voxels = volume.values();
        let count = voxels.len() as f64;
        let (mut sum, mut min, mut max) = (0.0, f32::INFINITY, f32::NEG_INFINITY);
        for &voxel in voxels {
            sum += f64::from(voxel);
            (min, max) = (min.min(voxel), max.max(voxel));
        }
        let mean = sum / count;
        let squares = voxels.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>();
        let [percentile_1, median, percentile_99] = percentiles(voxels.to_vec());
        let background = border_value(volume);
        let same = |value: f32| voxels.iter().filter(|&&v| v == value).count() as f64 / count;
        IntensityStats {
            min,
            percentile_1,
            median,
            percentile_99,
            max,
            mean,
            deviation: (squares / count).sqrt(),
            num_non_finite,
            dark_border_share: border_share(volume, |v| {
                v < min + DARK_FRACTION * (percentile_99 - min)
            }),
            background,
            background_share: background.map_or(0.0, same),
        }
    }

    /// Returns whether every voxel has the same value.
    pub fn is_constant(&self) -> bool {
        self.min == self.max
    }
}

/// Visits every voxel of the six outer faces.
fn on_border(volume: &Volume, mut visit: impl FnMut(f32)) {
    let [ni, nj, nk] = volume.grid().dims;
    for (row, voxels) in volume.values().chunks_exact(ni).enumerate() {
        let (j, k) = (row % nj, row / nj);
        if j == 0 || j == nj - 1 || k == 0 || k == nk - 1 {
            voxels.iter().for_each(|&voxel| visit(voxel));
        } else {
            [voxels[0], voxels[ni - 1]].into_iter().for_each(&mut visit);
        }
    }
}

/// Returns the value of nearly all voxels of the outer faces. The candidate is the majority vote of
/// Boyer and Moore (1981); its share is counted afterwards.
fn border_value(volume: &Volume) -> Option<f32> {
    let (mut candidate, mut lead) = (0.0, 0u64);
    on_border(volume, |voxel| match (lead, voxel == candidate) {
        (0, _) => (candidate, lead) = (voxel, 1),
        (_, true) => lead += 1,
        (_, false) => lead -= 1,
    });
    (border_share(volume, |voxel| voxel == candidate) >= BORDER_SHARE).then_some(candidate)
}

/// Returns the share of the voxels on the outer faces that satisfy the predicate.
fn border_share(volume: &Volume, predicate: impl Fn(f32) -> bool) -> f64 {
    let (mut count, mut all) = (0u64, 0u64);
    on_border(volume, |voxel| {
        count += u64::from(predicate(voxel));
        all += 1;
    });
    count as f64 / all as f64
}

/// Returns the 1st, 50th and 99th percentiles, each as the value of the nearest voxel in order.
fn percentiles(mut voxels: Vec<f32>) -> [f32; 3] {
    let last = (voxels.len() - 1) as f64;
    let [low, middle, high] = [0.01, 0.5, 0.99].map(|share| (share * last).round() as usize);
    let (below, &mut median, above) = voxels.select_nth_unstable_by(middle, f32::total_cmp);
    // Selecting the median leaves smaller voxels below and larger voxels above.
    let low = match below.is_empty() || low == middle {
        true => median,
        false => *below.select_nth_unstable_by(low, f32::total_cmp).1,
    };
    let high = match above.is_empty() || high == middle {
        true => median,
        false => *above.select_nth_unstable_by(high - middle - 1, f32::total_cmp).1,
    };
    [low, median, high]
}

#[cfg(test)]
mod tests {
    use super::*;
    use model_core::{Affine, Grid};

    fn cube(value: impl Fn(usize) -> f32) -> Volume {
        let grid = Grid::new([5; 3], Affine::IDENTITY);
        Volume::new(grid, (0..125).map(value).collect()).unwrap()
    }

    #[test]
    fn percentiles_match_the_sorted_voxels() {
        let found = IntensityStats::measure(&cube(|n| ((n * 7) % 125) as f32), 3);
        assert_eq!((found.min, found.median, found.max), (0.0, 62.0, 124.0));
        assert_eq!((found.percentile_1, found.percentile_99), (1.0, 123.0));
        assert_eq!((found.mean, found.num_non_finite, found.background), (62.0, 3, None));
        // ((125² − 1) / 12)^½
        assert!((found.deviation - 36.0832).abs() < 1e-4, "{}", found.deviation);
    }

    #[test]
    fn percentiles_of_few_voxels_are_voxel_values() {
        assert_eq!(percentiles(vec![7.0]), [7.0; 3]);
        assert_eq!(percentiles(vec![7.0, 1.0]), [1.0, 7.0, 7.0]);
        assert_eq!(percentiles(vec![3.0, 1.0, 2.0]), [1.0, 2.0, 3.0]);
    }

    #[test]
    fn the_background_is_the_value_of_the_outer_faces() {
        let inside = |n: usize| [n % 5, n / 5 % 5, n / 25].iter().all(|x| (1..4).contains(x));
        let found = IntensityStats::measure(&cube(|n| if inside(n) { 9.0 } else { -1.0 }), 0);
        assert_eq!(found.background, Some(-1.0));
        assert_eq!(found.dark_border_share, 1.0);
        assert!((found.background_share - 98.0 / 125.0).abs() < 1e-12);
    }
}
