//! Gamma: raises intensities, scaled to 0 to 1, to a power.

use rand::Rng;

use super::random::{bernoulli, signed};
use super::range;
use trainer_run::config::AugmentSettings;

/// The exponent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gamma(pub f32);

/// Steps of the lookup table of powers. Linear interpolation between the steps is off by less than
/// 1e-4 of the range, except in its lowest thousandth.
const STEPS: usize = 1 << 12;

impl Gamma {
    /// Draws an exponent, above 1 as often as below, or `None` if the channel keeps its contrast.
    pub fn draw(random: &mut impl Rng, settings: &AugmentSettings) -> Option<Gamma> {
        bernoulli(random, settings.gamma, settings.gamma_fraction)
            .then(|| Gamma((1.0 + settings.gamma).powf(signed(random)) as f32))
    }

    /// Changes a channel's contrast but keeps its mean and standard deviation.
    pub fn apply(&self, channel: &mut [f32], inside: &[bool]) {
        let Some((low, high)) = range(channel, inside).filter(|(low, high)| high > low) else {
            return;
        };
        let (mean, deviation) = statistics(channel, inside);
        let table: Vec<f32> =
            (0..=STEPS + 1).map(|n| (n.min(STEPS) as f32 / STEPS as f32).powf(self.0)).collect();
        let to_steps = STEPS as f32 / (high - low);
        for (value, _) in channel.iter_mut().zip(inside).filter(|(_, inside)| **inside) {
            let step = (*value - low) * to_steps;
            let below = (step as usize).min(STEPS);
            *value = table[below] + (table[below + 1] - table[below]) * (step - below as f32);
        }
        let (new_mean, new_deviation) = statistics(channel, inside);
        if new_deviation > 0.0 {
            let factor = deviation / new_deviation;
            for (value, _) in channel.iter_mut().zip(inside).filter(|(_, inside)| **inside) {
                *value = ((f64::from(*value) - new_mean) * factor + mean) as f32;
            }
        }
    }
}

/// Returns the mean and the standard deviation inside.
fn statistics(channel: &[f32], inside: &[bool]) -> (f64, f64) {
    let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for (&value, _) in channel.iter().zip(inside).filter(|(_, inside)| **inside) {
        let value = f64::from(value);
        count += 1.0;
        sum += value;
        squares += value * value;
    }
    let mean = sum / count;
    (mean, (squares / count - mean * mean).max(0.0).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrast_changes_while_mean_and_deviation_stay() {
        let mut channel: Vec<f32> = (0..101).map(|n| n as f32 / 10.0 - 3.0).collect();
        let mut inside = vec![true; 101];
        inside[7] = false;
        let (before, old) = (channel.clone(), statistics(&channel, &inside));
        Gamma(2.0).apply(&mut channel, &inside);
        let new = statistics(&channel, &inside);
        assert!((old.0 - new.0).abs() < 1e-5 && (old.1 - new.1).abs() < 1e-5, "{old:?} {new:?}");
        assert_eq!(channel[7], before[7]);
        // The slope of x² at three quarters is 3 times that at one quarter.
        let step = |n: usize| channel[n + 1] - channel[n - 1];
        assert!((step(75) / step(25) - 3.0).abs() < 1e-2, "{}", step(75) / step(25));
    }

    #[test]
    fn constant_and_empty_channels_are_unchanged() {
        let mut constant = [2.0; 4];
        Gamma(2.0).apply(&mut constant, &[true; 4]);
        Gamma(2.0).apply(&mut constant, &[false; 4]);
        assert_eq!(constant, [2.0; 4]);
    }
}
