//! A scan's histograms, and how far two scans are apart by them: what an ensemble is selected by.
//!
//! Pendse et al. 2020 choose, of several networks, the one that predicts an image by the images
//! that it is like. The paper gives the distance; the bins are ours.

use crate::task::check_channels;
use crate::transform::intensity::{foreground, normalize};
use crate::{Error, PreprocessConfig, Result, Volume};

/// Bins of a channel's histogram.
pub const NUM_BINS: usize = 64;

/// The z-scores that the bins part evenly, ±; what lies beyond is counted in the last bin of its
/// side.
const RANGE: f32 = 4.0;

/// For each channel the histogram of its z-scores over the foreground: shares that sum to 1. They
/// depend on the foreground's rule alone, not on crop or spacing.
///
/// # Errors
/// As [`preprocess`](fn@crate::preprocess), where the scan itself is at fault.
pub fn histograms(channels: &[Volume], config: &PreprocessConfig) -> Result<Vec<Vec<f64>>> {
    config.check()?;
    check_channels(channels)?;
    let grid = channels[0].grid();
    let orientation = grid.orientation();
    let canonical: Vec<Vec<f32>> = channels
        .iter()
        .map(|volume| orientation.to_canonical(grid.dims, volume.values()))
        .collect();
    let mask = foreground(&canonical, config.foreground);
    let num_inside = mask.iter().filter(|inside| **inside).count();
    if num_inside == 0 {
        return Err(Error::scan("some foreground", "an empty scan"));
    }
    let histogram = |mut voxels: Vec<f32>| {
        normalize(&mut voxels, &mask, false);
        let mut shares = vec![0.0; NUM_BINS];
        for (voxel, _) in voxels.iter().zip(&mask).filter(|(_, inside)| **inside) {
            shares[bin(*voxel)] += 1.0;
        }
        shares.iter_mut().for_each(|share| *share /= num_inside as f64);
        shares
    };
    Ok(canonical.into_iter().map(histogram).collect())
}

fn bin(z_score: f32) -> usize {
    let place = (z_score + RANGE) / (2.0 * RANGE) * NUM_BINS as f32;
    // A float becomes the nearest integer that a usize holds.
    (place as usize).min(NUM_BINS - 1)
}

/// χ² = ½ Σ (a − b)² / (a + b) of two histograms: 0 for the same, 1 for two that share no bin. Over
/// several channels, their mean.
///
/// # Panics
/// When the two have not as many channels and bins.
pub fn chi_square(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    assert_eq!(a.len(), b.len(), "as many channels");
    let channel = |(a, b): (&Vec<f64>, &Vec<f64>)| {
        assert_eq!(a.len(), b.len(), "as many bins");
        let bins = a.iter().zip(b).filter(|(a, b)| **a + **b > 0.0);
        bins.map(|(a, b)| (a - b) * (a - b) / (a + b)).sum::<f64>() / 2.0
    };
    a.iter().zip(b).map(channel).sum::<f64>() / a.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Affine, Foreground, Grid};

    #[test]
    fn the_distance_is_0_for_the_same_and_1_for_nothing_in_common() {
        let [a, b, c] = [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]].map(|h| vec![h.to_vec()]);
        assert_eq!((chi_square(&a, &a), chi_square(&a, &b)), (0.0, 1.0));
        // ½ (0.5² / 1.5 + 0.5² / 0.5)
        assert!((chi_square(&a, &c) - 1.0 / 3.0).abs() < 1e-12);
        let two = |first: &[Vec<f64>], second: &[Vec<f64>]| [first, second].concat();
        assert_eq!(chi_square(&two(&a, &a), &two(&a, &b)), 0.5);
    }

    #[test]
    fn a_histogram_counts_z_scores_of_the_foreground() {
        let grid = Grid::new([5, 1, 1], Affine::IDENTITY);
        let volume = Volume::new(grid, vec![0.0, 1.0, 1.0, 3.0, 3.0]).unwrap();
        let config =
            PreprocessConfig { foreground: Foreground::Nonzero, ..PreprocessConfig::default() };
        let found = histograms(std::slice::from_ref(&volume), &config).unwrap();
        let mut expected = vec![0.0; NUM_BINS];
        (expected[24], expected[40]) = (0.5, 0.5); // z-scores −1 and 1
        assert_eq!(found, [expected]);
        assert_eq!((bin(-1e9), bin(1e9), bin(-4.0), bin(0.0)), (0, 63, 0, 32));
        // Stored in other units, the same.
        let scaled = volume.values().iter().map(|v| v * 1e3).collect();
        let scaled = Volume::new(volume.grid().clone(), scaled).unwrap();
        assert_eq!(histograms(&[scaled], &config).unwrap(), found);
    }
}
