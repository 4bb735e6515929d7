//! The loop of training: steps, validations, checkpoints, the log.

mod precision;
mod validation;

use crate::precision::network_precision;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use trainer_data::patches::BatchShard;

use anyhow::Result;
use burn::tensor::Device;
use indicatif::ProgressBar;
use model_core::UNetConfig;
use model_core::network::config::{Parameter, parameters};

use super::Outcome;
use super::finish::{finish, remove_results};
use crate::checkpoint::{Checkpoint, best};
use crate::loss::Loss;
use crate::parallel::{Command, RankFailed, Reducer, announce};
use crate::schedule::Schedule;
use crate::step::{Learner, StepReport};
use trainer_data::cases::Cases;
use trainer_data::patches::prefetch_shard;
use trainer_run::events::EventLog;
use trainer_run::metrics_log::{Clock, History, MetricsLog, Row, Values};
use trainer_run::run_folder::Run;
use trainer_run::{files, progress};

/// A run on its way.
pub(super) struct Trainer<'a> {
    run: Run,
    cases: Cases,
    training: Vec<usize>,
    /// The cases that are measured: those held out, or where none are, the training cases.
    measured: Vec<usize>,
    device: Device,
    /// Threads that prepare this rank's patches.
    workers: usize,
    out: &'a Path,
    schedule: Schedule,
    learner: Learner,
    steps: usize,
    validation_is_due: bool,
    validations: Vec<(usize, f64)>,
    log: MetricsLog,
    events: EventLog,
    recent: Recent,
    bar: ProgressBar,
    started: Instant,
    /// How long the device waited for patches since then.
    waited: Duration,
    /// The clock of the processes before this one.
    before: Clock,
    first_step: usize,
    /// Steps in the newest checkpoint.
    saved: usize,
}

/// What happened since the last row of the log.
#[derive(Default)]
struct Recent {
    reports: Vec<StepReport>,
    /// Over a longer time, for the bar.
    dice: VecDeque<f64>,
    /// The largest drift, where it was measured.
    drift: Option<f64>,
}

impl<'a> Trainer<'a> {
    /// At a checkpoint, or at the start.
    ///
    /// # Errors
    /// When the checkpoint is not of the network, or the history cannot be written.
    pub(super) fn new(
        run: Run,
        cases: Cases,
        training: Vec<usize>,
        held_out: Vec<usize>,
        device: &Device,
        checkpoint: Option<Checkpoint>,
        out: &'a Path,
        workers: usize,
        reducer: Arc<dyn Reducer>,
    ) -> Result<Trainer<'a>> {
        let checkpoint =
            checkpoint.unwrap_or_else(|| Checkpoint::initial(&run.network, run.config.seed));
        let Checkpoint { steps, validation_is_due, .. } = checkpoint;
        let schedule = Schedule::new(&run.config, training.len());
        let loss = Loss::new(&run.task, run.config.loss);
        let regions: Vec<String> = run.task.regions.iter().map(|r| r.name.clone()).collect();
        let validations = checkpoint.validations.clone();
        let precision = network_precision(run.config.precision()?);
        let mut learner = Learner::in_precision(&run.network, precision, loss, checkpoint, device)?;
        learner.reducer = reducer;
        Ok(Trainer {
            validations,
            learner,
            log: MetricsLog::open(out, &regions, steps, validation_is_due)?,
            events: EventLog::open(out, steps, validation_is_due, run.config.deterministic)?,
            waited: Duration::ZERO,
            before: History::read(out)?.clock().unwrap_or(Clock::ZERO),
            measured: super::measured(&training, &held_out),
            workers,
            bar: progress::bar("training", schedule.steps as u64),
            schedule,
            device: device.clone().without_autodiff(),
            recent: Recent::default(),
            started: Instant::now(),
            first_step: steps,
            saved: steps,
            run,
            cases,
            training,
            out,
            steps,
            validation_is_due,
        })
    }

    /// Goes on until nothing is left to do, or until `stop` is set.
    ///
    /// # Errors
    /// As [`train`](super::train).
    pub(super) fn run(mut self, stop: &AtomicBool) -> Result<Outcome> {
        let outcome = self.go_on(stop);
        let is_of_another = |error: &anyhow::Error| error.is::<RankFailed>();
        if outcome.as_ref().is_err_and(is_of_another) && self.steps > self.saved {
            // The step that could not be summed up changed nothing: those before it are kept.
            if !self.recent.reports.is_empty() {
                self.log()?;
            }
            self.save()?;
        }
        outcome.map_err(|error| match files::is_full(&error) && self.saved > 0 {
            false => error,
            true => error.context(format!(
                "no room left for the run: the checkpoint after step {} is kept, and with room (in \
                 {}) the same command goes on from it",
                self.saved,
                self.out.display()
            )),
        })
    }

    fn go_on(&mut self, stop: &AtomicBool) -> Result<Outcome> {
        let config = self.run.config.clone();
        self.introduce();
        let range = self.steps * config.accumulate..self.schedule.steps * config.accumulate;
        let (rank, num_ranks) = (self.learner.reducer.rank(), self.learner.reducer.num_ranks());
        let share = BatchShard::new(config.batch, config.accumulate, rank, num_ranks);
        let mut pool =
            prefetch_shard(share, &config, &self.cases, &self.training, range, self.workers);
        if !self.is_over() {
            remove_results(self.out)?;
        }
        if self.validation_is_due {
            self.validate(stop)?;
        }
        let own_batches = config.accumulate / share.at_once;
        while self.next(stop)? == Command::Step {
            let batches = pool.by_ref().take(own_batches).collect::<Result<Vec<_>>>()?;
            let drift_is_due = self.watch_drift(&batches[0])?;
            let rate = self.schedule.learning_rate(self.steps);
            let report = self.learner.step(&config, rate, batches)?;
            self.steps += 1;
            self.tell_skipped(&report);
            self.waited = pool.wait_time();
            self.show(report);
            let is_last = self.steps == self.schedule.steps;
            let is_due = |every: usize| self.steps.is_multiple_of(every) || is_last;
            let validation = is_due(self.schedule.validate_every);
            let checkpoint = validation || is_due(self.schedule.checkpoint_every);
            if checkpoint || drift_is_due || is_due(self.schedule.log_every) {
                self.log()?;
            }
            if checkpoint {
                self.validation_is_due = validation;
                self.save()?;
            }
            if validation {
                self.validate(stop)?;
            }
        }
        drop(pool);
        let mut finished = self.is_over();
        if !finished && !self.recent.reports.is_empty() {
            self.log()?;
        }
        if self.steps > self.saved {
            self.save()?;
        }
        if finished {
            let (run, cases, bar) = (&self.run, &self.cases, &self.bar);
            finished = finish(self.out, run, cases, &self.measured, &self.device, stop, bar)?;
        }
        self.bar.finish_and_clear();
        Ok(Outcome { steps: self.steps, finished, best: best(&self.validations) })
    }

    /// What all ranks do next, besides validations.
    fn next(&self, stop: &AtomicBool) -> Result<Command> {
        let command = if self.is_over() { Command::End } else { Command::Step };
        announce(&*self.learner.reducer, command, stop)
    }

    /// Whether nothing is left to do.
    fn is_over(&self) -> bool {
        let is_last = self.steps >= self.schedule.steps;
        !self.validation_is_due && (is_last || self.schedule.is_converged(&self.validations))
    }

    /// Of which cases Dice is measured.
    fn whose(&self) -> &'static str {
        if self.run.held_out.is_empty() { "training" } else { "held-out" }
    }

    fn introduce(&self) {
        let Run { network, config, .. } = &self.run;
        let num_parameters = |network: &UNetConfig| -> usize {
            parameters(network).iter().map(Parameter::len).sum()
        };
        let exported = num_parameters(&network.for_inference());
        let of_branch = match num_parameters(network) - exported {
            0 => String::new(),
            count => format!(" and {count} of its variational branch, which is not exported"),
        };
        let gib = self.cases.bytes() as f64 / (1u64 << 30) as f64;
        progress::line(
            &self.bar,
            format!(
                "{}: {} training cases, {} held out; {gib:.2} GiB when preprocessed\n\
                 network of {exported} parameters{of_branch}, widths {:?}, on {}\n\
                 {} steps ({:.1} epochs) of {} patches of {:?} voxels{}",
                self.run.data,
                self.run.training.len(),
                self.run.held_out.len(),
                network.widths,
                self.where_and_how(),
                self.schedule.steps,
                self.schedule.steps as f64 / self.schedule.epoch_steps as f64,
                config.batch * config.accumulate,
                config.patch,
                match self.steps {
                    0 => String::new(),
                    steps => format!("; resuming after step {steps}"),
                }
            ),
        );
        if self.run.held_out.is_empty() {
            progress::line(
                &self.bar,
                "held_out is 0: Dice is measured on the training cases and says nothing about others",
            );
        }
        self.bar.set_position(self.steps as u64);
    }

    /// Moves the bar.
    fn show(&mut self, report: StepReport) {
        self.recent.dice.push_back(report.report.dice);
        if self.recent.dice.len() > 50 {
            self.recent.dice.pop_front();
        }
        let dice = self.recent.dice.iter().sum::<f64>() / self.recent.dice.len() as f64;
        let whose = self.whose();
        let best = best(&self.validations)
            .map_or(String::new(), |best| format!(", {whose} Dice {:.3}", best.dice));
        self.bar.set_message(format!(
            "loss {:.3}, patch Dice {dice:.3}{best}, {} left",
            report.report.loss,
            progress::duration(self.time_left())
        ));
        self.bar.set_position(self.steps as u64);
        self.recent.reports.push(report);
    }

    fn time_left(&self) -> Duration {
        let done = (self.steps - self.first_step).max(1) as f64;
        let left = (self.schedule.steps - self.steps) as f64;
        self.started.elapsed().mul_f64(left / done)
    }

    /// Writes what happened since the last row.
    fn log(&mut self) -> Result<()> {
        let reports = std::mem::take(&mut self.recent.reports);
        let drift = self.recent.drift.take();
        // Where the loss is scaled, that of a skipped step may be no number.
        let mean = |value: &dyn Fn(&StepReport) -> f64| {
            let values: Vec<f64> = reports.iter().map(value).filter(|v| v.is_finite()).collect();
            values.iter().sum::<f64>() / values.len() as f64
        };
        let (loss, patch_dice) = (mean(&|r| r.report.loss), mean(&|r| r.report.dice));
        // All steps have a branch, or none has.
        let has_branch = self.run.network.vae.is_some();
        let term = |n: usize| mean(&|r| r.branch.map_or(f64::NAN, |terms| terms[n]));
        if !progress::is_terminal() {
            let (steps, all) = (self.steps, self.schedule.steps);
            let left = progress::duration(self.time_left());
            let text = format!("step {steps}/{all}: loss {loss:.3}, patch Dice {patch_dice:.3}");
            progress::line(&self.bar, format!("{text}, {left} left"));
        }
        self.append(Values::Training {
            learning_rate: self.schedule.learning_rate(self.steps - 1),
            loss,
            cross_entropy: mean(&|r| r.report.cross_entropy),
            patch_dice,
            gradient_norm: reports.last().map_or(0.0, |r| r.gradient_norm),
            scaling: self.scaling(),
            drift,
            branch: has_branch.then(|| [term(0), term(1)]),
        })
    }

    fn append(&mut self, values: Values) -> Result<()> {
        let clock = Clock {
            elapsed_secs: self.before.elapsed_secs + self.started.elapsed().as_secs_f64(),
            waited_secs: self.before.waited_secs.map(|secs| secs + self.waited.as_secs_f64()),
        };
        let clock = (!self.run.config.deterministic).then_some(clock);
        let row = Row { steps: self.steps, values, clock };
        let regions: Vec<String> = self.run.task.regions.iter().map(|r| r.name.clone()).collect();
        self.events.row(&row, &regions)?;
        self.log.append(&row)
    }

    fn save(&mut self) -> Result<()> {
        self.log.sync()?;
        self.events.sync()?;
        let checkpoint = Checkpoint {
            steps: self.steps,
            validation_is_due: self.validation_is_due,
            validations: self.validations.clone(),
            weights: self.learner.network.weights(),
            average: self.learner.average.weights(),
            moments: self.learner.adam.state(),
            loss_scale: self.learner.loss_scale,
        };
        checkpoint.save(self.out)?;
        self.saved = self.steps;
        Ok(())
    }
}
