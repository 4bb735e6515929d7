//! How scans are segmented: what is asked for, before a scan is seen.

use anyhow::{Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The axes of a network's input, in the order of its dimensions.
pub const AXES: [&str; 3] = ["right", "front", "top"];

/// What a network is shown at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The full volume where it fits in memory, else a sliding window.
    #[default]
    Auto,
    /// The full volume, whatever it takes.
    Full,
    /// A sliding window, even where the full volume would fit.
    Sliding,
}

/// How several models become one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ensemble {
    /// The mean of their probabilities.
    #[default]
    Mean,
    /// The one with the highest Dice on profiled cases, each weighted by 1 / (ε + its distance to
    /// this scan).
    Similarity,
    /// Pendse et al. 2020 as printed: the one with the lowest sum of distance times Dice. A model
    /// that is worse on every case is preferred by it, so it is not the default of the two.
    Literal,
}

/// What the largest-component rule is applied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Largest {
    /// All that is labeled, as one.
    Foreground,
    /// Every region by itself; nested regions stay nested.
    Regions,
}

/// How scans are segmented.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What a network is shown at once.
    pub mode: Mode,
    /// What may be held while segmenting, in bytes; else what the machine has free.
    pub memory_bytes: Option<u64>,
    /// The sliding window along right, front, top; else the patch that a model was trained on.
    pub window: Option<[usize; 3]>,
    /// The share of a window that the next one overlaps.
    pub overlap: f64,
    /// The axes (right, front, top) along which scans are flipped; the mean over all combinations.
    pub flips: [bool; 3],
    /// How several models become one answer.
    pub ensemble: Ensemble,
    /// Where only the largest connected part is kept.
    pub largest: Option<Largest>,
    /// Whether each region's probabilities are written too.
    pub probabilities: bool,
    /// How far apart the files of one case may lie, in voxels.
    pub tolerance_voxels: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            mode: Mode::Auto,
            memory_bytes: None,
            window: None,
            overlap: model_core::DEFAULT_OVERLAP,
            flips: [false; 3],
            ensemble: Ensemble::Mean,
            largest: None,
            probabilities: false,
            tolerance_voxels: model_core::DEFAULT_TOLERANCE_VOXELS,
        }
    }
}

impl Settings {
    /// Refuses values that mean nothing.
    ///
    /// # Errors
    /// Names the option.
    pub fn check(&self) -> Result<()> {
        let overlap = self.overlap;
        ensure!(
            (0.0..=0.9).contains(&overlap),
            "--overlap: expected a share from 0 to 0.9, found {overlap}"
        );
        if let Some(window) = self.window {
            ensure!(
                window.iter().all(|n| (1..=1 << 14).contains(n)),
                "--window: expected 1 to 16384 voxels along each axis, found {window:?}"
            );
        }
        Ok(())
    }

    /// The axes that are flipped, by name.
    pub fn flip_names(&self) -> Vec<String> {
        let flipped = (0..3).filter(|&axis| self.flips[axis]);
        flipped.map(|axis| AXES[axis].to_string()).collect()
    }
}
