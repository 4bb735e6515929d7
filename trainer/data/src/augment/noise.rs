//! Gaussian noise.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::random::bernoulli;
use trainer_run::config::AugmentSettings;
use trainer_run::rng::normal;

/// Gaussian noise of a channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// Standard deviation of the noise, in standard deviations of the channel.
    pub standard_deviation: f32,
    /// Seed of the noise.
    pub seed: u64,
}

impl Noise {
    /// Draws a standard deviation, or `None` if the channel gets no noise.
    pub fn draw(random: &mut impl Rng, settings: &AugmentSettings) -> Option<Noise> {
        bernoulli(random, settings.noise, settings.noise_fraction).then(|| Noise {
            standard_deviation: settings.noise as f32 * random.random::<f32>(),
            seed: random.random(),
        })
    }

    /// Adds the noise to the voxels that are inside.
    pub fn apply(&self, channel: &mut [f32], inside: &[bool]) {
        let noise = normal(ChaCha8Rng::seed_from_u64(self.seed));
        for ((value, &inside), noise) in channel.iter_mut().zip(inside).zip(noise) {
            *value += if inside { self.standard_deviation * noise } else { 0.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_has_the_given_standard_deviation() {
        let mut values = vec![1.0; 10_001];
        let mut inside = vec![true; 10_001];
        inside[500] = false;
        Noise { standard_deviation: 0.5, seed: 3 }.apply(&mut values, &inside);
        assert_eq!(values[500], 1.0);
        let square = values.iter().map(|v| (v - 1.0) * (v - 1.0)).sum::<f32>() / 10_000.0;
        assert!((square - 0.25).abs() < 0.02, "{square}");
    }
}
