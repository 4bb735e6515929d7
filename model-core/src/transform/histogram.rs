//! Histograms of a scan and the distance between two scans' histograms, by which a model of an
//! ensemble is selected.
//!
//! Pendse et al. 2020 select the network whose training images resemble the given image most. The
//! distance is the paper's; the bins are this project's choice.

use crate::task::check_channels;
use crate::transform::config::PreprocessConfig;
use crate::transform::intensity::{channel_mask, foreground_mask, normalize};
use crate::{Error, Result, Volume};

/// The bins of a channel's histogram.
pub const NUM_BINS: usize = 64;

/// The range ± of z-scores that the bins divide evenly. Values beyond it count in the outermost bin.
const MAX_Z: f32 = 4.0;

/// Returns for each channel the histogram of its z-scores over the foreground, as shares that sum to
/// 1. They depend on the configured foreground, not on crop or spacing.
///
/// # Errors
/// As [`preprocess`](fn@crate::preprocess) for errors of the scan.
pub fn histograms(channels: &[Volume], config: &PreprocessConfig) -> Result<Vec<Vec<f64>>> {
    check_channels(channels)?;
    let grid = channels[0].grid();
    let orientation = grid.orientation();
    let canonical: Vec<Vec<f32>> = channels
        .iter()
        .map(|volume| orientation.to_canonical(grid.dims, volume.values()))
        .collect();
    let mask = foreground_mask(&canonical, config.foreground);
    if !mask.contains(&true) {
        return Err(Error::scan("some foreground", "an empty scan"));
    }
    let histogram = |mut voxels: Vec<f32>| {
        let mask = channel_mask(&voxels, config.foreground, &mask);
        // An empty channel has no shares.
        let num_inside = mask.iter().filter(|inside| **inside).count().max(1);
        normalize(&mut voxels, &mask, false);
        let mut shares = vec![0.0; NUM_BINS];
        for (voxel, _) in voxels.iter().zip(&*mask).filter(|(_, inside)| **inside) {
            shares[bin(*voxel)] += 1.0;
        }
        shares.iter_mut().for_each(|share| *share /= num_inside as f64);
        shares
    };
    Ok(canonical.into_iter().map(histogram).collect())
}

fn bin(z_score: f32) -> usize {
    let position = (z_score + MAX_Z) / (2.0 * MAX_Z) * NUM_BINS as f32;
    // The cast saturates: negative numbers become 0.
    (position as usize).min(NUM_BINS - 1)
}

/// Returns χ² = ½ Σ (a − b)² / (a + b) of two histograms, averaged over the channels: 0 for equal
/// histograms, 1 for histograms without a common bin.
///
/// # Panics
/// If the numbers of channels or bins differ.
pub fn chi_square(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    assert_eq!(a.len(), b.len(), "the same number of channels");
    let channel = |(a, b): (&Vec<f64>, &Vec<f64>)| {
        assert_eq!(a.len(), b.len(), "the same number of bins");
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
    fn the_distance_is_0_for_equal_and_1_for_disjoint_histograms() {
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
        // Other units of intensity give the same histogram.
        let scaled = volume.values().iter().map(|v| v * 1e3).collect();
        let scaled = Volume::new(volume.grid().clone(), scaled).unwrap();
        assert_eq!(histograms(&[scaled], &config).unwrap(), found);
    }
}
