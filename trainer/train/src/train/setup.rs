//! The fixed parts of a training, and its outcome.

use std::path::Path;

use burn::tensor::Device;
use trainer_data::cases::Cases;
use trainer_run::run_folder::Run;

use crate::checkpoint::Best;

/// The cases of a run, and the numbers of those that are trained on and of those that are measured.
#[derive(Clone)]
pub struct TrainingData {
    pub cases: Cases,
    pub training: Vec<usize>,
    pub measured: Vec<usize>,
}

/// The parts of a training that stay as they are from its first to its last step.
pub struct TrainSetup<'a> {
    pub run: Run,
    /// The run's folder.
    pub out: &'a Path,
    pub data: TrainingData,
    /// The main rank's device, without autodiff.
    pub device: Device,
    /// Threads that prepare the main rank's patches.
    pub workers: usize,
}

/// The outcome of a training.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Steps done in all.
    pub steps: usize,
    /// Whether the training came to its end. Otherwise it was stopped, and can be resumed.
    pub finished: bool,
    /// The best validation.
    pub best: Option<Best>,
}

/// Names the side of the split that validations measure.
pub fn measured_split(run: &Run) -> &'static str {
    if run.held_out.is_empty() { "training" } else { "held-out" }
}
