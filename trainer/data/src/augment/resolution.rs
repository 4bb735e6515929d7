//! Blur and low resolution. Scans of other hospitals have thicker slices and other filters.

use rand::{Rng, RngExt};

use super::random::bernoulli;
use super::{LineMap, range};
use trainer_run::config::AugmentSettings;

/// A channel as a scan with longer voxels shows it, or one that is less sharp.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolution {
    /// Standard deviation of a Gaussian, in voxels; 0 for none.
    pub blur_voxels: f32,
    /// The length of the scan's voxels along each axis, in voxels of the patch; 1 changes nothing.
    pub voxel_lengths: [f32; 3],
}

impl Resolution {
    /// Draws a blur and longer voxels, or `None` if the channel has neither. Half of the channels
    /// with longer voxels have them along one axis, as a scan of thick slices has, the others along
    /// all axes.
    pub fn draw(random: &mut impl Rng, settings: &AugmentSettings) -> Option<Resolution> {
        let mut resolution = Resolution { blur_voxels: 0.0, voxel_lengths: [1.0; 3] };
        if bernoulli(random, settings.blur, settings.blur_fraction) {
            resolution.blur_voxels = settings.blur as f32 * random.random::<f32>();
        }
        if bernoulli(random, settings.low_resolution, settings.low_resolution_fraction) {
            let length = 1.0 + settings.low_resolution as f32 * random.random::<f32>();
            match random.random_bool(0.5) {
                true => resolution.voxel_lengths[random.random_range(0..3)] = length,
                false => resolution.voxel_lengths = [length; 3],
            }
        }
        let is_changed = resolution.blur_voxels > 0.0 || resolution.voxel_lengths != [1.0; 3];
        is_changed.then_some(resolution)
    }

    /// Changes the voxels that are inside. The others count as the channel's lowest intensity, which
    /// stands for the scanner's 0.
    pub fn apply(&self, channel: &mut [f32], inside: &[bool], patch: [usize; 3]) {
        let Some((low, _)) = range(channel, inside) else { return };
        let value = |(value, inside): (&f32, &bool)| if *inside { *value } else { low };
        let mut changed: Vec<f32> = channel.iter().zip(inside).map(value).collect();
        for axis in 0..3 {
            // A Gaussian this narrow leaves the voxels as they are.
            if self.blur_voxels > 0.05 {
                LineMap::gaussian(patch[axis], self.blur_voxels).apply(&mut changed, patch, axis);
            }
            if self.voxel_lengths[axis] > 1.0 {
                LineMap::low_resolution(patch[axis], self.voxel_lengths[axis]).apply(
                    &mut changed,
                    patch,
                    axis,
                );
            }
        }
        for ((value, changed), inside) in channel.iter_mut().zip(changed).zip(inside) {
            if *inside {
                *value = changed;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thick_slices_are_alike_within_and_the_background_stays() {
        let resolution = Resolution { blur_voxels: 0.0, voxel_lengths: [1.0, 1.0, 8.0] };
        let mut channel: Vec<f32> = (0..2 * 2 * 8).map(|n| n as f32).collect();
        let mut inside = vec![true; 32];
        inside[31] = false;
        resolution.apply(&mut channel, &inside, [2, 2, 8]);
        // One slice is left: along k every voxel has the mean of its column.
        assert!((0..7).all(|k| (channel[4 * k] - 14.0).abs() < 1e-4), "{channel:?}");
        assert_eq!(channel[31], 31.0);
        assert!((channel[3] - (3.0 + 7.0 + 11.0 + 15.0 + 19.0 + 23.0 + 27.0) / 8.0).abs() < 1e-4);
    }

    #[test]
    fn a_blur_smooths() {
        let resolution = Resolution { blur_voxels: 1.0, voxel_lengths: [1.0; 3] };
        let mut channel: Vec<f32> = (0..512).map(|n| if n % 2 == 0 { 1.0 } else { -1.0 }).collect();
        resolution.apply(&mut channel, &[true; 512], [8; 3]);
        assert!(channel.iter().all(|x| x.abs() < 0.35), "{channel:?}");
    }
}
