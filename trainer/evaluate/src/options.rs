//! Options of an evaluation.

use model_core::metrics::Settings;
use model_core::{DEFAULT_TOLERANCE_VOXELS, Task};

/// The settings of an evaluation.
#[derive(Debug, Clone)]
pub struct Options {
    /// The labels and regions. Without a task, each label that is found is a region.
    pub task: Option<Task>,
    /// The rule for empty regions, the kind of surface and its tolerance.
    pub settings: Settings,
    /// Whether each lesion is also scored by itself.
    pub lesion_wise: bool,
    /// The treatment of references without a prediction.
    pub missing: Missing,
    /// The largest distance between a prediction and its reference, in voxels.
    pub tolerance_voxels: f64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            task: None,
            settings: Settings::default(),
            lesion_wise: false,
            missing: Missing::default(),
            tolerance_voxels: DEFAULT_TOLERANCE_VOXELS,
        }
    }
}

/// The treatment of references without a prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Missing {
    /// An error that lists the references.
    #[default]
    Refuse,
    /// The worst scores of the rule for empty regions, even if the reference is empty.
    Worst,
    /// Not scored. The report lists them.
    Skip,
}
