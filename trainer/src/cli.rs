//! The command line: parses it, calls the step that is asked for, prints what a person needs next.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::{Args, Parser, Subcommand};
use model_core::EmptyRule;

use crate::predict::{Predictor, Split};
use crate::run_folder;
use crate::{DISCLAIMER, bench, device, evaluate, export, phantom, plan};

mod train;

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
    Train(train::TrainArgs),
    Predict(PredictArgs),
    Evaluate(EvaluateArgs),
    Export(ExportArgs),
    Phantom(PhantomArgs),
    Plan(plan::PlanArgs),
    Bench(bench::BenchArgs),
}

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
        Command::Train(args) => train::run(args),
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
