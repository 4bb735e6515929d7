//! `rewind predict`: its options.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use crate::predict::{Predictor, Split};
use crate::{DISCLAIMER, device, run_folder};

/// Segment scans with a model.
///
/// Writes one label map a case, NAME.nii.gz, on the scan's own grid, and prints the volume of
/// every region in ml.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PredictArgs {
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

const EXAMPLES: &str = "\
Examples:
  rewind predict --model run --data Task04_Hippocampus --split held-out --out predictions
  rewind predict --model model.safetensors --data scan.nii.gz --out predictions
  rewind predict --model brats.safetensors --data t1.nii.gz t1gd.nii.gz t2.nii.gz flair.nii.gz \\
    --out predictions

Research use only, not a medical device";

/// Runs the command.
pub(super) fn run(args: PredictArgs) -> Result<()> {
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
