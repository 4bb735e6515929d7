//! The command `rewind profile`.

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

/// Measure models on known cases, so that predict can select among them.
///
/// For `rewind predict --ensemble similarity` or `literal`: every model's Dice on every case, and
/// the case's histograms. The same command continues an interrupted profile.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ProfileArgs {
    /// Bundles or the folders of runs. A folder with fold-0, fold-1, … stands for all of its folds.
    #[arg(long, num_args = 1.., required = true)]
    models: Vec<PathBuf>,
    /// The folder of a data set.
    #[arg(long)]
    data: PathBuf,
    /// The task, if the models were trained with a --task that replaced the data set's own: the same
    /// task.
    #[arg(long)]
    task: Option<String>,
    /// The part of its cases. The paper uses those that all models trained on.
    #[arg(long, value_enum, default_value = "training")]
    split: Split,
    /// The file to write.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    extent: ExtentArgs,
    #[command(flatten)]
    geometry: GeometryArgs,
    /// The device: cpu, wgpu, wgpu:N, cuda or cuda:N. By default the best that is compiled in and
    /// present.
    #[arg(long)]
    device: Option<String>,
}

const EXAMPLES: &str = "\
Example:
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
