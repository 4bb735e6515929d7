//! A bias field: receive coils image some parts of the subject brighter than others.

use rand::Rng;

use super::random::bernoulli;
use super::{ControlGrid, range};
use trainer_run::config::AugmentSettings;

/// Control points of the field along each axis.
const POINTS: usize = 4;

/// The logarithm of a smooth multiplicative field.
#[derive(Debug, Clone, PartialEq)]
pub struct BiasField(pub ControlGrid);

impl BiasField {
    /// Draws a field, or `None` if the channel keeps its intensities.
    pub fn draw(random: &mut impl Rng, settings: &AugmentSettings) -> Option<BiasField> {
        bernoulli(random, settings.bias, settings.bias_fraction)
            .then(|| BiasField(ControlGrid::draw(random, [POINTS; 3], settings.bias)))
    }

    /// Multiplies the differences from the channel's lowest intensity by the field. The lowest
    /// intensity stands for the scanner's 0, which z-scores no longer have.
    pub fn apply(&self, channel: &mut [f32], inside: &[bool], patch: [usize; 3]) {
        let Some((low, _)) = range(channel, inside) else { return };
        let mut field = self.0.rows_over(patch);
        let mut factors = vec![0.0; patch[0]];
        let rows = channel.chunks_exact_mut(patch[0]).zip(inside.chunks_exact(patch[0]));
        for (row, (channel, inside)) in rows.enumerate() {
            field.row(row % patch[1], row / patch[1], &mut factors);
            for ((value, inside), factor) in channel.iter_mut().zip(inside).zip(&factors) {
                if *inside {
                    *value = low + (*value - low) * factor.exp();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_from_the_lowest_intensity_are_multiplied() {
        let mut values = vec![0.0; POINTS * POINTS * POINTS];
        values[POINTS - 1] = 2f32.ln();
        let bias = BiasField(ControlGrid { size: [POINTS; 3], values });
        let mut channel: Vec<f32> = (0..64).map(|n| n as f32 - 5.0).collect();
        let mut inside = vec![true; 64];
        inside[1] = false;
        bias.apply(&mut channel, &inside, [4; 3]);
        // At a control point the field has the point's value.
        assert_eq!([channel[0], channel[1], channel[63]], [-5.0, -4.0, 58.0]);
        assert!((channel[3] - (-5.0 + 2.0 * 3.0)).abs() < 1e-5, "{}", channel[3]);
    }
}
