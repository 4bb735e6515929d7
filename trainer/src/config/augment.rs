//! The settings of augmentation.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::check::{fraction, not_negative};

/// Random changes of the patches; each 0 turns one off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentSettings {
    /// Whether a patch is mirrored, half of the time, left to right, back to front, bottom to top.
    pub flip: [bool; 3],
    /// Each channel is multiplied by a factor within 1 ± this.
    pub gain: f32,
    /// Each channel is shifted by up to this, in standard deviations.
    pub shift: f32,
    /// Gaussian noise with a standard deviation of up to this, in those of the channel.
    pub noise: f32,
    /// Rotation about the three axes by up to this angle.
    pub rotate_degrees: f32,
    /// Scaling by a factor within 1 ± this.
    pub scale: f32,
    /// The fraction of the patches that is rotated and scaled.
    pub spatial_fraction: f64,
}

impl Default for AugmentSettings {
    fn default() -> Self {
        AugmentSettings {
            flip: [true; 3],
            gain: 0.1,
            shift: 0.1,
            noise: 0.0,
            rotate_degrees: 0.0,
            scale: 0.0,
            spatial_fraction: 0.5,
        }
    }
}

impl AugmentSettings {
    /// Refuses values that mean nothing.
    ///
    /// # Errors
    /// Names the first such setting.
    pub fn check(&self) -> Result<()> {
        fraction("augment.spatial_fraction", self.spatial_fraction)?;
        not_negative("augment.gain", self.gain.into())?;
        not_negative("augment.shift", self.shift.into())?;
        not_negative("augment.noise", self.noise.into())?;
        not_negative("augment.rotate_degrees", self.rotate_degrees.into())?;
        ensure!(
            (0.0..=0.9).contains(&self.scale),
            "settings: expected augment.scale from 0 to 0.9, found {}",
            self.scale
        );
        Ok(())
    }
}
