//! Random changes of a patch.
//!
//! Each augmentation first draws its parameters, and a pure function then applies them. The spatial
//! ones are applied together, in one interpolation, when the patch is cut.

use rand::{Rng, RngExt};

use trainer_run::config::AugmentSettings;

mod affine;
mod bias;
mod control_grid;
mod elastic;
mod gain_shift;
mod gamma;
mod line_map;
mod noise;
mod random;
mod resolution;

pub use bias::BiasField;
pub use control_grid::{ControlGrid, FieldRows};
pub use elastic::Elastic;
pub use gain_shift::GainShift;
pub use gamma::Gamma;
pub use line_map::LineMap;
pub use noise::Noise;
pub use resolution::Resolution;

/// The augmentations of one patch.
#[derive(Debug, Clone, PartialEq)]
pub struct Augmentation {
    /// The axes that are mirrored.
    pub flip: [bool; 3],
    /// Maps offsets from the patch's center to offsets in the scan, both in voxels. `None` is the
    /// identity.
    pub scan_from_patch: Option<[[f32; 3]; 3]>,
    /// Elastic displacements in the scan.
    pub elastic: Option<Elastic>,
    /// The intensity changes of each channel.
    pub channels: Vec<IntensityChange>,
}

/// The intensity changes of one channel, in the order in which they are applied.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct IntensityChange {
    /// Multiplies by a smooth field.
    pub bias: Option<BiasField>,
    /// Changes the contrast.
    pub gamma: Option<Gamma>,
    /// Multiplies by a factor and adds a shift.
    pub gain_shift: Option<GainShift>,
    /// Blurs, and makes voxels longer.
    pub resolution: Option<Resolution>,
    /// Adds Gaussian noise.
    pub noise: Option<Noise>,
    /// Sets every value to 0.
    pub is_dropped: bool,
}

impl Augmentation {
    /// Returns the augmentation that changes nothing, for a number of channels.
    pub fn none(channels: usize) -> Augmentation {
        let channels = vec![IntensityChange::default(); channels];
        Augmentation { flip: [false; 3], scan_from_patch: None, elastic: None, channels }
    }

    /// Draws the augmentations of one patch. `spacing_mm` is the scan's.
    pub fn draw(
        random: &mut impl Rng,
        settings: &AugmentSettings,
        channels: usize,
        spacing_mm: [f64; 3],
    ) -> Augmentation {
        let mut augmentation = Augmentation {
            flip: settings.flip.map(|flip| flip && random.random_bool(0.5)),
            scan_from_patch: affine::draw(random, settings, spacing_mm),
            elastic: Elastic::draw(random, settings),
            channels: (0..channels).map(|_| IntensityChange::draw(random, settings)).collect(),
        };
        // Without dropout nothing is drawn, so that runs of earlier versions continue unchanged.
        if settings.channel_dropout > 0.0 && channels > 1 {
            let kept = random.random_range(0..channels);
            for (channel, change) in augmentation.channels.iter_mut().enumerate() {
                let is_drawn = random.random_bool(settings.channel_dropout);
                change.is_dropped = is_drawn && channel != kept;
            }
        }
        augmentation
    }

    /// Changes the intensities of a patch in place. Voxels that are 0 in every channel stay 0.
    ///
    /// # Shapes
    /// - `values`: `[channel, k, j, i]`
    pub fn change_intensities(&self, values: &mut [f32], patch: [usize; 3]) {
        if self.channels.iter().all(|channel| *channel == IntensityChange::default()) {
            return;
        }
        let num_voxels: usize = patch.iter().product();
        let mut inside = vec![false; num_voxels];
        for channel in values.chunks_exact(num_voxels) {
            inside.iter_mut().zip(channel).for_each(|(inside, value)| *inside |= *value != 0.0);
        }
        for (intensity, channel) in self.channels.iter().zip(values.chunks_exact_mut(num_voxels)) {
            intensity.apply(channel, &inside, patch);
        }
    }
}

impl IntensityChange {
    fn draw(random: &mut impl Rng, settings: &AugmentSettings) -> IntensityChange {
        IntensityChange {
            bias: BiasField::draw(random, settings),
            gamma: Gamma::draw(random, settings),
            gain_shift: GainShift::draw(random, settings),
            resolution: Resolution::draw(random, settings),
            noise: Noise::draw(random, settings),
            is_dropped: false,
        }
    }

    /// Changes the voxels of one channel that are `inside`.
    fn apply(&self, channel: &mut [f32], inside: &[bool], patch: [usize; 3]) {
        if self.is_dropped {
            return channel.fill(0.0);
        }
        if let Some(bias) = &self.bias {
            bias.apply(channel, inside, patch);
        }
        if let Some(gamma) = &self.gamma {
            gamma.apply(channel, inside);
        }
        if let Some(gain_shift) = &self.gain_shift {
            gain_shift.apply(channel, inside);
        }
        if let Some(resolution) = &self.resolution {
            resolution.apply(channel, inside, patch);
        }
        if let Some(noise) = &self.noise {
            noise.apply(channel, inside);
        }
    }
}

/// Returns the lowest and the highest intensity inside, or `None` if no voxel is inside.
fn range(channel: &[f32], inside: &[bool]) -> Option<(f32, f32)> {
    let values = channel.iter().zip(inside).filter(|(_, inside)| **inside);
    values.fold(None, |range, (&value, _)| {
        let (low, high) = range.unwrap_or((value, value));
        Some((value.min(low), value.max(high)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use trainer_run::config::AUGMENTATIONS;
    use trainer_run::rng::{RngStream, generator};

    fn draw(settings: &AugmentSettings, number: u64) -> Augmentation {
        Augmentation::draw(&mut generator(0, RngStream::Patch, number), settings, 2, [1.0; 3])
    }

    #[test]
    fn augmentation_without_settings_changes_nothing() {
        assert_eq!(draw(&AugmentSettings::none(), 0), Augmentation::none(2));
        let mut values = vec![1.5, -2.0, 3.0, 0.25];
        Augmentation::none(2).change_intensities(&mut values, [2, 1, 1]);
        assert_eq!(values, [1.5, -2.0, 3.0, 0.25]);
    }

    #[test]
    fn a_draw_depends_only_on_its_generator() {
        for name in AUGMENTATIONS {
            let settings = AugmentSettings::preset(name).unwrap();
            assert_eq!(draw(&settings, 3), draw(&settings, 3));
        }
        let brugger = AugmentSettings::brugger();
        assert_ne!(draw(&brugger, 3), draw(&brugger, 4));
        assert!(draw(&brugger, 3).elastic.is_some() && draw(&brugger, 3).scan_from_patch.is_some());
    }

    #[test]
    fn augmentations_have_the_configured_frequencies() {
        let settings = AugmentSettings::default();
        let draws: Vec<Augmentation> = (0..2000).map(|number| draw(&settings, number)).collect();
        let share = |predicate: &dyn Fn(&Augmentation) -> bool| {
            draws.iter().filter(|draw| predicate(draw)).count() as f64 / draws.len() as f64
        };
        for (found, expected) in [
            (share(&|d| d.flip[1]), 0.5),
            (share(&|d| d.scan_from_patch.is_some()), 1.0 - 0.8 * 0.8),
            (share(&|d| d.channels[0].gamma.is_some()), 0.3),
            (share(&|d| d.channels[1].gain_shift.is_some()), 1.0 - 0.7 * 0.7),
            (share(&|d| d.channels[1].noise.is_some()), 0.1),
            (share(&|d| d.elastic.is_some()), 0.0),
        ] {
            assert!((found - expected).abs() < 0.035, "expected {expected}, found {found}");
        }
    }

    #[test]
    fn channels_are_left_out_with_their_probability_and_never_all() {
        let settings = AugmentSettings { channel_dropout: 0.5, ..AugmentSettings::none() };
        let draws: Vec<Augmentation> = (0..2000).map(|number| draw(&settings, number)).collect();
        let dropped = |d: &Augmentation| d.channels.iter().filter(|c| c.is_dropped).count();
        assert!(draws.iter().all(|draw| dropped(draw) < 2));
        let share = draws.iter().map(dropped).sum::<usize>() as f64 / 4000.0;
        assert!((share - 0.25).abs() < 0.02, "{share}");
        let draw = draws.iter().find(|draw| draw.channels[1].is_dropped).unwrap();
        let mut values = vec![1.5, -2.0, 3.0, 0.25];
        draw.change_intensities(&mut values, [2, 1, 1]);
        assert_eq!(values, [1.5, -2.0, 0.0, 0.0]);
        // A network of one channel needs it.
        let one =
            |n| Augmentation::draw(&mut generator(0, RngStream::Patch, n), &settings, 1, [1.0; 3]);
        assert!((0..100).all(|number| !one(number).channels[0].is_dropped));
    }

    #[test]
    fn background_stays_background() {
        let settings = AugmentSettings {
            bias: 0.5,
            gamma: 0.5,
            gain: 0.5,
            shift: 0.5,
            noise: 0.5,
            ..AugmentSettings::none()
        };
        // The third voxel is 0 in one channel only.
        let mut values = vec![0.0, 1.0, 0.0, 2.0, 0.0, -1.0, 3.0, 0.5];
        let before = values.clone();
        draw(&settings, 0).change_intensities(&mut values, [4, 1, 1]);
        for n in 0..8 {
            assert_eq!(values[n] == before[n], n % 4 == 0, "voxel {n}: {values:?}");
        }
        assert!(values.iter().all(|value| value.is_finite()));
    }
}
