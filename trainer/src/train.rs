//! Training: from a data set to checkpoints, the bundle of the best validation and a report.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, ensure};
use burn::tensor::Device;

use crate::cases::Cases;
use crate::checkpoint::{Best, Checkpoint, best, remove_leftovers};
use crate::config::TrainConfig;
use crate::data_set::DataSet;
use crate::run_folder::{RUN, Run, SETTINGS};
use crate::schedule::Schedule;
use crate::{device, files};

mod finish;
mod trainer;

use finish::remove_results;
use trainer::Trainer;

/// What is trained on, and where the run's folder is.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// The data set.
    pub data: &'a Path,
    /// The run's folder.
    pub out: &'a Path,
    /// The task by name, for data sets that do not say it.
    pub task: Option<&'a str>,
    /// Whether cases that cannot be used are left out.
    pub skip_bad: bool,
    /// Whether a run goes on with settings that it was not started with.
    pub accept_changes: bool,
}

impl<'a> Job<'a> {
    /// A data set that says its task, all of whose cases can be used.
    pub fn new(data: &'a Path, out: &'a Path) -> Job<'a> {
        Job { data, out, task: None, skip_bad: false, accept_changes: false }
    }
}

/// How a training went.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Steps done in all.
    pub steps: usize,
    /// Whether it is at its end; else it was stopped and can be resumed.
    pub finished: bool,
    /// The best validation.
    pub best: Option<Best>,
}

/// Trains, or goes on with the run in the job's folder, until the last step, until the validations
/// no longer rise, or until `stop` is set.
///
/// # Errors
/// A data set, settings or a checkpoint that cannot be used; a loss that is no longer finite; a
/// full disk. The last checkpoint is kept.
pub fn train(
    job: Job,
    config: &TrainConfig,
    device: &Device,
    stop: &AtomicBool,
) -> Result<Outcome> {
    config.check()?;
    device::check_deterministic(config, device)?;
    device::check_precision(config, device)?;
    let data_set = DataSet::open_for_training(job.data, job.task, job.skip_bad)?;
    let network = config.network(&data_set.task)?;
    let (training, held_out) = config.split(data_set.num_cases())?;
    let split = (&training[..], &held_out[..]);
    let mut run = Run::new(config, job.task, &data_set, &network, split);

    // What can be refused is refused before hours of preprocessing.
    let out = job.out;
    let started = Run::find(out)?;
    let checkpoint = match &started {
        Some(started) => {
            run.check_same(started, out, job.accept_changes)?;
            remove_leftovers(out);
            Checkpoint::newest(out, &network)?
        }
        // A kill while the run was being described leaves less than a run.
        None => files::new_folder(out, &[RUN, SETTINGS]).map(|()| None)?,
    };
    let (done, best) =
        checkpoint.as_ref().map_or((0, None), |at| (at.steps, best(&at.validations)));
    let steps = Schedule::new(config, training.len()).steps;
    ensure!(
        done <= steps,
        "settings: expected steps of at least {done}, which the run in {} has done, found {steps}",
        out.display()
    );
    let Some(cases) = Cases::open(data_set, config, &network, stop)? else {
        return Ok(Outcome { steps: done, finished: false, best });
    };
    run.data_fingerprint = cases.fingerprint.clone();
    if let Some(started) = &started {
        run.check_same(started, out, job.accept_changes)?;
    }
    if started.is_none_or(|started| started != run) {
        remove_results(out)?;
        run.save(out)?;
    }
    let trainer = Trainer::new(run, cases, training, held_out, device, checkpoint, out)?;
    trainer.run(stop)
}
