//! `rewind evaluate`: its options.

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
/// Dice, HD95, HD, normalized surface distance and volumes of every region: prints mean, median,
/// standard deviation and n, the cases with the lowest Dice, and what each number means; --csv and
/// --json hold every case. Distances are in millimetres, by the files' own spacing.
///
/// Two files are compared with each other, two folders by their files' names: a.nii.gz with
/// a.nii.gz, a-seg.nii.gz, a_tumor_segmentation.nii.gz and the like, in the folder or, as BraTS has
/// them, in folders below it; a file that is named seg.nii.gz alone has its folder's name. The
/// references may also be a data set: a folder with dataset.json, of which the labels are enough,
/// one of iSeg, or a CSV of paths, which needs --task. Files of one case must hold the same voxels,
/// in whatever axis order, and no label that the task does not name.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct EvaluateArgs {
    /// A label map, or a folder of them.
    predicted: PathBuf,
    /// The reference, or a folder of them.
    reference: PathBuf,
    /// What the labels and regions are: a built-in task such as brats2021 or brats2023, a bundle, a
    /// run's folder or a dataset.json. By default the dataset.json in or beside the references'
    /// folder; without it, each label found is a region.
    #[arg(long)]
    task: Option<String>,
    /// The scores where a region is empty. brats2023: both empty Dice 1 and HD95 0 mm, one empty 0
    /// and 374 mm. brats2021: the same with 373.13 mm. nnunet: no score where both are empty, else
    /// 0 and the volume's diagonal. monai: no score where the reference is empty.
    #[arg(long, value_name = "RULE", default_value = "brats2023")]
    empty: EmptyRule,
    /// How far apart two surfaces may be for NSD, in mm.
    #[arg(long, value_name = "MM", default_value_t = 1.0)]
    tolerance: f64,
    /// What a surface is, for HD95, HD and NSD: "voxels" on the rim, each counting the same, as in
    /// MONAI; or "areas" between voxels, counting by their size, as in DeepMind's surface-distance,
    /// by which BraTS 2023 ranks.
    #[arg(long, value_name = "KIND", default_value = "voxels")]
    surface: Surface,
    /// Scores lesions one by one too, as BraTS 2023 (GLI) ranks.
    #[arg(long)]
    lesion_wise: bool,
    #[command(flatten)]
    geometry: GeometryArgs,
    /// What happens with a reference that has no prediction.
    #[arg(long, value_enum, default_value = "refuse")]
    missing: Missing,
    /// Writes every case's scores to this file, a row for each case and region.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Writes every case's scores, the summary and the definitions to this file.
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
    // Before the files: what cannot be written takes nothing from the screen.
    println!("{}\n{DISCLAIMER}", result.report());
    if let Some(file) = &args.csv {
        result.write_csv(file)?;
    }
    if let Some(file) = &args.json {
        result.write_json(file)?;
    }
    Ok(())
}
