//! Training: from a data set to checkpoints and the bundle of the best validation.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use burn::tensor::Device;
use indicatif::ProgressBar;
use model_core::config::{Parameter, parameters};
use model_core::{Bundle, Card, Provenance, Score, UNetConfig};

use crate::cases::Cases;
use crate::checkpoint::{Best, Checkpoint, remove_leftovers};
use crate::config::TrainConfig;
use crate::data_set::DataSet;
use crate::loss::Loss;
use crate::metrics_log::{MetricsLog, Row, Values};
use crate::patches::batches;
use crate::run_folder::{BEST, RUN, Run, SETTINGS};
use crate::schedule::learning_rate;
use crate::step::{Learner, StepReport};
use crate::validate::validate;
use crate::{device, files, progress};

/// How a training went.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Steps done in all.
    pub steps: usize,
    /// Whether these are all; else it was stopped and can be resumed.
    pub finished: bool,
    /// The best validation.
    pub best: Option<Best>,
}

/// Trains, or goes on with the run in `out`, until the last step or until `stop` is set.
///
/// # Errors
/// A data set, settings or a checkpoint that cannot be used; a loss that is no longer finite.
pub fn train(
    data: &Path,
    out: &Path,
    config: &TrainConfig,
    device: &Device,
    stop: &AtomicBool,
) -> Result<Outcome> {
    config.check()?;
    let data_set = DataSet::open_for_training(data, None, false)?;
    let network = config.network(&data_set.task)?;
    let (training, held_out) = data_set.split(config.seed, config.held_out)?;
    let cache_bytes = (config.memory_gib * (1u64 << 30) as f64) as u64;
    let cases = Cases::read_all(data_set.clone(), &config.preprocess, &network, cache_bytes)?;
    let split = (&training[..], &held_out[..]);
    let run = Run::new(config, &data_set, &cases, &network, split);

    let started = Run::find(out)?;
    if let Some(started) = &started {
        run.check_same(started, out)?;
        remove_leftovers(out);
    }
    let checkpoint = match started {
        Some(_) => Checkpoint::newest(out, &network)?,
        None => {
            // A kill while the run was being described leaves less than a run.
            files::new_folder(out, &[RUN, SETTINGS])?;
            run.save(out)?;
            None
        }
    };
    let trainer = Trainer::new(run, cases, training, held_out, device, checkpoint, out)?;
    trainer.run(stop)
}

struct Trainer<'a> {
    run: Run,
    cases: Cases,
    training: Vec<usize>,
    /// The cases that are measured: those held out, or where none are, the training cases.
    measured: Vec<usize>,
    device: Device,
    out: &'a Path,
    learner: Learner,
    steps: usize,
    validation_is_due: bool,
    best: Option<Best>,
    log: MetricsLog,
    recent: Recent,
    bar: ProgressBar,
    started: Instant,
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
}

impl<'a> Trainer<'a> {
    fn new(
        run: Run,
        cases: Cases,
        training: Vec<usize>,
        held_out: Vec<usize>,
        device: &Device,
        checkpoint: Option<Checkpoint>,
        out: &'a Path,
    ) -> Result<Trainer<'a>> {
        let checkpoint =
            checkpoint.unwrap_or_else(|| Checkpoint::initial(&run.network, run.config.seed));
        let Checkpoint { steps, validation_is_due, best, .. } = checkpoint;
        let loss = Loss::new(&run.task, run.config.loss);
        let regions: Vec<String> = run.task.regions.iter().map(|r| r.name.clone()).collect();
        Ok(Trainer {
            learner: Learner::new(&run.network, loss, checkpoint, device)?,
            log: MetricsLog::open(out, &regions, steps, validation_is_due)?,
            measured: if held_out.is_empty() { training.clone() } else { held_out },
            bar: progress::bar("training", run.config.steps as u64),
            device: device.clone().without_autodiff(),
            best,
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

    fn run(mut self, stop: &AtomicBool) -> Result<Outcome> {
        let config = self.run.config.clone();
        self.introduce();
        let batches = batches(&config, &self.cases, &self.training, self.steps);
        if self.validation_is_due {
            self.validate(stop)?;
        }
        while self.steps < config.steps && !stop.load(Ordering::Relaxed) {
            let batch =
                batches.recv().context("the thread that prepares patches has stopped")??;
            let step = batch.step;
            let report = self.learner.step(&config, batch)?;
            self.steps = step + 1;
            self.show(report);
            let is_last = self.steps == config.steps;
            let is_due = |every: usize| self.steps.is_multiple_of(every) || is_last;
            let validation = is_due(config.validate_every);
            let checkpoint = validation || is_due(config.checkpoint_every);
            if checkpoint || is_due(config.log_every) {
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
        let finished = self.steps == config.steps && !self.validation_is_due;
        if !finished && !self.recent.reports.is_empty() {
            self.log()?;
        }
        if self.steps > self.saved {
            self.save()?;
        }
        self.bar.finish_and_clear();
        Ok(Outcome { steps: self.steps, finished, best: self.best })
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
        let count = self.cases.num_kept();
        progress::line(
            &self.bar,
            format!(
                "{}: {} training cases, {} held out; {count} kept in memory\n\
                 network of {exported} parameters{of_branch}, widths {:?}, on {}\n\
                 {} steps of {} patches of {:?} voxels{}",
                self.run.data,
                self.run.training.len(),
                self.run.held_out.len(),
                network.widths,
                device::describe(&self.device),
                config.steps,
                config.batch,
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
        let best =
            self.best.map_or(String::new(), |best| format!(", held-out Dice {:.3}", best.dice));
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
        let left = (self.run.config.steps - self.steps) as f64;
        self.started.elapsed().mul_f64(left / done)
    }

    /// Writes what happened since the last row.
    fn log(&mut self) -> Result<()> {
        let reports = std::mem::take(&mut self.recent.reports);
        let mean = |value: &dyn Fn(&StepReport) -> f64| {
            reports.iter().map(value).sum::<f64>() / reports.len() as f64
        };
        let (loss, patch_dice) = (mean(&|r| r.report.loss), mean(&|r| r.report.dice));
        // All steps have a branch, or none has.
        let has_branch = self.run.network.vae.is_some();
        let term = |n: usize| mean(&|r| r.branch.map_or(f64::NAN, |terms| terms[n]));
        if !progress::is_terminal() {
            let (steps, all) = (self.steps, self.run.config.steps);
            let left = progress::duration(self.time_left());
            let text = format!("step {steps}/{all}: loss {loss:.3}, patch Dice {patch_dice:.3}");
            progress::line(&self.bar, format!("{text}, {left} left"));
        }
        self.append(Values::Training {
            learning_rate: learning_rate(&self.run.config, self.steps - 1),
            loss,
            cross_entropy: mean(&|r| r.report.cross_entropy),
            patch_dice,
            gradient_norm: reports.last().map_or(0.0, |r| r.gradient_norm),
            branch: has_branch.then(|| [term(0), term(1)]),
        })
    }

    fn append(&mut self, values: Values) -> Result<()> {
        let elapsed_secs = self.started.elapsed().as_secs_f64();
        self.log.append(&Row { steps: self.steps, values, elapsed_secs })
    }

    /// Measures the averaged weights, keeps them if they are the best, and writes a checkpoint.
    fn validate(&mut self, stop: &AtomicBool) -> Result<()> {
        let count = self.measured.len();
        let bar = self.bar.clone();
        let validation = validate(
            &self.learner.average,
            &self.run.task,
            &self.cases,
            &self.measured,
            &self.device,
            stop,
            |done| bar.set_message(format!("measuring case {} of {count}", done + 1)),
        )?;
        // Stopped on the way: the checkpoint says that this validation is still due.
        let Some(validation) = validation else { return Ok(()) };
        let dice = validation.mean();
        let is_best = self.best.is_none_or(|best| dice > best.dice);
        if is_best {
            self.best = Some(Best { steps: self.steps, dice });
            let scores = match self.run.held_out.is_empty() {
                true => Vec::new(),
                false => validation.scores(&self.run.task),
            };
            self.save_best(scores)?;
        }
        let regions = self.run.task.regions.iter().zip(validation.means());
        let regions: Vec<String> =
            regions.map(|(region, dice)| format!("{} {dice:.4}", region.name)).collect();
        let whose = if self.run.held_out.is_empty() { "training" } else { "held-out" };
        progress::line(
            &self.bar,
            format!(
                "step {}: Dice {dice:.4} on {count} {whose} cases ({}){}",
                self.steps,
                regions.join(", "),
                if is_best { ", the best so far" } else { "" }
            ),
        );
        self.append(Values::Validation(validation.means()))?;
        self.validation_is_due = false;
        self.save()
    }

    fn save_best(&self, held_out: Vec<Score>) -> Result<()> {
        let run = &self.run;
        let card = Card {
            name: run.data.clone(),
            warning: String::new(),
            task: run.task.clone(),
            network: run.network.for_inference(),
            preprocess: run.config.preprocess.clone(),
            provenance: Provenance {
                code_version: run.code_version.clone(),
                data: run.data.clone(),
                licence: run.licence.clone(),
                data_fingerprint: run.data_fingerprint.clone(),
                training_cases: run.training.len(),
                steps: self.steps,
                held_out,
            },
        };
        let bundle = Bundle { card, weights: self.learner.average.weights() };
        files::write(&self.out.join(BEST), &bundle.to_bytes()?)
    }

    fn save(&mut self) -> Result<()> {
        self.log.sync()?;
        let checkpoint = Checkpoint {
            steps: self.steps,
            validation_is_due: self.validation_is_due,
            best: self.best,
            weights: self.learner.network.weights(),
            average: self.learner.average.weights(),
            moments: self.learner.adam.state(),
        };
        checkpoint.save(self.out)?;
        self.saved = self.steps;
        Ok(())
    }
}
