//! The command line: parses it, calls the step that is asked for, prints what a person needs next.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use model_core::EmptyRule;

use crate::config::TrainConfig;
use crate::predict::{Predictor, Split};
use crate::run_folder::{self, Run};
use crate::{DISCLAIMER, bench, device, evaluate, export, phantom, plan, progress, train};

/// Trains reversible 3D U-Nets that segment volumetric scans, and uses them.
///
/// Research use only, not a medical device.
#[derive(Parser)]
#[command(name = "rewind", version, after_help = ALL_EXAMPLES, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const ALL_EXAMPLES: &str = "\
Example, from nothing to a model on synthetic cases:
  rewind phantom --out phantoms --cases 24 --size 64
  rewind train --data phantoms --preset demo --foreground nonzero --out run
  rewind export --run run --out model.safetensors --name \"Demonstration model\"
  rewind phantom --out unseen --cases 4 --seed 1000
  rewind predict --model model.safetensors --data unseen --out predictions
  rewind evaluate predictions unseen/labelsTr

Research use only, not a medical device";

#[derive(Subcommand)]
enum Command {
    Train(TrainArgs),
    Predict(PredictArgs),
    Evaluate(EvaluateArgs),
    Export(ExportArgs),
    Phantom(PhantomArgs),
    Plan(plan::PlanArgs),
    Bench(bench::BenchArgs),
}

/// Train a network, or resume a run.
///
/// The data set is a folder in the Decathlon's form: dataset.json, images (3-D, or 4-D with the
/// channels along the fourth axis) and label files. A fixed part of its cases is held out and
/// measured during training.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = TRAIN_EXAMPLES)]
struct TrainArgs {
    /// The data set's folder.
    #[arg(long)]
    data: PathBuf,
    /// The run's folder. If it holds a run, that run is resumed exactly where it was.
    #[arg(long)]
    out: PathBuf,
    /// A network by name: mbconv-base, mbconv-slim or demo.
    #[arg(long)]
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

In the run's folder: run.json and train.toml (what it is), metrics.csv (its history), last.safetensors (to resume
from), best.safetensors (the bundle of the best validation). Ctrl-C ends at a checkpoint. The best
validation is chosen by the held-out cases, so their Dice is a little higher than that of new ones.

Research use only, not a medical device";

/// Segment scans with a model.
///
/// Writes one label map a case, NAME.nii.gz, on the scan's own grid, and prints the volume of
/// every region in ml.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = PREDICT_EXAMPLES)]
struct PredictArgs {
    /// A bundle, or the folder of a run.
    #[arg(long)]
    model: PathBuf,
    /// The folder of a data set, or NIfTI files: one file with all channels for each case, or for
    /// one case a file for each channel, in the task's order.
    #[arg(long, num_args = 1.., required = true)]
    data: Vec<PathBuf>,
    /// Where the label maps go.
    #[arg(long)]
    out: PathBuf,
    /// Which cases of a data set; all but `all` need the run's folder as --model.
    #[arg(long, value_enum, default_value = "all")]
    split: Split,
    /// cpu, wgpu, wgpu:N, cuda or cuda:N; by default the best that is compiled in and present.
    #[arg(long)]
    device: Option<String>,
}

const PREDICT_EXAMPLES: &str = "\
Examples:
  rewind predict --model run --data Task04_Hippocampus --split held-out --out predictions
  rewind predict --model model.safetensors --data scan.nii.gz --out predictions
  rewind predict --model brats.safetensors --data t1.nii.gz t1gd.nii.gz t2.nii.gz flair.nii.gz \\
    --out predictions

Research use only, not a medical device";

/// Score label maps against references.
///
/// Prints Dice of every region and case, and mean, median, standard deviation and n. Files are
/// matched by name.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EVALUATE_EXAMPLES)]
struct EvaluateArgs {
    /// A label map, or a folder of them.
    predicted: PathBuf,
    /// The reference, or a folder of them.
    reference: PathBuf,
    /// What the regions are: brats2021, brats2023, a bundle, a run's folder or a dataset.json. By
    /// default the dataset.json beside the references' folder; without it, each label.
    #[arg(long)]
    task: Option<String>,
    /// The score where a region is empty: brats2023, brats2021, nnunet or monai.
    #[arg(long, default_value = "brats2023")]
    empty: EmptyRule,
    /// Writes every case's scores to this file.
    #[arg(long)]
    csv: Option<PathBuf>,
}

const EVALUATE_EXAMPLES: &str = "\
Examples:
  rewind evaluate predictions Task04_Hippocampus/labelsTr --csv dice.csv
  rewind evaluate predicted.nii.gz expert.nii.gz --task brats2023 --empty nnunet

Research use only, not a medical device";

/// Export a run's best weights as a bundle, for the viewer and for other software.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXPORT_EXAMPLES)]
struct ExportArgs {
    /// The run's folder.
    #[arg(long)]
    run: PathBuf,
    /// The file to write, *.safetensors.
    #[arg(long)]
    out: PathBuf,
    /// The model's name, as the viewer shows it; by default the data set's.
    #[arg(long)]
    name: Option<String>,
    /// A sentence that the user must read before trusting a result.
    #[arg(long)]
    warning: Option<String>,
}

const EXPORT_EXAMPLES: &str = "\
Example:
  rewind export --run run --out model.safetensors --name \"Hippocampus\" \\
    --warning \"Trained on 160 scans of one center\"

Research use only, not a medical device";

/// Write a data set of synthetic cases: heads with a tumor in four modalities.
///
/// A pure function of the seed; unseen cases are those of other seeds.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = PHANTOM_EXAMPLES)]
struct PhantomArgs {
    /// A new folder.
    #[arg(long)]
    out: PathBuf,
    /// Number of cases.
    #[arg(long, default_value_t = 16)]
    cases: usize,
    /// The first case's seed; the next cases have the next ones.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Voxels along each axis.
    #[arg(long, default_value_t = 64)]
    size: usize,
}

const PHANTOM_EXAMPLES: &str = "\
Examples:
  rewind phantom --out phantoms --cases 24
  rewind phantom --out unseen --cases 4 --seed 1000

Research use only, not a medical device";

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Train(args) => train(args),
        Command::Predict(args) => predict(args),
        Command::Evaluate(args) => evaluate(args),
        Command::Export(args) => export(args),
        Command::Phantom(args) => phantom(args),
        Command::Plan(args) => plan::run(args),
        Command::Bench(args) => bench::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn train(args: TrainArgs) -> Result<()> {
    let started = Instant::now();
    let config = settings(&args)?;
    let device = device::device(args.device.as_deref())?;
    let stop = stop_at_ctrl_c()?;
    let outcome = train::train(&args.data, &args.out, &config, &device, &stop)?;
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

fn predict(args: PredictArgs) -> Result<()> {
    let device = device::device(args.device.as_deref())?;
    let predictor = Predictor::new(run_folder::read_bundle(&args.model)?, &device)?;
    let scans = match &args.data[..] {
        [folder] if folder.is_dir() => Predictor::scans_of(folder, args.split, &args.model)?,
        given => {
            ensure!(args.split == Split::All, "--split is for the folder of a data set");
            predictor.scans_from(given)?
        }
    };
    predictor.write_all(&scans, &args.out)?;
    println!("{DISCLAIMER}");
    Ok(())
}

fn evaluate(args: EvaluateArgs) -> Result<()> {
    let regions = evaluate::regions(args.task.as_deref(), &args.reference)?;
    let result = evaluate::evaluate(&args.predicted, &args.reference, regions, args.empty)?;
    println!("{}\n{DISCLAIMER}", result.report());
    if let Some(file) = &args.csv {
        result.write_csv(file)?;
    }
    Ok(())
}

fn export(args: ExportArgs) -> Result<()> {
    let (name, warning) = (args.name.as_deref(), args.warning.as_deref());
    let bundle = export::export(&args.run, &args.out, name, warning)?;
    println!("wrote {}\n{}\n{DISCLAIMER}", args.out.display(), export::describe(&bundle));
    Ok(())
}

fn phantom(args: PhantomArgs) -> Result<()> {
    phantom::write(&args.out, args.cases, args.seed, args.size)?;
    let out = args.out.display();
    println!(
        "wrote {} cases of {}³ voxels to {out}\n\
         next: rewind train --data {out} --preset demo --foreground nonzero --out run\n{DISCLAIMER}",
        args.cases, args.size
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_help_page_has_an_example_and_the_disclaimer() {
        let mut cli = Cli::command();
        cli.build();
        for command in std::iter::once(&cli).chain(cli.get_subcommands()) {
            let help = command.clone().render_long_help().to_string();
            assert!(help.contains(DISCLAIMER) && help.contains("xample"), "{help}");
        }
    }
}
