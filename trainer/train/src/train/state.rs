//! The state of a run between steps.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use burn::tensor::Device;
use trainer_run::run_folder::Run;

use crate::checkpoint::Checkpoint;
use crate::loss::Loss;
use crate::parallel::Reducer;
use crate::precision::network_precision;
use crate::step::Learner;

/// The state that checkpoints hold, on the device.
pub(super) struct TrainState {
    /// Weights, optimizer and loss scale.
    pub learner: Learner,
    /// Steps done.
    pub steps: usize,
    /// Whether the validation after these steps is still to be made.
    pub validation_is_due: bool,
    /// The steps and the mean Dice of every validation so far.
    pub validations: Vec<(usize, f64)>,
    /// Steps in the newest checkpoint on the disk.
    pub saved_steps: usize,
}

impl TrainState {
    /// Loads a checkpoint onto a device.
    ///
    /// # Errors
    /// Errors if the checkpoint is of another network.
    pub fn resume(
        run: &Run,
        checkpoint: Checkpoint,
        device: &Device,
        reducer: Arc<dyn Reducer>,
    ) -> Result<TrainState> {
        let Checkpoint { steps, validation_is_due, .. } = checkpoint;
        let validations = checkpoint.validations.clone();
        let loss = Loss::new(&run.task, run.config.loss);
        let precision = network_precision(run.config.precision(&run.network)?);
        let mut learner = Learner::in_precision(&run.network, precision, loss, checkpoint, device)?;
        learner.reducer = reducer;
        Ok(TrainState { learner, steps, validation_is_due, validations, saved_steps: steps })
    }

    /// Writes a checkpoint into the run's folder.
    ///
    /// # Errors
    /// As [`Checkpoint::save`].
    pub fn save(&mut self, out: &Path) -> Result<()> {
        let checkpoint = Checkpoint {
            steps: self.steps,
            validation_is_due: self.validation_is_due,
            validations: self.validations.clone(),
            weights: self.learner.network.weights(),
            average: self.learner.average.weights(),
            moments: self.learner.adam.state(),
            loss_scale: self.learner.loss_scale,
        };
        checkpoint.save(out)?;
        self.saved_steps = self.steps;
        Ok(())
    }
}
