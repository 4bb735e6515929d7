//! The settings of augmentation.

use serde::{Deserialize, Serialize};

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
