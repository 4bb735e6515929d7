//! `rewind evaluate`: its options.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use model_core::EmptyRule;

use crate::{DISCLAIMER, evaluate};

/// Score label maps against references.
///
/// Prints Dice of every region and case, and mean, median, standard deviation and n. Files are
/// matched by name.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct EvaluateArgs {
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

const EXAMPLES: &str = "\
Examples:
  rewind evaluate predictions Task04_Hippocampus/labelsTr --csv dice.csv
  rewind evaluate predicted.nii.gz expert.nii.gz --task brats2023 --empty nnunet

Research use only, not a medical device";

/// Runs the command.
pub(super) fn run(args: EvaluateArgs) -> Result<()> {
    let regions = evaluate::regions(args.task.as_deref(), &args.reference)?;
    let result = evaluate::evaluate(&args.predicted, &args.reference, regions, args.empty)?;
    println!("{}\n{DISCLAIMER}", result.report());
    if let Some(file) = &args.csv {
        result.write_csv(file)?;
    }
    Ok(())
}
