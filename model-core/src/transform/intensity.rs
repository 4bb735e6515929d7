//! Finds the foreground and normalizes intensities to z-scores.

use std::borrow::Cow;

use crate::transform::config::Foreground;

/// The bins of the histogram for Otsu's threshold.
const NUM_BINS: usize = 256;

/// Returns the mask of the voxels that belong to the subject. The values must be finite.
///
/// # Shapes
/// `channels`: for each channel `[voxel]`; the output is `[voxel]`.
pub(super) fn foreground_mask(channels: &[Vec<f32>], rule: Foreground) -> Vec<bool> {
    let num_voxels = channels[0].len();
    match rule {
        Foreground::Whole => vec![true; num_voxels],
        Foreground::Nonzero | Foreground::EachNonzero => {
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

/// Returns the mask that a channel is normalized in; `mask` is that of all channels.
pub(super) fn channel_mask<'a>(
    channel: &[f32],
    rule: Foreground,
    mask: &'a [bool],
) -> Cow<'a, [bool]> {
    match rule {
        Foreground::EachNonzero => channel.iter().map(|value| *value != 0.0).collect(),
        _ => Cow::Borrowed(mask),
    }
}

/// Returns the threshold that separates values into two groups with the largest variance between the
/// groups (Otsu 1979), at the edge of one of 256 bins. No value of a constant scan is above it.
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

/// A deviation below this share of the largest value is rounding: 32-bit floats have 24 bits.
const MIN_RELATIVE_DEVIATION: f64 = 1e-6;

/// The largest z-score. Inside a mask of n voxels no z-score is above √n, some thousands. Outside, an
/// artifact could exceed the range of 16-bit floats, in which networks run too.
const MAX_Z: f64 = 1e4;

/// Subtracts the mean of the voxels in the mask and divides by their standard deviation.
///
/// A channel that is constant in the mask, except for rounding, becomes 0. With `zero_outside` voxels
/// outside the mask become 0, otherwise they are normalized too.
pub(super) fn normalize(voxels: &mut [f32], mask: &[bool], zero_outside: bool) {
    let inside = || voxels.iter().zip(mask).filter(|(_, m)| **m).map(|(v, _)| f64::from(*v));
    let (mut count, mut sum) = (0u64, 0.0);
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in inside() {
        count += 1;
        sum += value;
        (low, high) = (low.min(value), high.max(value));
    }
    // Rounding of a constant's mean would give a small deviation, which would amplify noise.
    if count == 0 || low == high {
        return voxels.fill(0.0);
    }
    let mean = sum / count as f64;
    let squares: f64 = inside().map(|value| (value - mean) * (value - mean)).sum();
    let deviation = (squares / count as f64).sqrt();
    if deviation <= MIN_RELATIVE_DEVIATION * low.abs().max(high.abs()) {
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
    fn otsu_separates_two_groups() {
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
        // A deviation by rounding counts as 0. Values far outside the mask stay finite.
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
    fn a_voxel_is_foreground_if_any_channel_is_nonzero() {
        let channels = [vec![0.0, 0.0, 5.0], vec![0.0, -1.0, 0.0]];
        assert_eq!(foreground_mask(&channels, Foreground::Nonzero), [false, true, true]);
    }
}
