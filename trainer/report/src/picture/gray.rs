//! A scan as the eye sees it: one channel in 256 shades, on the scan's own grid.

use model_core::{Grid, Input, Placement, Volume};

/// Intensities from black to white.
#[derive(Debug, Clone)]
pub struct Gray {
    /// Where the voxels lie.
    pub grid: Grid,
    /// Shades, i fastest.
    pub voxels: Vec<u8>,
}

/// The darkest and the brightest part of the voxels that are shown as black and as white.
const TAILS: f64 = 0.005;
/// No more voxels than these are sorted.
const MAX_SORTED: usize = 1 << 20;

impl Gray {
    /// A channel as it came.
    pub fn of_volume(volume: &Volume) -> Gray {
        Gray { grid: volume.grid().clone(), voxels: shades(volume.values()) }
    }

    /// A channel of a network's input, back on the scan's grid; black outside of what the network
    /// saw.
    ///
    /// # Panics
    /// When the input has no such channel.
    pub fn of_input(input: &Input, channel: usize, placement: &Placement) -> Gray {
        let num_voxels: usize = input.dims.iter().product();
        let values = &input.values[channel * num_voxels..][..num_voxels];
        let shades: Vec<f32> = shades(values).into_iter().map(f32::from).collect();
        // A cast takes what interpolation rounds above 255 for 255.
        let restored = placement.restore_image(&shades, 0.0).into_iter();
        Gray {
            grid: placement.source().clone(),
            voxels: restored.map(|shade| shade.round() as u8).collect(),
        }
    }
}

/// From 0 to 255 between two percentiles of those voxels that are not background, which is the
/// least of all values.
fn shades(values: &[f32]) -> Vec<u8> {
    let least = values.iter().copied().filter(|v| v.is_finite()).fold(f32::INFINITY, f32::min);
    let step = values.len().div_ceil(MAX_SORTED).max(1);
    let inside = values.iter().step_by(step).copied().filter(|v| v.is_finite() && *v > least);
    let mut sorted: Vec<f32> = inside.collect();
    sorted.sort_by(f32::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return vec![0; values.len()] };
    let at = |part: f64| sorted[(part * last as f64).round() as usize];
    let (low, high) = (at(TAILS), at(1.0 - TAILS));
    // Where all are equal, what is not background is white.
    let (low, high) = if high > low { (low, high) } else { (least, high) };
    let shade = |value: f32| (255.0 * (value - low) / (high - low)).clamp(0.0, 255.0) as u8;
    // A cast of NaN is 0.
    values.iter().map(|&value| shade(value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outliers_and_background_do_not_set_the_window() {
        let mut values: Vec<f32> = (0..1000).map(|n| 100.0 + n as f32 / 10.0).collect();
        values.extend([-1000.0, 1e9, f32::NAN]);
        let shades = shades(&values);
        assert_eq!((shades[0], shades[999], shades[1000], shades[1001]), (0, 255, 0, 255));
        assert!((120..136).contains(&shades[500]), "{}", shades[500]);
        assert_eq!(shades[1002], 0);
    }

    #[test]
    fn flat_scans_have_shades_too() {
        assert_eq!(shades(&[0.0, 3.0, 3.0]), [0, 255, 255]);
        assert_eq!(shades(&[2.0; 3]), [0; 3]);
        assert_eq!(shades(&[]), [0u8; 0]);
    }
}
