//! `rewind train`: its options, and the settings that come of them.

use std::path::{Path, PathBuf};
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
/// A fixed part of the cases is held out and measured during training. Stopped or killed at any
/// moment, the same command goes on from the last checkpoint, to the same numbers.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TrainArgs {
    /// The data set: a folder in the form of the Decathlon, nnU-Net, BraTS or iSeg, or a CSV of
    /// paths; `rewind inspect` tells what it is.
    #[arg(long, required_unless_present = "print_config")]
    data: Option<PathBuf>,
    /// The run's folder. If it holds a run, that run is resumed exactly where it was.
    #[arg(long, required_unless_present = "print_config")]
    out: Option<PathBuf>,
    /// What the labels mean, where the data set does not say so itself: brats2018 to brats2024,
    /// iseg2019, or a file that describes a task.
    #[arg(long)]
    task: Option<String>,
    /// Goes on without the cases that cannot be used.
    #[arg(long)]
    skip_bad: bool,
    #[command(flatten)]
    geometry: GeometryArgs,
    /// Goes on with a run although its settings changed; its network and its split cannot.
    #[arg(long)]
    accept_changes: bool,
    /// Prints the settings in force, each with what it means, and ends.
    #[arg(long)]
    print_config: bool,
    /// cpu, wgpu, wgpu:N, cuda or cuda:N; by default the best that is compiled in and present. For
    /// one device; --devices names several.
    #[arg(long)]
    device: Option<String>,
    /// Several devices that share each step's patches: CUDA numbers such as 0,1,2,3, or names such
    /// as cuda:0,cuda:2. The result is that of one device, and a run may go on with others. cpu,cpu
    /// is for trying it out: two ranks on one CPU are no faster.
    #[arg(long, value_name = "LIST", conflicts_with = "device")]
    devices: Option<String>,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// The most used settings, and any other.
#[derive(Args)]
#[command(
    next_help_heading = "Settings (each goes before those of --config, that before --recipe)"
)]
struct SettingsArgs {
    /// Settings to start from: modern (the defaults) or those of a paper.
    #[arg(long, value_parser = RECIPES.map(|(name, _)| name))]
    recipe: Option<String>,
    /// A file of settings (TOML).
    #[arg(long)]
    config: Option<PathBuf>,
    /// Any setting by its name in the file, such as augment.noise=0.1; can be given again.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// A network by name; --set network.blocks=2 changes it.
    #[arg(long, value_parser = PRESETS)]
    preset: Option<String>,
    /// What the layers compute in while the network is trained; weights, norms and losses are f32.
    #[arg(long)]
    precision: Option<Float>,
    /// Type of the streams of reversible blocks: f32, or as the precision.
    #[arg(long)]
    stream: Option<Float>,
    /// How long to train: optimizer steps, or "250 epochs".
    #[arg(long)]
    steps: Option<StepsOrEpochs>,
    /// Decides the split, the initial weights and every random draw.
    #[arg(long)]
    seed: Option<u64>,
    /// Patches a step.
    #[arg(long)]
    batch: Option<usize>,
    /// Size of the patches: one number, or three along right, front, top.
    #[arg(long, value_delimiter = ',', num_args = 1..=3)]
    patch: Option<Vec<usize>>,
    /// The highest learning rate.
    #[arg(long)]
    lr: Option<f64>,
    /// The cases that are held out: a fraction, or from 1 on a number.
    #[arg(long)]
    held_out: Option<f64>,
    /// Parts for cross-validation; without --fold, all folds are trained one after the other, in
    /// OUT/fold-0, OUT/fold-1, …
    #[arg(long)]
    folds: Option<usize>,
    /// The part that is held out, counted from 0.
    #[arg(long)]
    fold: Option<usize>,
    /// Whose a case is: a regular expression whose first group, or else whose match, is the patient
    /// in a case's name; `case` for nobody's. By default by how the field names cases, or the
    /// column `patient` of a CSV. A patient's cases are never on both sides of a split.
    #[arg(long, value_name = "REGEX")]
    group_by: Option<String>,
    /// Steps or epochs between validations.
    #[arg(long)]
    validate_every: Option<StepsOrEpochs>,
    /// The voxels that intensities are normalized by: whole, nonzero (skull-stripped scans; also
    /// crops to them) or otsu.
    #[arg(long, value_parser = ["whole", "nonzero", "otsu"])]
    foreground: Option<String>,
    /// The same bytes twice; on the CPU only.
    #[arg(long)]
    deterministic: bool,
}

const EXAMPLES: &str = "\
Examples:
  rewind inspect Task04_Hippocampus                     # look before you train
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

Recipes: modern (AdamW, warm-up, polynomial decay, clipped gradients, averaged weights), pendse,
brugger, invres (those of the papers; whole volumes need a GPU).

In the run's folder: run.json and train.toml (what it is), metrics.csv and events.out.tfevents.*
(its history; the latter for TensorBoard), last.safetensors (to resume from), best.safetensors (the
bundle of the best validation), and at its end report.html and held_out.json (each held-out case).
Ctrl-C ends at a checkpoint, and so do SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2. The best validation is
chosen by the held-out cases, so their Dice is a little higher than that of new ones.

Research use only, not a medical device";

/// Trains, and says what to do next.
///
/// # Errors
/// As [`train_on`].
pub(super) fn run(args: TrainArgs) -> Result<()> {
    let out = args.out.as_deref();
    let started = match out {
        Some(out) => Run::find(out)?,
        None => None,
    };
    let config = args.settings.in_force(started.as_ref())?;
    if args.print_config {
        print!("{}", printed(&config));
        return Ok(());
    }
    // A training is watched for a while; what it finds is in its folder.
    pipes::outlive_reader();
    let (data, out) = (args.data.as_deref().expect("required"), out.expect("required"));
    // What a run needed to be told once, it knows.
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
    let stop = Stop::listen()?;
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

/// Trains all folds, one after the other; whether they came to their end.
fn train_folds(job: TrainJob, config: &TrainConfig, ranks: &Ranks, stop: &Stop) -> Result<bool> {
    // Of the whole; each fold's folder is held by its own training.
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

/// Trains one run, and says what came of it; whether it came to its end.
fn train_one(job: TrainJob, config: &TrainConfig, ranks: &Ranks, stop: &Stop) -> Result<bool> {
    let outcome = train_on(job, config, ranks, stop.flag())?;
    let (data, out) = (job.data.display(), job.out.display());
    if !ranks.is_main_rank() && outcome.finished {
        return Ok(true);
    }
    if !outcome.finished {
        progress::result(format!(
            "stopped after step {}; to resume, give the same command again",
            outcome.steps
        ));
        return Ok(false);
    }
    let bundle = run_folder::read_bundle(job.out)?;
    let split = match bundle.card.provenance.held_out.is_empty() {
        true => "",
        false => " --split held-out",
    };
    let took = History::read(job.out)?.total_secs();
    let took = took.and_then(|secs| Duration::try_from_secs_f64(secs).ok());
    progress::result(format!(
        "{} steps{}; the best validation is that after step {}\n{}\n\
         next: look at {out}/report.html\n\
         or:   rewind predict --model {out} --data {data}{split} --out predictions\n\
         or:   rewind export --run {out} --out model.safetensors\n{DISCLAIMER}",
        outcome.steps,
        took.map_or(String::new(), |took| format!(" in {}", progress::duration(took))),
        bundle.card.provenance.steps,
        trainer_export::bundle::describe(&bundle),
    ));
    Ok(true)
}

impl SettingsArgs {
    /// The settings of a run: of one that was started where nothing else is given, else of
    /// --recipe, --config and the options.
    fn in_force(&self, started: Option<&Run>) -> Result<TrainConfig> {
        let base = match (&self.recipe, &self.config) {
            (None, None) => started.map(|run| &run.config),
            _ => None,
        };
        // First, since a part of a network that is set changes it.
        let preset = self.preset.iter().map(|preset| format!("preset={preset}"));
        let single: Vec<String> = preset.chain(self.set.iter().cloned()).collect();
        let sources = Sources {
            recipe: self.recipe.as_deref(),
            base,
            file: self.config.as_deref().map(Path::new),
            single: &single,
        };
        let mut config = sources.settings()?;
        config.precision = self.precision.unwrap_or(config.precision);
        config.stream = self.stream.unwrap_or(config.stream);
        config.steps = self.steps.unwrap_or(config.steps);
        config.seed = self.seed.unwrap_or(config.seed);
        config.batch = self.batch.unwrap_or(config.batch);
        config.learning_rate = self.lr.unwrap_or(config.learning_rate);
        config.held_out = self.held_out.unwrap_or(config.held_out);
        config.folds = self.folds.unwrap_or(config.folds);
        config.fold = self.fold.or(config.fold);
        let of_run = || started.filter(|run| run.patients.is_none())?.config.group_by.clone();
        config.group_by = self.group_by.clone().or(config.group_by).or_else(of_run);
        config.validate_every = self.validate_every.unwrap_or(config.validate_every);
        config.deterministic |= self.deterministic;
        if let Some(patch) = &self.patch {
            ensure!(patch.len() != 2, "--patch: expected one number or three, found two");
            config.patch = std::array::from_fn(|axis| patch[axis % patch.len()]);
        }
        if let Some(foreground) = &self.foreground {
            config.preprocess.foreground = match foreground.as_str() {
                "nonzero" => Foreground::Nonzero,
                "otsu" => Foreground::Otsu,
                _ => Foreground::Whole,
            };
            config.preprocess.crop = config.preprocess.foreground == Foreground::Nonzero;
        }
        Ok(config)
    }
}
