//! The settings of a segmentation.

use anyhow::{Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The names of the axes of a network's input, in the order of its dimensions.
pub const AXES: [&str; 3] = ["right", "front", "top"];

/// The part of a volume that a network sees at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The full volume if it fits in memory, else overlapping tiles.
    #[default]
    Auto,
    /// The full volume, whatever memory it needs.
    Full,
    /// Overlapping tiles, even if the full volume fits.
    #[value(alias = "sliding")]
    #[serde(rename = "sliding")]
    Tiles,
}

/// The combination of several models to one result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ensemble {
    /// The mean of their probabilities.
    #[default]
    Mean,
    /// The model with the highest mean Dice on profiled cases, each weighted by 1 / (ε + its
    /// distance to this scan).
    Similarity,
    /// The rule that Pendse et al. 2020 print: the model with the lowest sum of distance times
    /// Dice. It prefers a model that is worse on every case.
    Literal,
}

/// The labels of which only the largest component is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LargestComponent {
    /// All labels together.
    Foreground,
    /// Each region by itself. Nested regions stay nested.
    Regions,
}

/// The settings of a segmentation.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The part of a volume that a network sees at once.
    pub mode: Mode,
    /// The memory limit in bytes. By default it is the machine's free memory.
    pub memory_bytes: Option<u64>,
    /// The tile along right, front, top. By default it is the model's training patch.
    pub tile_dims: Option<[usize; 3]>,
    /// The least share of a tile that overlaps with the next tile.
    pub overlap: f64,
    /// The axes (right, front, top) along which scans are flipped. Probabilities are averaged over
    /// all combinations.
    pub flips: [bool; 3],
    /// The combination of several models.
    pub ensemble: Ensemble,
    /// The labels of which only the largest component is kept.
    pub largest_component: Option<LargestComponent>,
    /// Whether each region's probabilities are returned and written.
    pub probabilities: bool,
    /// The largest distance between the files of one case, in voxels.
    pub tolerance_voxels: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            mode: Mode::Auto,
            memory_bytes: None,
            tile_dims: None,
            overlap: model_core::DEFAULT_OVERLAP,
            flips: [false; 3],
            ensemble: Ensemble::Mean,
            largest_component: None,
            probabilities: false,
            tolerance_voxels: model_core::DEFAULT_TOLERANCE_VOXELS,
        }
    }
}

impl Settings {
    /// Checks the values.
    ///
    /// # Errors
    /// Errors with the option whose value is out of range.
    pub fn check(&self) -> Result<()> {
        let overlap = self.overlap;
        ensure!(
            (0.0..=0.9).contains(&overlap),
            "--overlap: expected a share from 0 to 0.9, found {overlap}"
        );
        if let Some(tile_dims) = self.tile_dims {
            ensure!(
                tile_dims.iter().all(|n| (1..=1 << 14).contains(n)),
                "--tile: expected 1 to 16384 voxels along each axis, found {tile_dims:?}"
            );
        }
        Ok(())
    }

    /// Returns the names of the flipped axes.
    pub fn flip_names(&self) -> Vec<String> {
        let flipped = (0..3).filter(|&axis| self.flips[axis]);
        flipped.map(|axis| AXES[axis].to_string()).collect()
    }
}
