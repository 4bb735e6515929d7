//! Training: from a data set to checkpoints and the bundle of the best validation.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use burn::optim::GradientsParams;
use burn::tensor::Device;
use indicatif::ProgressBar;
use model_core::nets::UNet3d;
use model_core::{Bundle, Card, Provenance, Score};

use crate::adam::{Adam, StepSettings, average_towards, numbers};
use crate::checkpoint::{Best, Checkpoint, remove_leftovers};
use crate::config::TrainConfig;
use crate::data_set::{Cases, DataSet};
use crate::initial::initial_weights;
use crate::loss::{Loss, Report};
use crate::metrics_log::{MetricsLog, Row, Values};
use crate::patches::{Batch, batches};
use crate::run_folder::{BEST, RUN, Run, SETTINGS};
use crate::schedule::learning_rate;
use crate::validate::validate;
use crate::{device, files, model, progress};

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
    let data_set = DataSet::open(data)?;
    let network = config.network(data_set.task())?;
    let (training, held_out) = data_set.split(config.seed, config.held_out)?;
    let cache_bytes = (config.cache_gib * (1u64 << 30) as f64) as u64;
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
    network: UNet3d,
    average: UNet3d,
    adam: Adam,
    loss: Loss,
    steps: usize,
    validation_is_due: bool,
    best: Option<Best>,
    log: MetricsLog,
    recent: Recent,
    bar: ProgressBar,
    started: Instant,
    first_step: usize,
}

/// What happened since the last row of the log.
#[derive(Default)]
struct Recent {
    reports: Vec<Report>,
    gradient_norm: f64,
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
        let tracked = device.clone().autodiff();
        let plain = device.clone().without_autodiff();
        let checkpoint = match checkpoint {
            Some(checkpoint) => checkpoint,
            None => {
                let weights = initial_weights(&run.network, run.config.seed);
                let (average, moments) = (weights.clone(), Default::default());
                Checkpoint {
                    steps: 0,
                    validation_is_due: false,
                    best: None,
                    weights,
                    average,
                    moments,
                }
            }
        };
        let (steps, validation_is_due) = (checkpoint.steps, checkpoint.validation_is_due);
        let regions: Vec<String> = run.task.regions.iter().map(|r| r.name.clone()).collect();
        Ok(Trainer {
            network: model::build(&run.network, &checkpoint.weights, &tracked)?,
            average: model::build(&run.network, &checkpoint.average, &plain)?,
            adam: Adam::resumed(steps, checkpoint.moments, &plain)?,
            loss: Loss::new(&run.task, run.config.loss),
            log: MetricsLog::open(out, &regions, steps, validation_is_due)?,
            measured: if held_out.is_empty() { training.clone() } else { held_out },
            bar: progress::bar("training", run.config.steps as u64),
            device: plain,
            best: checkpoint.best,
            recent: Recent::default(),
            started: Instant::now(),
            first_step: steps,
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
            self.step(batch)?;
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
            self.save()?;
        }
        self.bar.finish_and_clear();
        Ok(Outcome { steps: self.steps, finished, best: self.best })
    }

    fn introduce(&self) {
        let Run { network, config, .. } = &self.run;
        let num_parameters: usize = model_core::config::parameters(network)
            .iter()
            .map(|parameter| parameter.shape.iter().product::<usize>())
            .sum();
        let count = self.cases.num_kept();
        progress::line(
            &self.bar,
            format!(
                "{}: {} training cases, {} held out; {count} kept in memory\n\
                 network of {num_parameters} parameters, widths {:?}, on {}\n\
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

    /// One optimizer step.
    fn step(&mut self, batch: Batch) -> Result<()> {
        let config = &self.run.config;
        let rate = learning_rate(config, batch.step);
        let tracked = self.device.clone().autodiff();
        let channels = self.run.network.in_channels;
        let x = model::tensor(batch.values, channels, config.patch, &tracked);
        let logits = self.network.forward(x);
        let values = numbers(logits.clone().inner());
        let (report, gradient) = self.loss.of(&values, &batch.labels, batch.cases.len());
        if !report.loss.is_finite() {
            bail!(
                "the loss is no longer a finite number, at step {} on patches of {}: look at these \
                 scans, or try a lower learning_rate; the last checkpoint is kept",
                batch.step + 1,
                batch.cases.join(", ")
            );
        }
        let outputs = self.run.network.out_channels;
        let gradient = model::tensor(gradient, outputs, config.patch, &tracked);
        // The derivative of this sum by the logits is `gradient`.
        let gradients = (logits * gradient).sum().backward();
        let gradients = GradientsParams::from_grads(gradients, &self.network);
        let settings = StepSettings {
            learning_rate: rate,
            weight_decay: config.weight_decay,
            clip_norm: config.clip_norm,
        };
        let network = self.network.clone();
        (self.network, self.recent.gradient_norm) = self.adam.step(settings, network, gradients);
        self.steps = batch.step + 1;
        // Early on the average follows faster, so that it forgets the random start.
        let early = (1 + self.steps) as f64 / (10 + self.steps) as f64;
        let factor = if config.average > 0.0 { config.average.min(early) } else { 0.0 };
        self.average = average_towards(self.average.clone(), &self.network, factor);
        self.show(report);
        Ok(())
    }

    /// Moves the bar.
    fn show(&mut self, report: Report) {
        self.recent.dice.push_back(report.dice);
        if self.recent.dice.len() > 50 {
            self.recent.dice.pop_front();
        }
        let dice = self.recent.dice.iter().sum::<f64>() / self.recent.dice.len() as f64;
        let best =
            self.best.map_or(String::new(), |best| format!(", held-out Dice {:.3}", best.dice));
        self.bar.set_message(format!(
            "loss {:.3}, patch Dice {dice:.3}{best}, {} left",
            report.loss,
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
        let mean = |value: fn(&Report) -> f64| {
            reports.iter().map(value).sum::<f64>() / reports.len() as f64
        };
        let (loss, patch_dice) = (mean(|report| report.loss), mean(|report| report.dice));
        if !progress::is_terminal() {
            let (steps, all) = (self.steps, self.run.config.steps);
            let left = progress::duration(self.time_left());
            let text = format!("step {steps}/{all}: loss {loss:.3}, patch Dice {patch_dice:.3}");
            progress::line(&self.bar, format!("{text}, {left} left"));
        }
        self.append(Values::Training {
            learning_rate: learning_rate(&self.run.config, self.steps - 1),
            loss,
            cross_entropy: mean(|report| report.cross_entropy),
            patch_dice,
            gradient_norm: self.recent.gradient_norm,
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
            &self.average,
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
            network: run.network.clone(),
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
        let bundle = Bundle { card, weights: self.average.weights() };
        files::write(&self.out.join(BEST), &bundle.to_bytes()?)
    }

    fn save(&mut self) -> Result<()> {
        self.log.sync()?;
        let checkpoint = Checkpoint {
            steps: self.steps,
            validation_is_due: self.validation_is_due,
            best: self.best,
            weights: self.network.weights(),
            average: self.average.weights(),
            moments: self.adam.state(),
        };
        checkpoint.save(self.out)
    }
}
