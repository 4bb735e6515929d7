//! `rewind profile`: options and output.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::geometry::GeometryArgs;
use super::predict::ExtentArgs;
use trainer_predict::inputs::{self, Split};
use trainer_predict::settings::Settings;
use trainer_predict::{members, profiling};
use trainer_run::DISCLAIMER;
use trainer_run::reporter::Terminal;
use trainer_train::device;

/// Measure models on labeled cases, for the selection of a model by `rewind predict`.
///
/// Writes a profile for `rewind predict --ensemble similarity` or `literal`: the Dice of every
/// model on every case, and the histograms of the cases. The same command resumes an interrupted
/// measurement.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ProfileArgs {
    /// Bundles or run folders. A folder with fold-0, fold-1, … stands for all of its folds.
    #[arg(long, num_args = 1.., required = true)]
    models: Vec<PathBuf>,
    /// The folder of a labeled data set.
    #[arg(long)]
    data: PathBuf,
    /// The meaning of the labels. Required if the models were trained with --task: the same task.
    #[arg(long)]
    task: Option<String>,
    /// The cases to measure. The paper uses the cases that all models were trained on.
    #[arg(long, value_enum, default_value = "training")]
    split: Split,
    /// The profile to write.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    extent: ExtentArgs,
    #[command(flatten)]
    geometry: GeometryArgs,
    /// cpu, wgpu, wgpu:N, cuda or cuda:N; by default the best available device.
    #[arg(long)]
    device: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  rewind profile --models seed-1 seed-2 seed-3 --data DIR --out profile.json
  rewind predict --model seed-1 seed-2 seed-3 --ensemble similarity --profile profile.json \\
    --data imagesTs --out predictions

Research use only, not a medical device";

/// Runs the command.
pub(super) fn run(args: ProfileArgs) -> Result<()> {
    let terminal = Terminal::default();
    let device = device::device(args.device.as_deref())?;
    let paths = members::expand(&args.models);
    let bundles = members::read(&paths)?;
    let task = &bundles[0].card.task;
    let task_name = args.task.as_deref();
    let cases = inputs::find_labeled(&args.data, args.split, &paths, task, task_name, &terminal)?;
    let tolerance_voxels = args.geometry.geometry_tolerance;
    let settings = Settings { tolerance_voxels, ..args.extent.settings()? };
    let profile =
        profiling::profile_models(bundles, &settings, &cases, &device, &args.out, &terminal)?;
    println!("wrote {}\nmodel\tmean Dice\tn", args.out.display());
    for (n, model) in profile.made_by.models.iter().enumerate() {
        let sum: f64 = profile.cases.iter().map(|case| case.dice[n]).sum();
        let count = profile.cases.len();
        let path = paths[n].display();
        println!("{} ({path})\t{:.4}\t{count}", model.name, sum / count as f64);
    }
    println!("{DISCLAIMER}");
    Ok(())
}
