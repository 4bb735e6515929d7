//! Foreground and normalisation: which voxels are the subject, and their z-score.

use crate::Foreground;

/// Bins of the histogram for Otsu's threshold.
const NUM_BINS: usize = 256;

/// Which voxels are the subject. `channels` hold finite numbers, one a voxel each.
pub(crate) fn foreground(channels: &[Vec<f32>], rule: Foreground) -> Vec<bool> {
    let num_voxels = channels[0].len();
    match rule {
        Foreground::Whole => vec![true; num_voxels],
        Foreground::Nonzero => {
            (0..num_voxels).map(|n| channels.iter().any(|channel| channel[n] != 0.0)).collect()
        }
        Foreground::Otsu => {
            let mean = |n| {
                let sum: f64 = channels.iter().map(|channel| f64::from(channel[n])).sum();
                sum / channels.len() as f64
            };
            let means: Vec<f64> = (0..num_voxels).map(mean).collect();
            let threshold = otsu(&means);
            means.into_iter().map(|value| value > threshold).collect()
        }
    }
}

/// The threshold that parts values into two groups with the largest variance between them
/// (Otsu 1979), at the edge of one of 256 bins. No value of a constant is above it.
fn otsu(values: &[f64]) -> f64 {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if high <= low {
        return high;
    }
    let width = (high - low) / NUM_BINS as f64;
    let mut histogram = [0u64; NUM_BINS];
    for value in values {
        histogram[(((value - low) / width) as usize).min(NUM_BINS - 1)] += 1;
    }
    let total = values.len() as f64;
    let total_sum: f64 = histogram.iter().enumerate().map(|(n, &c)| n as f64 * c as f64).sum();
    let (mut below, mut below_sum, mut best, mut best_bin) = (0.0, 0.0, -1.0, 0);
    for (bin, &count) in histogram[..NUM_BINS - 1].iter().enumerate() {
        below += count as f64;
        below_sum += bin as f64 * count as f64;
        let above = total - below;
        if below == 0.0 || above == 0.0 {
            continue;
        }
        let difference = below_sum / below - (total_sum - below_sum) / above;
        let between = below * above * difference * difference;
        if between > best {
            (best, best_bin) = (between, bin);
        }
    }
    low + width * (best_bin + 1) as f64
}

/// A deviation below this part of the largest value is rounding: 32-bit floats have 24 bits.
const LEAST_DEVIATION: f64 = 1e-6;

/// The farthest from the mean that a voxel can be, in deviations. Inside a mask of n voxels nothing
/// is farther than √n, some thousands; outside, an artifact could leave the range of 16-bit floats,
/// in which networks run too.
const MAX_Z: f64 = 1e4;

/// Subtracts the mask's mean and divides by its standard deviation. A channel that is constant
/// there, but for rounding, becomes 0. `zero_outside` keeps what is outside the mask 0, else it is
/// normalized too.
pub(crate) fn normalize(voxels: &mut [f32], mask: &[bool], zero_outside: bool) {
    let inside = || voxels.iter().zip(mask).filter(|(_, m)| **m).map(|(v, _)| f64::from(*v));
    let (mut count, mut sum) = (0u64, 0.0);
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in inside() {
        count += 1;
        sum += value;
        (low, high) = (low.min(value), high.max(value));
    }
    // Rounding of the mean would make a small deviation of a constant, and noise of that.
    if count == 0 || low == high {
        return voxels.fill(0.0);
    }
    let mean = sum / count as f64;
    let squares: f64 = inside().map(|value| (value - mean) * (value - mean)).sum();
    let deviation = (squares / count as f64).sqrt();
    if deviation <= LEAST_DEVIATION * low.abs().max(high.abs()) {
        return voxels.fill(0.0);
    }
    for (voxel, &is_inside) in voxels.iter_mut().zip(mask) {
        *voxel = match is_inside || !zero_outside {
            true => ((f64::from(*voxel) - mean) / deviation).clamp(-MAX_Z, MAX_Z) as f32,
            false => 0.0,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn otsu_parts_two_groups() {
        let values = [0.0, 1.0, 2.0, 1.0, 100.0, 101.0, 99.0];
        let threshold = otsu(&values);
        assert!((2.0..99.0).contains(&threshold), "{threshold}");
        assert_eq!(otsu(&[7.0; 4]), 7.0);
    }

    #[test]
    fn z_scores_have_mean_0_and_deviation_1_and_constants_become_0() {
        let mut voxels = [0.0, 1.0, 3.0, 0.0];
        let mask = [false, true, true, false];
        normalize(&mut voxels, &mask, true);
        assert_eq!(voxels, [0.0, -1.0, 1.0, 0.0]);
        // Rounding is no deviation, and what lies far outside the mask stays a number.
        let mut nearly = [1.0, 1.0 + f32::EPSILON, 1e30];
        normalize(&mut nearly, &[true, true, false], false);
        assert_eq!(nearly, [0.0; 3]);
        let mut artifact = [0.0, 1e-3, 3e38];
        normalize(&mut artifact, &[true, true, false], false);
        assert_eq!(artifact, [-1.0, 1.0, 1e4]);
        let mut constant = [0.1f32; 1000];
        normalize(&mut constant, &[true; 1000], false);
        assert_eq!(constant, [0.0; 1000]);
    }

    #[test]
    fn one_channel_makes_a_voxel_foreground() {
        let channels = [vec![0.0, 0.0, 5.0], vec![0.0, -1.0, 0.0]];
        assert_eq!(foreground(&channels, Foreground::Nonzero), [false, true, true]);
    }
}
