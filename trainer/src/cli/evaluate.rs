//! `rewind evaluate`: options and output.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use model_core::EmptyRule;
use model_core::metrics::{Settings, Surface};

use super::geometry::GeometryArgs;
use trainer_evaluate::{Missing, Options, evaluate, find_task};
use trainer_run::DISCLAIMER;
use trainer_run::files::outputs::{self, Output};
use trainer_run::reporter::Terminal;

/// Score label maps against references.
///
/// Computes Dice, HD95, HD, normalized surface distance (NSD) and volumes of every region. Prints
/// mean, median, standard deviation and n, the cases with the lowest Dice, and the definition of
/// each score. --csv and --json contain every case. Distances are in millimeters.
///
/// Compares two files, or the files of two folders by name: a.nii.gz with a.nii.gz, a-seg.nii.gz,
/// a_tumor_segmentation.nii.gz and similar names, also in subfolders as in BraTS. A file named
/// seg.nii.gz has the name of its folder. The reference can also be a data set: a folder with
/// dataset.json, whose images may be missing, an iSeg folder, or a CSV of paths, which needs
/// --task. Both files of a case must have the same voxels, in any axis order, and only labels of
/// the task.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct EvaluateArgs {
    /// A label map, or a folder of them.
    predicted: PathBuf,
    /// The reference, or a folder of them.
    reference: PathBuf,
    /// The labels and regions: a built-in task such as brats2021 or brats2023, a bundle, a run
    /// folder or a dataset.json. By default the dataset.json in or beside the reference folder;
    /// without one, each label is a region.
    #[arg(long)]
    task: Option<String>,
    /// The scores of empty regions. brats2023: Dice 1 and HD95 0 mm if both are empty, 0 and 374 mm
    /// if one is. brats2021: the same with 373.13 mm. nnunet: no score if both are empty, 0 and the
    /// volume's diagonal if one is. monai: no score if the reference is empty.
    #[arg(long, value_name = "RULE", default_value = "brats2023")]
    empty: EmptyRule,
    /// The tolerance of NSD in mm.
    #[arg(long, value_name = "MM", default_value_t = 1.0)]
    tolerance: f64,
    /// The surface elements of HD95, HD and NSD: "voxels" at the border, each with the same weight,
    /// as in MONAI; or "areas" between voxels, weighted by size, as in DeepMind's surface-distance
    /// and the BraTS 2023 ranking.
    #[arg(long, value_name = "KIND", default_value = "voxels")]
    surface: Surface,
    /// Also score each lesion, as in the BraTS 2023 (GLI) ranking.
    #[arg(long)]
    lesion_wise: bool,
    #[command(flatten)]
    geometry: GeometryArgs,
    /// The treatment of references without a prediction.
    #[arg(long, value_enum, default_value = "refuse")]
    missing: Missing,
    /// Write the scores to a CSV file, one row per case and region.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write the scores, the summary and the definitions to a JSON file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  rewind evaluate predictions Task04_Hippocampus/labelsTr --csv scores.csv
  rewind evaluate predictions BraTS2023 --task brats2023 --lesion-wise --surface areas \
    --missing worst
  rewind evaluate predicted.nii.gz expert.nii.gz --empty nnunet --tolerance 2 --json scores.json

Research use only, not a medical device";

/// Runs the command.
pub(super) fn run(args: EvaluateArgs) -> Result<()> {
    ensure!(
        args.tolerance.is_finite() && args.tolerance >= 0.0,
        "--tolerance: expected a distance in mm, 0 or more, found {}",
        args.tolerance
    );
    for (option, kind, file) in
        [("--csv", Output::ScoresCsv, &args.csv), ("--json", Output::ScoresJson, &args.json)]
    {
        if let Some(file) = file {
            outputs::prepare(option, kind, file)?;
        }
    }
    let options = Options {
        task: find_task(args.task.as_deref(), &args.reference)?,
        settings: Settings {
            rule: args.empty,
            tolerance_mm: args.tolerance,
            surface: args.surface,
        },
        lesion_wise: args.lesion_wise,
        missing: args.missing,
        tolerance_voxels: args.geometry.geometry_tolerance,
    };
    let result = evaluate(&args.predicted, &args.reference, &options, &Terminal::default())?;
    // Printed before the files are written, so that an error of a file does not hide the result.
    println!("{}\n{DISCLAIMER}", result.report());
    if let Some(file) = &args.csv {
        result.write_csv(file)?;
    }
    if let Some(file) = &args.json {
        result.write_json(file)?;
    }
    Ok(())
}
