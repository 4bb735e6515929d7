//! The appearance of the brain in a synthetic head: a real channel, or a random contrast made of it.

use super::real_brain::{Corners, RealBrain};
use super::tissue::Contrast;
use crate::phantom::noise::Random;

/// The origin of a brain's intensities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrainContrast {
    /// The real channel of this number.
    Channel(usize),
    /// A random mixture of two channels under a random map of intensities.
    Random,
}

/// The number of pieces of a random map.
const PIECES: usize = 5;

/// The largest intensity of a random map; higher ones are mapped alike.
const MAP_RANGE: f32 = 2.5;

/// Intensities of the brain.
pub(super) struct BrainImage {
    channels: [usize; 2],
    share: f32,
    /// The random map's values at equal distances from 0 to [`MAP_RANGE`].
    map: Option<[f32; PIECES + 1]>,
}

impl BrainImage {
    /// Draws intensities of the brain, and the contrast of the tissues around it.
    pub fn draw(
        brain: &RealBrain,
        contrast: BrainContrast,
        random: &mut Random,
    ) -> (BrainImage, Contrast) {
        match contrast {
            BrainContrast::Channel(channel) => {
                let image = BrainImage { channels: [channel; 2], share: 1.0, map: None };
                let fluid = brain.fluid[channel];
                (image, Contrast::of_sequence(channel, fluid, random))
            }
            BrainContrast::Random => {
                let any = |random: &mut Random| random.below(brain.num_channels() as u32) as usize;
                let channels = [any(random), any(random)];
                let share = random.uniform();
                let image = BrainImage { channels, share, map: Some(draw_map(random)) };
                let fluid = image.map(image.mix(channels.map(|channel| brain.fluid[channel])));
                let contrast = match random.uniform() < 0.3 {
                    true => Contrast::of_sequence(channels[0], fluid, random),
                    false => Contrast::random(fluid, random),
                };
                (image, contrast)
            }
        }
    }

    fn mix(&self, [first, second]: [f32; 2]) -> f32 {
        self.share * first + (1.0 - self.share) * second
    }

    fn map(&self, value: f32) -> f32 {
        let Some(map) = &self.map else { return value };
        let position = (value / MAP_RANGE).clamp(0.0, 0.9999) * PIECES as f32;
        let piece = position as usize;
        map[piece] + (map[piece + 1] - map[piece]) * (position - piece as f32)
    }

    /// Returns the intensity of the brain at a point, of whose surroundings `share` are brain.
    pub fn intensity(&self, brain: &RealBrain, corners: &Corners, share: f32) -> f32 {
        let values = self.channels.map(|channel| {
            let values = &brain.channels[channel];
            let pairs = corners.indices.iter().zip(corners.weights);
            pairs.map(|(&at, weight)| weight * brain.inside[at] * values[at]).sum::<f32>() / share
        });
        self.map(self.mix(values))
    }
}

/// Draws a map: rising, falling, or with random values.
fn draw_map(random: &mut Random) -> [f32; PIECES + 1] {
    let mut values: [f32; PIECES + 1] = std::array::from_fn(|_| random.between(0.1, 1.8));
    match random.below(3) {
        0 => values.sort_unstable_by(f32::total_cmp),
        1 => values.sort_unstable_by(|a, b| b.total_cmp(a)),
        _ => {}
    }
    values
}
