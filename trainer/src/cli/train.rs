//! `rewind train`: its options, and the settings that come of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use model_core::config::PRESETS;

use crate::config::TrainConfig;
use crate::run_folder::{self, Run};
use crate::train::train;
use crate::{DISCLAIMER, device, export, progress};

/// Train a network, or resume a run.
///
/// The data set is a folder in the Decathlon's form: dataset.json, images (3-D, or 4-D with the
/// channels along the fourth axis) and label files. A fixed part of its cases is held out and
/// measured during training.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = TRAIN_EXAMPLES)]
pub(super) struct TrainArgs {
    /// The data set's folder.
    #[arg(long)]
    data: PathBuf,
    /// The run's folder. If it holds a run, that run is resumed exactly where it was.
    #[arg(long)]
    out: PathBuf,
    /// A network by name.
    #[arg(long, value_parser = PRESETS)]
    preset: Option<String>,
    /// Settings as TOML; every setting has a default. The options below go before it.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Number of optimizer steps.
    #[arg(long)]
    steps: Option<usize>,
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
    /// The fraction of the cases that is held out.
    #[arg(long)]
    held_out: Option<f64>,
    /// Steps between validations.
    #[arg(long)]
    validate_every: Option<usize>,
    /// The voxels that intensities are normalised by: whole, nonzero (skull-stripped scans; also
    /// crops to them) or otsu.
    #[arg(long, value_parser = ["whole", "nonzero", "otsu"])]
    foreground: Option<String>,
    /// cpu, wgpu, wgpu:N, cuda or cuda:N; by default the best that is compiled in and present.
    #[arg(long)]
    device: Option<String>,
}

const TRAIN_EXAMPLES: &str = "\
Examples:
  rewind train --data Task04_Hippocampus --preset demo --out run
  rewind train --data brats --preset mbconv-slim --foreground nonzero --patch 96 --out run
  rewind train --data Task04_Hippocampus --config train.toml --out run
  rewind train --data Task04_Hippocampus --out run      # resumes the run

Besides these options, settings may describe a network of your own ([network] in place of a preset),
its decoder, the loss, the augmentation; and for any network
  backward = \"stored\"      what the backward pass keeps: \"rewound\", \"stored\", \"checkpointed\"
  [vae]                     a variational branch, in training only

In the run's folder: run.json and train.toml (what it is), metrics.csv (its history), last.safetensors (to resume
from), best.safetensors (the bundle of the best validation). Ctrl-C ends at a checkpoint. The best
validation is chosen by the held-out cases, so their Dice is a little higher than that of new ones.

Research use only, not a medical device";

/// Trains, and says what to do next.
///
/// # Errors
/// As [`train`].
pub(super) fn run(args: TrainArgs) -> Result<()> {
    let started = Instant::now();
    let config = settings(&args)?;
    let device = device::device(args.device.as_deref())?;
    let stop = stop_at_ctrl_c()?;
    let outcome = train(&args.data, &args.out, &config, &device, &stop)?;
    let out = args.out.display();
    if !outcome.finished {
        println!(
            "stopped after step {} of {}; to resume:\n  rewind train --data {} --out {out}",
            outcome.steps,
            config.steps,
            args.data.display()
        );
        // What a shell gives for a command that Ctrl-C ended: a script does not go on.
        std::process::exit(130);
    }
    let bundle = run_folder::read_bundle(&args.out)?;
    println!(
        "{} steps in {}; the best validation is that after step {}\n{}\n\
         next: rewind predict --model {out} --data {} --split held-out --out predictions\n\
         or:   rewind export --run {out} --out model.safetensors\n{DISCLAIMER}",
        outcome.steps,
        progress::duration(started.elapsed()),
        bundle.card.provenance.steps,
        export::describe(&bundle),
        args.data.display()
    );
    Ok(())
}

/// The settings of a run: of the run in --out where nothing else is given, else of --config and
/// the options.
fn settings(args: &TrainArgs) -> Result<TrainConfig> {
    let mut config = match (&args.config, Run::find(&args.out)?) {
        (Some(file), _) => TrainConfig::read(file)?,
        (None, Some(run)) => run.config,
        (None, None) => TrainConfig::default(),
    };
    if let Some(preset) = &args.preset {
        (config.preset, config.network) = (Some(preset.clone()), None);
    }
    config.steps = args.steps.unwrap_or(config.steps);
    config.seed = args.seed.unwrap_or(config.seed);
    config.batch = args.batch.unwrap_or(config.batch);
    config.learning_rate = args.lr.unwrap_or(config.learning_rate);
    config.held_out = args.held_out.unwrap_or(config.held_out);
    config.validate_every = args.validate_every.unwrap_or(config.validate_every);
    if let Some(patch) = &args.patch {
        ensure!(patch.len() != 2, "--patch: expected one number or three, found two");
        config.patch = std::array::from_fn(|axis| patch[axis % patch.len()]);
    }
    if let Some(foreground) = &args.foreground {
        use model_core::Foreground;
        config.preprocess.foreground = match foreground.as_str() {
            "nonzero" => Foreground::Nonzero,
            "otsu" => Foreground::Otsu,
            _ => Foreground::Whole,
        };
        config.preprocess.crop = config.preprocess.foreground == Foreground::Nonzero;
    }
    Ok(config)
}

/// A flag that Ctrl-C sets; a second Ctrl-C ends the process at once.
fn stop_at_ctrl_c() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let handler = move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("\nstopping after this step; Ctrl-C again stops at once");
    };
    ctrlc::set_handler(handler).context("cannot listen for Ctrl-C")?;
    Ok(stop)
}
