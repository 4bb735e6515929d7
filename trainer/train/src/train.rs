//! Training: from a data set to checkpoints and the bundle of the best validation.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, ensure};
use burn::tensor::Device;
use model_core::{DEFAULT_TOLERANCE_VOXELS, UNetConfig};

use crate::checkpoint::{Checkpoint, best, needed_bytes, remove_leftovers};
use crate::device::{self, DeviceId};
use crate::parallel::{Processes, RANKS, Ranks, Worker};
use crate::schedule::Schedule;
use trainer_data::cases::Cases;
use trainer_data::data_set::{DataSet, Patients};
use trainer_data::patches::BatchShard;
use trainer_data::split::split_by_patient;
use trainer_run::config::TrainConfig;
use trainer_run::files::lock::{FolderLock, LOCK};
use trainer_run::files::outputs::{self, Output};
use trainer_run::reporter::Terminal;
use trainer_run::run_folder::{Run, SETTINGS};
use trainer_run::{files, progress, run_folder};

mod finish;
mod introduction;
mod run_log;
mod setup;
mod state;
mod trainer;
mod validation;

use finish::remove_results;
pub use finish::{FinishedRun, MeasuredCase, OnFinish};
pub use setup::Outcome;
use setup::{TrainSetup, TrainingData};
use trainer::Trainer;

/// The data set of a training, and the run's folder.
#[derive(Debug, Clone, Copy)]
pub struct TrainJob<'a> {
    /// The data set.
    pub data: &'a Path,
    /// The run's folder.
    pub out: &'a Path,
    /// The task by name, for data sets without one.
    pub task: Option<&'a str>,
    /// Whether cases that cannot be used are left out.
    pub skip_bad: bool,
    /// The largest distance between the grids of a case's files, in voxels.
    pub tolerance_voxels: f64,
    /// Whether a run continues with changed settings.
    pub accept_changes: bool,
    /// Called at the end of the training, on the main rank.
    pub on_finish: Option<OnFinish>,
}

impl<'a> TrainJob<'a> {
    /// A job on a data set that states its task and has no unusable case.
    pub fn new(data: &'a Path, out: &'a Path) -> TrainJob<'a> {
        TrainJob {
            data,
            out,
            task: None,
            skip_bad: false,
            tolerance_voxels: DEFAULT_TOLERANCE_VOXELS,
            accept_changes: false,
            on_finish: None,
        }
    }
}

impl TrainJob<'_> {
    fn open_data_set(&self) -> Result<DataSet> {
        let (task, tolerance_voxels) = (self.task, self.tolerance_voxels);
        let terminal = Terminal::default();
        DataSet::open_for_training(self.data, task, self.skip_bad, tolerance_voxels, &terminal)
    }
}

/// Trains a network, or resumes the run in the job's folder, until the last step, until the
/// validations no longer improve, or until `stop` is set.
///
/// # Errors
/// Errors for a data set, settings or a checkpoint that cannot be used, a loss that is no longer
/// finite, and a full disk. The last checkpoint is kept.
pub fn train(
    job: TrainJob,
    config: &TrainConfig,
    device: &Device,
    stop: &AtomicBool,
) -> Result<Outcome> {
    train_on(job, config, &Ranks::one(device), stop)
}

/// Trains as [`train`] does, on several devices.
///
/// The patches of a step are the same on any number of devices, and its gradient differs only by the
/// rounding of sums. A run may be resumed with another number of devices.
///
/// # Errors
/// As [`train`], with the rank that failed first.
pub fn train_on(
    job: TrainJob,
    config: &TrainConfig,
    ranks: &Ranks,
    stop: &AtomicBool,
) -> Result<Outcome> {
    match ranks {
        Ranks::Threads(..) => lead(job, config, ranks, stop),
        Ranks::Processes(processes) => processes.run(|| match ranks.is_main_rank() {
            true => lead(job, config, ranks, stop),
            false => follow(job, config, ranks, processes, stop),
        }),
    }
}

/// Checks the settings, and that every device supports them.
fn check(config: &TrainConfig, ranks: &Ranks) -> Result<()> {
    config.check()?;
    for device in ranks.devices() {
        device::check_deterministic(config, device)?;
        device::check_precision(config, device)?;
    }
    Ok(())
}

/// Trains as the main rank, the only one that writes into the run's folder.
fn lead(job: TrainJob, config: &TrainConfig, ranks: &Ranks, stop: &AtomicBool) -> Result<Outcome> {
    check(config, ranks)?;
    let data_set = job.open_data_set()?;
    let network = config.network(&data_set.task)?;
    let patients = Patients::find(&data_set, config.group_by.as_deref())?;
    patients.notes().iter().for_each(|note| progress::say(format!("note: {note}")));
    let (training, held_out) = split_by_patient(config, &patients.by_case)?;
    let mut run = describe(config, job.task, &data_set, &network, (&training, &held_out));

    // Refuses what can be refused before hours of preprocessing.
    let out = job.out;
    let _lock = FolderLock::alone(out)?;
    let started = Run::find(out)?;
    run.patients = match &started {
        Some(started) => started.patients.clone(),
        None => Some(patients.with_several_cases),
    };
    let checkpoint = match &started {
        Some(started) => {
            run.check_same(started, out, job.accept_changes)?;
            remove_leftovers(out);
            Checkpoint::newest(out, &network)?
        }
        None => {
            // A kill while the run was being described leaves less than a run.
            files::new_folder(out, &[LOCK, SETTINGS, RANKS])?;
            outputs::check(Output::Settings, &out.join(SETTINGS))?;
            None
        }
    };
    let (done, best) =
        checkpoint.as_ref().map_or((0, None), |at| (at.steps, best(&at.validations)));
    let steps = Schedule::new(config, training.len()).steps;
    ensure!(
        done <= steps,
        "settings: expected steps of at least {done}, which the run in {} has done, found {steps}",
        out.display()
    );
    if done < steps {
        files::check_space(out, needed_bytes(out, &network), "the run's checkpoints")?;
    }
    let open = || Cases::open(data_set, config, &network, stop, Arc::new(Terminal::default()));
    let Some(cases) = ranks.open_cases(open)? else {
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
    let checkpoint = checkpoint.unwrap_or_else(|| Checkpoint::initial(&network, config.seed));
    ranks.check_alike(config, &cases, &checkpoint)?;
    if ranks.count() > 1 {
        let share = BatchShard::new(config.batch, config.accumulate, 0, ranks.count());
        let idle =
            if share.leaves_ranks_idle() { "; batch is too small to occupy all" } else { "" };
        progress::say(format!("{}{idle}", ranks.describe()));
    }
    let (task, main_device) = (run.task.clone(), ranks.devices()[0]);
    let measured = measured(&training, &held_out);
    let data = TrainingData { cases, training, measured };
    let first = |reducer| {
        let setup = TrainSetup {
            run,
            out,
            data: data.clone(),
            device: main_device.clone().without_autodiff(),
            workers: num_workers(config, ranks, main_device),
        };
        Trainer::new(setup, job.on_finish, checkpoint.clone(), reducer)?.run(stop)
    };
    let other = |reducer, device: &Device| {
        let worker = Worker {
            reducer,
            config,
            task: &task,
            network: &network,
            cases: &data.cases,
            training: &data.training,
            measured: &data.measured,
            device,
            workers: num_workers(config, ranks, device),
        };
        worker.run(checkpoint.clone(), stop).map(drop)
    };
    ranks.run(first, other)
}

/// Describes a run. The fingerprint of the data set's files is filled in later.
fn describe(
    config: &TrainConfig,
    task_name: Option<&str>,
    data_set: &DataSet,
    network: &UNetConfig,
    (training, held_out): (&[usize], &[usize]),
) -> Run {
    let names =
        |numbers: &[usize]| numbers.iter().map(|n| data_set.cases[*n].name.clone()).collect();
    Run {
        version: run_folder::VERSION,
        code_version: env!("CARGO_PKG_VERSION").into(),
        config: config.clone(),
        task: data_set.task.clone(),
        task_name: task_name.map(String::from),
        network: network.clone(),
        data: data_set.name.clone(),
        license: data_set.license.clone().unwrap_or_default(),
        data_fingerprint: String::new(),
        training: names(training),
        held_out: names(held_out),
        patients: Some(Vec::new()),
    }
}

/// Trains as another rank in a process of its own.
fn follow(
    job: TrainJob,
    config: &TrainConfig,
    ranks: &Ranks,
    processes: &Processes,
    stop: &AtomicBool,
) -> Result<Outcome> {
    check(config, ranks)?;
    let data_set = job.open_data_set()?;
    let network = config.network(&data_set.task)?;
    let task = data_set.task.clone();
    let patients = Patients::find(&data_set, config.group_by.as_deref())?;
    let (training, held_out) = split_by_patient(config, &patients.by_case)?;
    let open = || Cases::open(data_set, config, &network, stop, Arc::new(Terminal::default()));
    let Some(cases) = ranks.open_cases(open)? else {
        return Ok(Outcome { steps: 0, finished: false, best: None });
    };
    // The main rank writes no checkpoint before all ranks have compared theirs.
    let checkpoint = Checkpoint::newest(job.out, &network)?;
    let checkpoint = checkpoint.unwrap_or_else(|| Checkpoint::initial(&network, config.seed));
    ranks.check_alike(config, &cases, &checkpoint)?;
    let device = ranks.devices()[0];
    let worker = Worker {
        reducer: processes.reducer(),
        config,
        task: &task,
        network: &network,
        cases: &cases,
        training: &training,
        measured: &measured(&training, &held_out),
        device,
        workers: num_workers(config, ranks, device),
    };
    let (steps, finished) = worker.run(checkpoint, stop)?;
    Ok(Outcome { steps, finished, best: None })
}

/// Returns the numbers of the cases that validations measure: the held-out cases, or the training
/// cases if no case is held out.
fn measured(training: &[usize], held_out: &[usize]) -> Vec<usize> {
    if held_out.is_empty() { training.to_vec() } else { held_out.to_vec() }
}

/// Returns the number of threads that prepare a rank's patches. The ranks of a process share the
/// threads that a single device would have.
fn num_workers(config: &TrainConfig, ranks: &Ranks, device: &Device) -> usize {
    let trains_on_cpu = DeviceId::of(device).is_cpu();
    let all = trainer_data::patches::num_workers(config.workers, trains_on_cpu);
    all.div_ceil(ranks.devices().len())
}
