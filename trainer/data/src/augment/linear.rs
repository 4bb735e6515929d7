//! Gain and shift of intensities.

use rand::Rng;

use super::{bernoulli, signed};
use trainer_run::config::AugmentSettings;

/// A factor, and what is added then.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Linear {
    /// The factor.
    pub gain: f32,
    /// In standard deviations.
    pub shift: f32,
}

impl Linear {
    /// Draws a factor and a shift; none where this channel gets neither.
    pub fn draw(random: &mut impl Rng, settings: &AugmentSettings) -> Option<Linear> {
        let gain = bernoulli(random, settings.gain, settings.gain_fraction)
            .then(|| 1.0 + settings.gain * signed(random));
        let shift = bernoulli(random, settings.shift, settings.shift_fraction)
            .then(|| settings.shift * signed(random));
        (gain.is_some() || shift.is_some()).then(|| Linear {
            gain: gain.unwrap_or(1.0) as f32,
            shift: shift.unwrap_or(0.0) as f32,
        })
    }

    /// Changes a channel.
    pub fn apply(&self, channel: &mut [f32], inside: &[bool]) {
        for (value, &inside) in channel.iter_mut().zip(inside) {
            *value = if inside { *value * self.gain + self.shift } else { *value };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trainer_run::rng::{RngStream, generator};

    #[test]
    fn intensities_are_multiplied_then_shifted() {
        let mut channel = [1.0, 2.0, 3.0];
        Linear { gain: 2.0, shift: -0.5 }.apply(&mut channel, &[true, false, true]);
        assert_eq!(channel, [1.5, 2.0, 5.5]);
    }

    #[test]
    fn what_is_drawn_is_within_the_settings() {
        let settings = AugmentSettings { gain: 0.1, shift: 0.2, ..AugmentSettings::none() };
        let mut random = generator(0, RngStream::Patch, 0);
        let mut most = (0.0f32, 0.0f32);
        for _ in 0..500 {
            let Linear { gain, shift } = Linear::draw(&mut random, &settings).unwrap();
            most = (most.0.max((gain - 1.0).abs()), most.1.max(shift.abs()));
        }
        assert!((0.09..0.1001).contains(&most.0) && (0.19..0.2001).contains(&most.1), "{most:?}");
    }
}
