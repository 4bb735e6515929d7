//! Gain and shift: a linear change of intensities.

use rand::Rng;

use super::random::{bernoulli, signed};
use trainer_run::config::AugmentSettings;

/// Multiplies intensities by `gain`, then adds `shift`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GainShift {
    /// The factor.
    pub gain: f32,
    /// The shift in standard deviations.
    pub shift: f32,
}

impl GainShift {
    /// Draws a gain and a shift, or `None` if the channel gets neither.
    pub fn draw(random: &mut impl Rng, settings: &AugmentSettings) -> Option<GainShift> {
        let gain = bernoulli(random, settings.gain, settings.gain_fraction)
            .then(|| 1.0 + settings.gain * signed(random));
        let shift = bernoulli(random, settings.shift, settings.shift_fraction)
            .then(|| settings.shift * signed(random));
        (gain.is_some() || shift.is_some()).then(|| GainShift {
            gain: gain.unwrap_or(1.0) as f32,
            shift: shift.unwrap_or(0.0) as f32,
        })
    }

    /// Changes the voxels of a channel that are inside.
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
    fn the_gain_is_applied_before_the_shift() {
        let mut channel = [1.0, 2.0, 3.0];
        GainShift { gain: 2.0, shift: -0.5 }.apply(&mut channel, &[true, false, true]);
        assert_eq!(channel, [1.5, 2.0, 5.5]);
    }

    #[test]
    fn drawn_gains_and_shifts_are_within_the_settings() {
        let settings = AugmentSettings { gain: 0.1, shift: 0.2, ..AugmentSettings::none() };
        let mut random = generator(0, RngStream::Patch, 0);
        let mut largest = (0.0f32, 0.0f32);
        for _ in 0..500 {
            let GainShift { gain, shift } = GainShift::draw(&mut random, &settings).unwrap();
            largest = (largest.0.max((gain - 1.0).abs()), largest.1.max(shift.abs()));
        }
        assert!((0.09..0.1001).contains(&largest.0), "{largest:?}");
        assert!((0.19..0.2001).contains(&largest.1), "{largest:?}");
    }
}
