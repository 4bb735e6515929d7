//! `rewind train`: options, settings and output.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use model_core::Foreground;
use model_core::network::config::PRESETS;

use super::geometry::GeometryArgs;
use crate::final_report;
use trainer_run::config::{Float, RECIPES, Sources, StepsOrEpochs, TrainConfig, printed};
use trainer_run::files::lock::FolderLock;
use trainer_run::metrics_log::History;
use trainer_run::run_folder::{self, Run};
use trainer_run::stop::Stop;
use trainer_run::{DISCLAIMER, cross_validation, pipes, progress};
use trainer_train::parallel::Ranks;
use trainer_train::train::{TrainJob, train_on};

/// Train a network, or resume a run.
///
/// Holds out a fixed part of the cases and validates on them during training. After an interruption
/// at any moment, the same command resumes from the last checkpoint and reaches the same numbers.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TrainArgs {
    /// The data set: a folder in the layout of the Decathlon, nnU-Net, BraTS or iSeg, or a CSV of
    /// paths; `rewind inspect` describes it.
    #[arg(long, required_unless_present = "print_config")]
    data: Option<PathBuf>,
    /// The run folder. If it contains a run, that run is resumed.
    #[arg(long, required_unless_present = "print_config")]
    out: Option<PathBuf>,
    /// The meaning of the labels, if the data set does not state it: brats2018 to brats2024,
    /// iseg2019, or a file with a task.
    #[arg(long)]
    task: Option<String>,
    /// Ignore cases with faults.
    #[arg(long)]
    skip_bad: bool,
    #[command(flatten)]
    geometry: GeometryArgs,
    /// Resume a run with changed settings. The network and the split cannot change.
    #[arg(long)]
    accept_changes: bool,
    /// Print all settings with their descriptions, and exit.
    #[arg(long)]
    print_config: bool,
    /// cpu, wgpu, wgpu:N, cuda or cuda:N; by default the best available device.
    #[arg(long)]
    device: Option<String>,
    /// Several devices that share the patches of each step: CUDA numbers such as 0,1,2,3, or names
    /// such as cuda:0,cuda:2. The result is that of one device, and a run can be resumed on other
    /// devices. For a trial without GPUs: cpu,cpu.
    #[arg(long, value_name = "LIST", conflicts_with = "device")]
    devices: Option<String>,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// The options for settings.
#[derive(Args)]
#[command(next_help_heading = "Settings (they override --config, which overrides --recipe)")]
struct SettingsArgs {
    /// The settings to start from: modern (the defaults) or those of a paper.
    #[arg(long, value_parser = RECIPES.map(|(name, _)| name))]
    recipe: Option<String>,
    /// A file of settings (TOML). It can be given more than once; a later file overrides an earlier
    /// one.
    #[arg(long)]
    config: Vec<PathBuf>,
    /// Any setting by its name in the file, such as augment.noise=0.1; can be given more than once.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// A network by name; change it with --set network.blocks=2.
    #[arg(long, value_parser = PRESETS)]
    preset: Option<String>,
    /// The precision of the layers in training; weights, norms and losses are f32.
    #[arg(long)]
    precision: Option<Float>,
    /// The type of the streams of reversible blocks: f32, or the same as --precision.
    #[arg(long)]
    stream: Option<Float>,
    /// The length of the training: optimizer steps, or "250 epochs".
    #[arg(long)]
    steps: Option<StepsOrEpochs>,
    /// The seed of the split, the initial weights and all random numbers.
    #[arg(long)]
    seed: Option<u64>,
    /// Patches per step.
    #[arg(long)]
    batch: Option<usize>,
    /// The size of the patches: one number, or three along right, front, top.
    #[arg(long, value_delimiter = ',', num_args = 1..=3)]
    patch: Option<Vec<usize>>,
    /// The highest learning rate.
    #[arg(long)]
    lr: Option<f64>,
    /// The held-out cases: a fraction below 1, or a number.
    #[arg(long)]
    held_out: Option<f64>,
    /// The number of folds of a cross-validation. Without --fold, all folds are trained one after
    /// the other, in OUT/fold-0, OUT/fold-1, …
    #[arg(long)]
    folds: Option<usize>,
    /// The fold that is held out, from 0.
    #[arg(long)]
    fold: Option<usize>,
    /// A regular expression whose first group, or match, is the patient in a case's name; `case` if
    /// each case is a patient. By default the column `patient` of a CSV, or the naming schemes of
    /// common data sets. All cases of a patient are on the same side of a split.
    #[arg(long, value_name = "REGEX")]
    group_by: Option<String>,
    /// Steps or epochs between validations.
    #[arg(long)]
    validate_every: Option<StepsOrEpochs>,
    /// The voxels for the normalization of intensities: whole, nonzero (skull-stripped scans; also
    /// crops to these voxels), each_nonzero (the same, each channel by its own voxels) or otsu.
    #[arg(long, value_parser = ["whole", "nonzero", "each_nonzero", "otsu"])]
    foreground: Option<String>,
    /// Write the same bytes in every run; only on the CPU.
    #[arg(long)]
    deterministic: bool,
}

const EXAMPLES: &str = "\
Examples:
  rewind inspect Task04_Hippocampus                     # before training
  rewind train --data Task04_Hippocampus --preset demo --out run
  rewind train --data Task04_Hippocampus --out run      # resumes the run
  rewind train --data BraTS2023 --task brats2023 --preset mbconv-slim --foreground nonzero \\
    --patch 96 --out run
  rewind train --data BraTS2018 --task brats2018 --recipe brugger --out run
  rewind train --data Task04_Hippocampus --preset demo --folds 5 --out runs
  rewind train --data cases.csv --task task.toml --group-by '^(p[0-9]+)_' --out run
  rewind train --data Task04_Hippocampus --preset demo --precision bf16 --out run
  rewind train --data BraTS2023 --task brats2023 --preset mbconv-base --devices 0,1,2,3 --out run
  rewind train --recipe pendse --print-config > train.toml
  rewind train --data Task04_Hippocampus --config train.toml --set augment.noise=0.1 --out run

Recipes: modern (AdamW, warm-up, polynomial decay, gradient clipping, weight averaging); pendse, brugger
and invres are those of the papers, whose whole volumes need a GPU.

Files in the run folder:
  run.json, train.toml                   the run and its settings
  metrics.csv, events.out.tfevents.*     the history, the latter for TensorBoard
  last.safetensors                       the checkpoint to resume from
  best.safetensors                       the bundle of the best validation
  report.html, held_out.json             the report and the scores of the held-out cases, at the end

Ctrl-C, SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 stop a training at a checkpoint. The held-out cases also
choose the best weights, so their Dice is slightly higher than the Dice of new cases.

Research use only, not a medical device";

/// Trains, and prints the next commands.
///
/// # Errors
/// If the training fails, see [`train_on`].
pub(super) fn run(args: TrainArgs) -> Result<()> {
    let out = args.out.as_deref();
    let started = match out {
        Some(out) => Run::find(out)?,
        None => None,
    };
    let config = args.settings.resolve(started.as_ref())?;
    if args.print_config {
        print!("{}", printed(&config));
        return Ok(());
    }
    // A training continues without a reader of its output, because its results are in its folder.
    pipes::outlive_reader();
    let (data, out) = (args.data.as_deref().expect("required"), out.expect("required"));
    // A resumed run has stored its task.
    let task = args.task.clone().or(started.and_then(|run| run.task_name));
    let job = TrainJob {
        task: task.as_deref(),
        skip_bad: args.skip_bad,
        tolerance_voxels: args.geometry.geometry_tolerance,
        accept_changes: args.accept_changes,
        on_finish: Some(final_report::write),
        ..TrainJob::new(data, out)
    };
    let ranks = Ranks::named(args.device.as_deref(), args.devices.as_deref(), out)?;
    let stop = Stop::listen(|code| std::process::exit(code))?;
    let is_finished = match config.folds > 0 && config.fold.is_none() {
        false => train_one(job, &config, &ranks, &stop)?,
        true => train_folds(job, &config, &ranks, &stop)?,
    };
    // Other processes are told of the end.
    drop(ranks);
    if !is_finished {
        std::process::exit(stop.exit_code());
    }
    Ok(())
}

/// Trains all folds one after the other. Returns whether all are finished.
fn train_folds(job: TrainJob, config: &TrainConfig, ranks: &Ranks, stop: &Stop) -> Result<bool> {
    // Locks the parent folder. The training of each fold locks its own folder.
    let _lock = match ranks.is_main_rank() {
        true => Some(FolderLock::alone(job.out)?),
        false => None,
    };
    for fold in 0..config.folds {
        progress::say(format!("fold {fold} of {}", config.folds));
        let config = TrainConfig { fold: Some(fold), ..config.clone() };
        let out = cross_validation::folder(job.out, fold);
        if !train_one(TrainJob { out: &out, ..job }, &config, ranks, stop)? {
            return Ok(false);
        }
    }
    if ranks.is_main_rank() {
        let summary = cross_validation::summary(job.out, config.folds)?;
        progress::result(format!("{summary}\n{DISCLAIMER}"));
    }
    Ok(true)
}

/// Trains one run and prints its result. Returns whether it is finished.
fn train_one(job: TrainJob, config: &TrainConfig, ranks: &Ranks, stop: &Stop) -> Result<bool> {
    let outcome = train_on(job, config, ranks, stop.flag())?;
    let (data, out) = (job.data.display(), job.out.display());
    if !ranks.is_main_rank() && outcome.finished {
        return Ok(true);
    }
    if !outcome.finished {
        progress::result(format!(
            "stopped after step {}; the same command resumes the run",
            outcome.steps
        ));
        return Ok(false);
    }
    let bundle = run_folder::read_bundle(job.out)?;
    let split = match bundle.card.provenance.held_out.is_empty() {
        true => "",
        false => " --split held-out",
    };
    let elapsed = History::read(job.out)?.total_secs();
    let elapsed = elapsed.and_then(|secs| Duration::try_from_secs_f64(secs).ok());
    progress::result(format!(
        "{} steps{}; best validation after step {}\n{}\n\
         next: open {out}/report.html\n\
         or:   rewind predict --model {out} --data {data}{split} --out predictions\n\
         or:   rewind export --run {out} --out model.safetensors\n{DISCLAIMER}",
        outcome.steps,
        elapsed.map_or(String::new(), |elapsed| format!(" in {}", progress::duration(elapsed))),
        bundle.card.provenance.steps,
        trainer_export::bundle::describe(&bundle),
    ));
    Ok(true)
}

impl SettingsArgs {
    /// Returns the settings of --recipe, --config and the options. Without --recipe and --config,
    /// the settings of an existing run are the base.
    fn resolve(&self, started: Option<&Run>) -> Result<TrainConfig> {
        let base = started.filter(|_| self.recipe.is_none() && self.config.is_empty());
        let base = base.map(|run| &run.config);
        // The preset comes first, because --set can change its network.
        let preset = self.preset.iter().map(|preset| format!("preset={preset}"));
        let single: Vec<String> = preset.chain(self.set.iter().cloned()).collect();
        let sources =
            Sources { recipe: self.recipe.as_deref(), base, files: &self.config, single: &single };
        let mut config = sources.settings()?;
        config.precision = self.precision.unwrap_or(config.precision);
        config.stream = self.stream.or(config.stream);
        config.steps = self.steps.unwrap_or(config.steps);
        config.seed = self.seed.unwrap_or(config.seed);
        config.batch = self.batch.unwrap_or(config.batch);
        config.learning_rate = self.lr.unwrap_or(config.learning_rate);
        config.held_out = self.held_out.unwrap_or(config.held_out);
        config.folds = self.folds.unwrap_or(config.folds);
        config.fold = self.fold.or(config.fold);
        let stored = || started.filter(|run| run.patients.is_none())?.config.group_by.clone();
        config.group_by = self.group_by.clone().or(config.group_by).or_else(stored);
        config.validate_every = self.validate_every.unwrap_or(config.validate_every);
        config.deterministic |= self.deterministic;
        if let Some(patch) = &self.patch {
            ensure!(patch.len() != 2, "--patch: expected one number or three, found two");
            config.patch = std::array::from_fn(|axis| patch[axis % patch.len()]);
        }
        if let Some(foreground) = &self.foreground {
            config.preprocess.foreground = match foreground.as_str() {
                "nonzero" => Foreground::Nonzero,
                "each_nonzero" => Foreground::EachNonzero,
                "otsu" => Foreground::Otsu,
                _ => Foreground::Whole,
            };
            config.preprocess.crop = config.preprocess.foreground.is_nonzero();
        }
        Ok(config)
    }
}
