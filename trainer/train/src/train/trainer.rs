//! The training loop of the main rank.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Error, Result};
use model_core::nets::Precision;
use trainer_data::patches::{Batch, BatchPrefetcher, BatchShard, prefetch_shard};
use trainer_run::files;
use trainer_run::metrics::{Metric, Scalars};
use trainer_run::metrics_log::Row;

use super::finish::{FinishedRun, OnFinish, remove_results};
use super::introduction::introduction;
use super::run_log::RunLog;
use super::setup::{Outcome, TrainSetup};
use super::state::TrainState;
use crate::checkpoint::{Checkpoint, best};
use crate::drift::Drift;
use crate::parallel::{Command, RankFailed, Reducer, announce};
use crate::schedule::Schedule;
use crate::step::StepReport;

/// A run in training.
pub(super) struct Trainer<'a> {
    pub(super) setup: TrainSetup<'a>,
    pub(super) schedule: Schedule,
    pub(super) state: TrainState,
    pub(super) log: RunLog,
    on_finish: Option<OnFinish>,
}

impl<'a> Trainer<'a> {
    /// Resumes a run from a checkpoint.
    ///
    /// # Errors
    /// Errors if the checkpoint is of another network, or the history cannot be written.
    pub(super) fn new(
        setup: TrainSetup<'a>,
        on_finish: Option<OnFinish>,
        checkpoint: Checkpoint,
        reducer: Arc<dyn Reducer>,
    ) -> Result<Trainer<'a>> {
        let schedule = Schedule::new(&setup.run.config, setup.data.training.len());
        let state = TrainState::resume(&setup.run, checkpoint, &setup.device, reducer)?;
        let log = RunLog::open(&setup.run, setup.out, &state, schedule.steps)?;
        Ok(Trainer { setup, schedule, state, log, on_finish })
    }

    /// Trains until nothing is left to do, or until `stop` is set.
    ///
    /// # Errors
    /// As [`train`](super::train()).
    pub(super) fn run(mut self, stop: &AtomicBool) -> Result<Outcome> {
        let outcome = self.train(stop);
        if outcome.as_ref().is_err_and(|error| error.is::<RankFailed>()) {
            // The step without a sum changed nothing. The steps before it are saved.
            self.save_completed_steps()?;
        }
        outcome.map_err(|error| self.explain_full_disk(error))
    }

    fn train(&mut self, stop: &AtomicBool) -> Result<Outcome> {
        self.log.line(introduction(&self.setup, &self.schedule, self.state.steps));
        let config = self.setup.run.config.clone();
        let shard = self.shard();
        let mut patches = self.prefetch(shard);
        if !self.is_over() {
            remove_results(self.setup.out)?;
        }
        if self.state.validation_is_due {
            self.validate(stop)?;
        }

        while self.next_command(stop)? == Command::Step {
            let due = self.schedule.due_after(self.state.steps + 1);
            let num_batches = config.accumulate / shard.at_once;
            let batches = patches.by_ref().take(num_batches).collect::<Result<Vec<_>>>()?;
            let drift = if due.drift { self.measure_drift(&batches[0])? } else { None };

            let learning_rate = self.schedule.learning_rate(self.state.steps);
            let report = self.state.learner.step(&config, learning_rate, batches)?;
            self.state.steps += 1;

            let scalars = self.scalars(learning_rate, drift, &report);
            let best = best(&self.state.validations);
            self.log.add_step(self.state.steps, scalars, best, patches.wait_time());
            self.log_skipped_step(&report);
            if due.row || drift.is_some() {
                self.log.append_training_row(self.state.steps)?;
            }
            if due.checkpoint {
                self.state.validation_is_due = due.validation;
                self.save()?;
            }
            if due.validation {
                self.validate(stop)?;
            }
        }

        drop(patches);
        self.save_completed_steps()?;
        let finished = self.is_over() && self.finish(stop)?;
        self.log.clear();
        let best = best(&self.state.validations);
        Ok(Outcome { steps: self.state.steps, finished, best })
    }

    fn shard(&self) -> BatchShard {
        let config = &self.setup.run.config;
        let reducer = &self.state.learner.reducer;
        BatchShard::new(config.batch, config.accumulate, reducer.rank(), reducer.num_ranks())
    }

    fn prefetch(&self, shard: BatchShard) -> BatchPrefetcher {
        let TrainSetup { run, data, workers, .. } = &self.setup;
        let accumulate = run.config.accumulate;
        let batches = self.state.steps * accumulate..self.schedule.steps * accumulate;
        prefetch_shard(shard, &run.config, &data.cases, &data.training, batches, *workers)
    }

    /// Agrees with the other ranks on the next step or the end.
    fn next_command(&self, stop: &AtomicBool) -> Result<Command> {
        let command = if self.is_over() { Command::End } else { Command::Step };
        announce(&*self.state.learner.reducer, command, stop)
    }

    /// Returns whether nothing is left to do.
    fn is_over(&self) -> bool {
        let TrainState { steps, validation_is_due, validations, .. } = &self.state;
        let is_last = *steps >= self.schedule.steps;
        !validation_is_due && (is_last || self.schedule.is_converged(validations))
    }

    /// Collects the scalars of a step for the log.
    fn scalars(&self, learning_rate: f64, drift: Option<f64>, report: &StepReport) -> Scalars {
        let mut scalars = report.scalars();
        scalars.extend([(Metric::LearningRate, learning_rate)]);
        scalars.extend(drift.map(|drift| (Metric::Drift, drift)));
        let scale = &self.state.learner.loss_scale;
        if let Some(factor) = scale.factor() {
            let skipped = scale.skipped as f64;
            scalars.extend([(Metric::LossScale, factor), (Metric::SkippedSteps, skipped)]);
        }
        scalars
    }

    /// Measures the drift of every rewound sequence before a step, and returns the largest; `None`
    /// for a network that rewinds nothing.
    fn measure_drift(&mut self, batch: &Batch) -> Result<Option<f64>> {
        let step = self.state.steps + 1;
        let network = &self.state.learner.network;
        let Some(drift) = Drift::measure(network, batch, self.setup.run.config.patch) else {
            return Ok(None);
        };
        self.log.append_drift(step, &drift)?;
        let precision: Precision = network.precision;
        if let Some(warning) = drift.warning(precision) {
            self.log.line(format!("warning: step {step}: {warning}"));
        }
        Ok(Some(drift.worst().1))
    }

    /// Logs a step whose gradient left f16's range.
    fn log_skipped_step(&self, report: &StepReport) {
        let factor = self.state.learner.loss_scale.factor();
        let Some((cases, factor)) = report.skipped.as_ref().zip(factor) else { return };
        let what = if report.report.loss.is_finite() { "gradient" } else { "network's answer" };
        self.log.line(format!(
            "step {}: skipped, the {what} on patches of {} left f16's range; the loss is scaled by \
             {factor} now",
            self.state.steps,
            cases.join(", ")
        ));
    }

    /// Saves the steps since the last checkpoint, if there are any.
    fn save_completed_steps(&mut self) -> Result<()> {
        if self.state.steps == self.state.saved_steps {
            return Ok(());
        }
        if self.log.has_steps_without_row() {
            self.log.append_training_row(self.state.steps)?;
        }
        self.save()
    }

    /// Writes a checkpoint, after the rows before it are safe on the disk.
    pub(super) fn save(&mut self) -> Result<()> {
        self.log.sync()?;
        self.state.save(self.setup.out)
    }

    /// Appends the row of a validation.
    pub(super) fn append_validation(&mut self, region_dice: Vec<f64>) -> Result<()> {
        self.log.append(Row::validation(self.state.steps, region_dice))
    }

    /// Passes the best weights to the job's hook. Returns whether the hook came to its end.
    fn finish(&self, stop: &AtomicBool) -> Result<bool> {
        match self.on_finish {
            Some(on_finish) => on_finish(&FinishedRun::open(&self.setup, &self.log, stop)?),
            None => Ok(true),
        }
    }

    /// Adds to the error of a full disk how the run can be resumed.
    fn explain_full_disk(&self, error: Error) -> Error {
        let saved_steps = self.state.saved_steps;
        if !files::is_full(&error) || saved_steps == 0 {
            return error;
        }
        error.context(format!(
            "no room left for the run: the checkpoint after step {saved_steps} is kept, and with room \
             (in {}) the same command goes on from it",
            self.setup.out.display()
        ))
    }
}
