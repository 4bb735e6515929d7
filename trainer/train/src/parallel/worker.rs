//! A rank other than the first: it steps and measures as the first rank commands, and writes nothing.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use burn::tensor::Device;
use trainer_data::cases::Cases;
use trainer_data::patches::{BatchShard, prefetch_shard};
use trainer_run::config::TrainConfig;

use super::{Command, Reducer, follow, validate};
use crate::checkpoint::Checkpoint;
use crate::loss::Loss;
use crate::precision::network_precision;
use crate::schedule::Schedule;
use crate::step::Learner;
use crate::validate::CaseSet;

/// A rank other than the first.
pub(crate) struct Worker<'a> {
    /// Sums with the other ranks.
    pub reducer: Arc<dyn Reducer>,
    /// The settings.
    pub config: &'a TrainConfig,
    /// The task.
    pub task: &'a model_core::Task,
    /// The network.
    pub network: &'a model_core::UNetConfig,
    /// The cases.
    pub cases: &'a Cases,
    /// Numbers of the training cases.
    pub training: &'a [usize],
    /// Numbers of the cases that a validation measures.
    pub measured: &'a [usize],
    /// The device of this rank.
    pub device: &'a Device,
    /// Number of threads that prepare its patches.
    pub workers: usize,
}

impl Worker<'_> {
    /// Trains from a checkpoint on until the first rank, or a stop, ends it. Returns the steps done,
    /// and whether the run is at its end.
    ///
    /// # Errors
    /// As [`train`](crate::train::train).
    pub fn run(self, checkpoint: Checkpoint, stop: &AtomicBool) -> Result<(usize, bool)> {
        let Worker { reducer, config, task, cases, training, device, .. } = self;
        let schedule = Schedule::new(config, training.len());
        let share =
            BatchShard::new(config.batch, config.accumulate, reducer.rank(), reducer.num_ranks());
        let mut steps = checkpoint.steps;
        let range = steps * config.accumulate..schedule.steps * config.accumulate;
        let mut pool = prefetch_shard(share, config, cases, training, range, self.workers);
        let (loss, precision) =
            (Loss::new(task, config.loss), network_precision(config.precision(self.network)?));
        let mut learner = Learner::in_precision(self.network, precision, loss, checkpoint, device)?;
        learner.reducer = reducer.clone();
        let plain = device.clone().without_autodiff();
        loop {
            match follow(&*reducer, stop)? {
                command @ (Command::End | Command::Stop) => {
                    return Ok((steps, command == Command::End));
                }
                Command::Step => {
                    let own = config.accumulate / share.at_once;
                    let batches = pool.by_ref().take(own).collect::<Result<Vec<_>>>()?;
                    learner.step(config, schedule.learning_rate(steps), batches)?;
                    steps += 1;
                }
                Command::Validate => {
                    let average = &learner.average;
                    let set = CaseSet { task, cases, numbers: self.measured };
                    validate(&*reducer, average, set, &plain, stop, |_| {})?;
                }
            }
        }
    }
}
