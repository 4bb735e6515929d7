//! Random changes of a patch: parameters are drawn first, then applied by pure functions.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::config::AugmentSettings;
use crate::draws::normal;

/// One patch's changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Augmentation {
    /// Which axes are mirrored.
    pub flip: [bool; 3],
    /// From offsets to the patch's center, in voxels, to offsets in the scan; none for the same.
    pub scan_from_patch: Option<[[f32; 3]; 3]>,
    /// For each channel a factor and what is added.
    pub intensity: Vec<(f32, f32)>,
    /// Standard deviation and seed of the noise.
    pub noise: (f32, u64),
}

impl Augmentation {
    /// Draws the changes of one patch.
    pub fn draw(random: &mut ChaCha8Rng, settings: &AugmentSettings, channels: usize) -> Self {
        let mut within = |most: f32| most * (2.0 * random.random::<f32>() - 1.0);
        let angles = [0; 3].map(|_| within(settings.rotate_degrees.to_radians()));
        let scale = 1.0 + within(settings.scale);
        let intensity =
            (0..channels).map(|_| (1.0 + within(settings.gain), within(settings.shift))).collect();
        let spatial = (settings.rotate_degrees > 0.0 || settings.scale > 0.0)
            && random.random_bool(settings.spatial_fraction);
        Augmentation {
            flip: settings.flip.map(|flip| flip && random.random_bool(0.5)),
            scan_from_patch: spatial.then(|| rotation_and_scale(angles, scale)),
            intensity,
            noise: (settings.noise * random.random::<f32>(), random.random()),
        }
    }

    /// Changes the intensities of a patch.
    ///
    /// # Shapes
    /// - `values`: `[channel, voxel]`
    pub fn change_intensities(&self, values: &mut [f32]) {
        let num_voxels = values.len() / self.intensity.len();
        for (channel, &(gain, shift)) in values.chunks_mut(num_voxels).zip(&self.intensity) {
            channel.iter_mut().for_each(|value| *value = *value * gain + shift);
        }
        let (deviation, seed) = self.noise;
        if deviation > 0.0 {
            let noise = normal(ChaCha8Rng::seed_from_u64(seed));
            values.iter_mut().zip(noise).for_each(|(value, noise)| *value += deviation * noise);
        }
    }
}

/// Rotations about the first, second and third axis, one after the other, times a factor.
fn rotation_and_scale(angles: [f32; 3], scale: f32) -> [[f32; 3]; 3] {
    let mut map = [[scale, 0.0, 0.0], [0.0, scale, 0.0], [0.0, 0.0, scale]];
    for (axis, angle) in angles.into_iter().enumerate() {
        let (sine, cosine) = angle.sin_cos();
        let (a, b) = ((axis + 1) % 3, (axis + 2) % 3);
        let (x, y) = (map[a], map[b]);
        map[a] = std::array::from_fn(|n| cosine * x[n] - sine * y[n]);
        map[b] = std::array::from_fn(|n| sine * x[n] + cosine * y[n]);
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::{Purpose, generator};

    #[test]
    fn rotations_keep_lengths_and_scale_changes_them() {
        let map = rotation_and_scale([0.3, -0.7, 1.1], 1.2);
        for a in 0..3 {
            for b in 0..3 {
                let product: f32 = (0..3).map(|n| map[a][n] * map[b][n]).sum();
                let expected = if a == b { 1.44 } else { 0.0 };
                assert!((product - expected).abs() < 1e-5, "{map:?}");
            }
        }
    }

    #[test]
    fn noise_has_the_deviation_asked_for() {
        let augmentation = Augmentation {
            flip: [false; 3],
            scan_from_patch: None,
            intensity: vec![(1.0, 0.0)],
            noise: (0.5, 3),
        };
        let mut values = vec![0.0; 10_001];
        augmentation.change_intensities(&mut values);
        let square = values.iter().map(|v| v * v).sum::<f32>() / 10_001.0;
        assert!((square - 0.25).abs() < 0.02, "{square}");
    }

    #[test]
    fn settings_of_zero_change_nothing() {
        let settings = AugmentSettings {
            flip: [false; 3],
            gain: 0.0,
            shift: 0.0,
            noise: 0.0,
            rotate_degrees: 0.0,
            scale: 0.0,
            spatial_fraction: 1.0,
        };
        let mut random = generator(0, Purpose::Patch, 0);
        let augmentation = Augmentation::draw(&mut random, &settings, 2);
        let mut values = vec![1.5, -2.0, 3.0, 0.25];
        augmentation.change_intensities(&mut values);
        assert_eq!(values, [1.5, -2.0, 3.0, 0.25]);
        assert!(augmentation.scan_from_patch.is_none() && augmentation.flip == [false; 3]);
    }
}
