//! The settings of the augmentation and their presets.

use anyhow::{Result, bail, ensure};
use documented::DocumentedFields;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::check::{fraction, not_negative};

/// Random changes of the patches; an amount of 0 turns a change off. In a file, `preset` names the
/// preset that the other settings start from. A written file has all numbers instead.
///
/// Axes are right, front, top. Changes of intensities are drawn for each channel separately. They
/// do not change voxels that are 0 in every channel: background and padding are exactly 0 in use
/// too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, DocumentedFields)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct AugmentSettings {
    /// Whether a patch is flipped, with probability one half, left to right, back to front, bottom
    /// to top.
    pub flip: [bool; 3],
    /// The largest angle of a rotation about the axes right, front, top. Rotations are computed in
    /// mm, so scans with thick slices are not sheared.
    #[serde(deserialize_with = "one_or_three")]
    pub rotate_degrees: [f64; 3],
    /// The fraction of the patches that is rotated.
    pub rotate_fraction: f64,
    /// The scaling along each axis, by a factor from 1 / (1 + this) to 1 + this. Axes with the same
    /// number have the same factor.
    #[serde(deserialize_with = "one_or_three")]
    pub scale: [f64; 3],
    /// The fraction of the patches that is scaled.
    pub scale_fraction: f64,
    /// Elastic deformation: the standard deviation of the displacements along each axis, in voxels.
    #[serde(deserialize_with = "one_or_three")]
    pub elastic_voxels: [f64; 3],
    /// The size of the grid of displacements in a patch, with cubic interpolation. With 1 along an
    /// axis the displacements are constant along it.
    pub elastic_grid: [usize; 3],
    /// The fraction of the patches that is deformed.
    pub elastic_fraction: f64,
    /// A bias field: the standard deviation of the logarithm of a smooth factor, a cubic through
    /// 4 × 4 × 4 normal numbers. The lowest intensity of the patch counts as 0.
    pub bias: f64,
    /// The fraction of the channels with a bias field.
    pub bias_fraction: f64,
    /// Contrast: intensities between the lowest and the highest are raised to a power from 1 / (1 +
    /// this) to 1 + this. Mean and standard deviation do not change.
    pub gamma: f64,
    /// The fraction of the channels with a changed contrast.
    pub gamma_fraction: f64,
    /// The largest deviation from 1 of a factor of the intensities.
    pub gain: f64,
    /// The fraction of the channels with a factor.
    pub gain_fraction: f64,
    /// The largest shift of the intensities, in standard deviations.
    pub shift: f64,
    /// The fraction of the channels with a shift.
    pub shift_fraction: f64,
    /// The largest standard deviation of a Gaussian that blurs, in voxels.
    pub blur: f64,
    /// The fraction of the channels that is blurred.
    pub blur_fraction: f64,
    /// Low resolution: voxels become longer by a factor from 1 to 1 + this, along one axis (thick
    /// slices) or along all.
    pub low_resolution: f64,
    /// The fraction of the channels with longer voxels.
    pub low_resolution_fraction: f64,
    /// The largest standard deviation of Gaussian noise, in standard deviations of the channel.
    pub noise: f64,
    /// The fraction of the channels with noise.
    pub noise_fraction: f64,
    /// The probability with which a channel of a patch is left out: all of its values become 0. At
    /// least one channel stays. A network that was trained so can be run without some channels.
    pub channel_dropout: f64,
    /// The fraction of the patches into which the foreground of another training case is pasted, with
    /// its intensities and labels and a margin of up to 3 voxels (CarveMix, Zhang et al. 2021). For
    /// few cases with lesions that can be anywhere.
    pub lesion_mix: f64,
}

/// The names of the presets.
pub const AUGMENTATIONS: [&str; 4] = ["default", "none", "pendse", "brugger"];

impl AugmentSettings {
    /// Returns a preset by name, one of [`AUGMENTATIONS`].
    pub fn preset(name: &str) -> Option<AugmentSettings> {
        match name {
            "default" => Some(AugmentSettings::default()),
            "none" => Some(AugmentSettings::none()),
            "pendse" => Some(AugmentSettings::pendse()),
            "brugger" => Some(AugmentSettings::brugger()),
            _ => None,
        }
    }

    /// Returns settings without changes. A change that gets an amount is applied to every patch.
    pub fn none() -> AugmentSettings {
        AugmentSettings {
            flip: [false; 3],
            rotate_degrees: [0.0; 3],
            rotate_fraction: 1.0,
            scale: [0.0; 3],
            scale_fraction: 1.0,
            elastic_voxels: [0.0; 3],
            elastic_grid: [3; 3],
            elastic_fraction: 1.0,
            bias: 0.0,
            bias_fraction: 1.0,
            gamma: 0.0,
            gamma_fraction: 1.0,
            gain: 0.0,
            gain_fraction: 1.0,
            shift: 0.0,
            shift_fraction: 1.0,
            blur: 0.0,
            blur_fraction: 1.0,
            low_resolution: 0.0,
            low_resolution_fraction: 1.0,
            noise: 0.0,
            noise_fraction: 1.0,
            channel_dropout: 0.0,
            lesion_mix: 0.0,
        }
    }

    /// Returns the settings of Pendse et al. 2020: rotation about the longitudinal axis by ±20°,
    /// scaling and intensity by ±10 %, flips, elastic deformation. Our reading: all changes apply
    /// to every patch, intensity is a factor, and the deformation, which is not described, is that
    /// of Brügger et al.
    pub fn pendse() -> AugmentSettings {
        AugmentSettings { scale: [0.1; 3], gain: 0.1, shift: 0.0, ..AugmentSettings::brugger() }
    }

    /// Returns the settings of Brügger et al. 2019: in the axial plane, because BraTS is
    /// interpolated along the other axis, rotation by ±20°, scaling by 1/1.1 to 1.1, displacements
    /// of 10 voxels on a grid of 3 × 3; a shift of ±0.1 per channel; flips. Our reading: all
    /// changes apply to every patch.
    pub fn brugger() -> AugmentSettings {
        AugmentSettings {
            flip: [true; 3],
            rotate_degrees: [0.0, 0.0, 20.0],
            scale: [0.1, 0.1, 0.0],
            elastic_voxels: [10.0, 10.0, 0.0],
            elastic_grid: [3, 3, 1],
            shift: 0.1,
            ..AugmentSettings::none()
        }
    }

    /// Checks the values.
    ///
    /// # Errors
    /// If a value is out of its range, with the name of the first such setting.
    pub fn check(&self) -> Result<()> {
        let [degrees, scale, elastic] = [self.rotate_degrees, self.scale, self.elastic_voxels];
        for (name, values, limit) in [
            ("rotate_degrees", degrees, 180.0),
            ("scale", scale, 9.0),
            ("elastic_voxels", elastic, 1000.0),
            ("bias", [self.bias; 3], 3.0),
            ("gamma", [self.gamma; 3], 9.0),
            ("blur", [self.blur; 3], 10.0),
            ("low_resolution", [self.low_resolution; 3], 31.0),
        ] {
            let wrong = values.into_iter().find(|value| !(0.0..=limit).contains(value));
            if let Some(wrong) = wrong {
                bail!("settings: expected augment.{name} from 0 to {limit}, found {wrong}");
            }
        }
        for (name, value) in [
            ("rotate", self.rotate_fraction),
            ("scale", self.scale_fraction),
            ("elastic", self.elastic_fraction),
            ("bias", self.bias_fraction),
            ("gamma", self.gamma_fraction),
            ("gain", self.gain_fraction),
            ("shift", self.shift_fraction),
            ("blur", self.blur_fraction),
            ("low_resolution", self.low_resolution_fraction),
            ("noise", self.noise_fraction),
        ] {
            fraction(&format!("augment.{name}_fraction"), value)?;
        }
        fraction("augment.channel_dropout", self.channel_dropout)?;
        fraction("augment.lesion_mix", self.lesion_mix)?;
        ensure!(
            self.elastic_grid.iter().all(|n| (1..=32).contains(n)),
            "settings: expected augment.elastic_grid from 1 to 32, found {:?}",
            self.elastic_grid
        );
        not_negative("augment.gain", self.gain)?;
        not_negative("augment.shift", self.shift)?;
        not_negative("augment.noise", self.noise)
    }
}

/// The modern preset, similar to that of nnU-Net (Isensee et al. 2021) without its blur and low
/// resolution: flips, rotation by ±30° and scaling by 1/1.4 to 1.4 for a fifth of the patches each,
/// and a factor, a shift, contrast and noise for a part of the channels.
impl Default for AugmentSettings {
    fn default() -> Self {
        AugmentSettings {
            flip: [true; 3],
            rotate_degrees: [30.0; 3],
            rotate_fraction: 0.2,
            scale: [0.4; 3],
            scale_fraction: 0.2,
            gamma: 0.5,
            gamma_fraction: 0.3,
            gain: 0.25,
            gain_fraction: 0.3,
            shift: 0.1,
            shift_fraction: 0.3,
            noise: 0.3,
            noise_fraction: 0.1,
            ..AugmentSettings::none()
        }
    }
}

impl Serialize for AugmentSettings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        AugmentSettings::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for AugmentSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut given = toml::Table::deserialize(deserializer)?;
        let base = match given.remove("preset") {
            None => AugmentSettings::default(),
            Some(preset) => preset.as_str().and_then(AugmentSettings::preset).ok_or_else(|| {
                let found = preset.as_str().map_or(preset.to_string(), String::from);
                let known = AUGMENTATIONS.map(|name| format!("`{name}`")).join(", ");
                D::Error::custom(format!("unknown preset `{found}`, expected one of {known}"))
            })?,
        };
        let mut all = toml::Table::try_from(base).expect("settings are plain values");
        all.extend(given);
        AugmentSettings::deserialize(all).map_err(|error| D::Error::custom(error.message()))
    }
}

/// Reads three numbers along right, front, top, or one number for all axes.
fn one_or_three<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[f64; 3], D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected one number, or three along right, front, top")]
    enum Given {
        One(f64),
        Three([f64; 3]),
    }
    Ok(match Given::deserialize(deserializer)? {
        Given::One(number) => [number; 3],
        Given::Three(numbers) => numbers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<AugmentSettings, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn single_settings_override_the_preset() {
        let settings = parse("preset = \"brugger\"\nscale = 0.2\nnoise = 1").unwrap();
        let expected =
            AugmentSettings { scale: [0.2; 3], noise: 1.0, ..AugmentSettings::brugger() };
        assert_eq!(settings, expected);
        assert_eq!(parse("").unwrap(), AugmentSettings::default());
    }

    #[test]
    fn every_preset_is_valid_and_written_with_all_numbers() {
        for name in AUGMENTATIONS {
            let settings = AugmentSettings::preset(name).unwrap();
            settings.check().unwrap();
            let text = toml::to_string(&settings).unwrap();
            assert!(!text.contains("preset") && text.contains("rotate_degrees = ["), "{text}");
            assert_eq!(parse(&text).unwrap(), settings);
        }
    }

    #[test]
    fn invalid_values_are_refused() {
        let error = parse("preset = \"bruger\"").unwrap_err().to_string();
        assert!(error.contains("unknown preset `bruger`") && error.contains("`brugger`"));
        assert!(parse("flips = true").unwrap_err().to_string().contains("unknown field `flips`"));
        let error = parse("scale = [1, 2]").unwrap_err().to_string();
        assert!(error.contains("one number, or three"), "{error}");
        for text in [
            "rotate_degrees = -1",
            "scale = [0.1, nan, 0.1]",
            "elastic_grid = [0, 1, 1]",
            "noise = inf",
            "gain_fraction = 2",
            "channel_dropout = 1.5",
            "lesion_mix = -0.1",
        ] {
            assert!(parse(text).unwrap().check().is_err(), "{text}");
        }
    }
}
