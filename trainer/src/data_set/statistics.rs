//! What a channel's intensities are like.

use model_core::Volume;
use serde::Serialize;

/// The share of a volume's outer faces that one value has to have to be its background.
const BORDER_SHARE: f64 = 0.95;

/// A channel's intensities.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Intensities {
    /// The smallest.
    pub min: f32,
    /// A hundredth of the voxels lie below this.
    pub percentile_1: f32,
    /// Half of the voxels lie below this.
    pub median: f32,
    /// A hundredth of the voxels lie above this.
    pub percentile_99: f32,
    /// The largest.
    pub max: f32,
    /// The mean.
    pub mean: f64,
    /// The standard deviation.
    pub deviation: f64,
    /// Voxels that are NaN or infinite in the file, and count as 0.
    pub num_non_finite: u64,
    /// The mean on the volume's outer faces.
    pub border_mean: f64,
    /// The value that nearly all of the volume's outer faces have, where one has.
    pub background: Option<f32>,
    /// The share of all voxels that have this value.
    pub background_share: f64,
}

impl Intensities {
    /// Measures a channel.
    ///
    /// # Panics
    /// When it has no voxels.
    pub fn of(volume: &Volume, num_non_finite: u64) -> Intensities {
        let voxels = &volume.voxels;
        let count = voxels.len() as f64;
        let mean = voxels.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
        let squares = voxels.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>();
        let (mut border_sum, mut border_count) = (0.0, 0u64);
        on_border(volume, |voxel| {
            border_sum += f64::from(voxel);
            border_count += 1;
        });
        let background = border_value(volume);
        let same = |value: f32| voxels.iter().filter(|&&v| v == value).count() as f64 / count;
        let background_share = background.map_or(0.0, same);
        let mut sorted = voxels.clone();
        let mut quantile = |share: f64| {
            let place = (share * (count - 1.0)).round() as usize;
            *sorted.select_nth_unstable_by(place, f32::total_cmp).1
        };
        Intensities {
            min: quantile(0.0),
            percentile_1: quantile(0.01),
            median: quantile(0.5),
            percentile_99: quantile(0.99),
            max: quantile(1.0),
            mean,
            deviation: (squares / count).sqrt(),
            num_non_finite,
            border_mean: border_sum / border_count as f64,
            background,
            background_share,
        }
    }

    /// Whether every voxel has the same value.
    pub fn is_constant(&self) -> bool {
        self.min == self.max
    }
}

/// Calls with every voxel of the six outer faces.
fn on_border(volume: &Volume, mut visit: impl FnMut(f32)) {
    let [ni, nj, nk] = volume.grid.dims;
    for (row, voxels) in volume.voxels.chunks_exact(ni).enumerate() {
        let (j, k) = (row % nj, row / nj);
        if j == 0 || j == nj - 1 || k == 0 || k == nk - 1 {
            voxels.iter().for_each(|&voxel| visit(voxel));
        } else {
            [voxels[0], voxels[ni - 1]].into_iter().for_each(&mut visit);
        }
    }
}

/// The value of nearly all voxels of the outer faces: first the only one that can be more than
/// half of them (Boyer and Moore 1981), then its share.
fn border_value(volume: &Volume) -> Option<f32> {
    let (mut candidate, mut lead) = (0.0, 0u64);
    on_border(volume, |voxel| match (lead, voxel == candidate) {
        (0, _) => (candidate, lead) = (voxel, 1),
        (_, true) => lead += 1,
        (_, false) => lead -= 1,
    });
    let (mut same, mut all) = (0u64, 0u64);
    on_border(volume, |voxel| {
        same += u64::from(voxel == candidate);
        all += 1;
    });
    (same as f64 >= BORDER_SHARE * all as f64).then_some(candidate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model_core::{Affine, Grid};

    fn cube(value: impl Fn(usize) -> f32) -> Volume {
        let grid = Grid::new([5; 3], Affine::IDENTITY);
        Volume { voxels: (0..125).map(value).collect(), grid }
    }

    #[test]
    fn order_statistics_are_those_of_the_sorted_voxels() {
        let found = Intensities::of(&cube(|n| ((n * 7) % 125) as f32), 3);
        assert_eq!((found.min, found.median, found.max), (0.0, 62.0, 124.0));
        assert_eq!((found.percentile_1, found.percentile_99), (1.0, 123.0));
        assert_eq!((found.mean, found.num_non_finite, found.background), (62.0, 3, None));
        // ((125² − 1) / 12)^½
        assert!((found.deviation - 36.0832).abs() < 1e-4, "{}", found.deviation);
    }

    #[test]
    fn a_background_is_the_value_of_the_outer_faces() {
        let inside = |n: usize| [n % 5, n / 5 % 5, n / 25].iter().all(|x| (1..4).contains(x));
        let found = Intensities::of(&cube(|n| if inside(n) { 9.0 } else { -1.0 }), 0);
        assert_eq!(found.background, Some(-1.0));
        assert_eq!(found.border_mean, -1.0);
        assert!((found.background_share - 98.0 / 125.0).abs() < 1e-12);
    }
}
