//! A channel of a scan as an image in 256 shades, on the scan's own grid.

use model_core::{Grid, Input, Placement, Volume};

/// An image in 256 shades, from black to white.
#[derive(Debug, Clone)]
pub struct GrayImage {
    /// The scan's grid.
    pub grid: Grid,
    /// The shades, `[k][j][i]`.
    pub voxels: Vec<u8>,
}

/// The share of the voxels that is shown as black, and the share that is shown as white.
const TAIL_SHARE: f64 = 0.005;
/// The largest number of voxels that are sorted to find percentiles.
const MAX_SORTED: usize = 1 << 20;

impl GrayImage {
    /// Returns the image of a channel.
    pub fn from_volume(volume: &Volume) -> GrayImage {
        GrayImage { grid: volume.grid().clone(), voxels: shades(volume.values()) }
    }

    /// Returns the image of a channel of a network's input, on the scan's grid. It is black outside
    /// the input.
    ///
    /// # Panics
    /// Panics if the input has no such channel.
    pub fn from_input(input: &Input, channel: usize, placement: &Placement) -> GrayImage {
        let num_voxels: usize = input.dims.iter().product();
        let values = &input.values[channel * num_voxels..][..num_voxels];
        let shades: Vec<f32> = shades(values).into_iter().map(f32::from).collect();
        // The cast saturates if interpolation rounds above 255.
        let restored = placement.restore_image(&shades, 0.0).into_iter();
        GrayImage {
            grid: placement.source().clone(),
            voxels: restored.map(|shade| shade.round() as u8).collect(),
        }
    }
}

/// Maps values to shades, from 0 to 255 between two percentiles of the foreground. The background
/// is the lowest value.
fn shades(values: &[f32]) -> Vec<u8> {
    let background = values.iter().copied().filter(|v| v.is_finite()).fold(f32::INFINITY, f32::min);
    let step = values.len().div_ceil(MAX_SORTED).max(1);
    let foreground =
        values.iter().step_by(step).copied().filter(|v| v.is_finite() && *v > background);
    let mut sorted: Vec<f32> = foreground.collect();
    sorted.sort_by(f32::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return vec![0; values.len()] };
    let at = |share: f64| sorted[(share * last as f64).round() as usize];
    let (low, high) = (at(TAIL_SHARE), at(1.0 - TAIL_SHARE));
    // If the foreground has one value, it is white.
    let (low, high) = if high > low { (low, high) } else { (background, high) };
    let shade = |value: f32| (255.0 * (value - low) / (high - low)).clamp(0.0, 255.0) as u8;
    // A cast of NaN is 0.
    values.iter().map(|&value| shade(value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outliers_and_background_do_not_change_the_shades() {
        let mut values: Vec<f32> = (0..1000).map(|n| 100.0 + n as f32 / 10.0).collect();
        values.extend([-1000.0, 1e9, f32::NAN]);
        let shades = shades(&values);
        assert_eq!((shades[0], shades[999], shades[1000], shades[1001]), (0, 255, 0, 255));
        assert!((120..136).contains(&shades[500]), "{}", shades[500]);
        assert_eq!(shades[1002], 0);
    }

    #[test]
    fn scans_of_one_or_two_values_have_shades() {
        assert_eq!(shades(&[0.0, 3.0, 3.0]), [0, 255, 255]);
        assert_eq!(shades(&[2.0; 3]), [0; 3]);
        assert_eq!(shades(&[]), [0u8; 0]);
    }
}
