//! `rewind inspect`: options and output.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use clap::Args;

use super::geometry::GeometryArgs;
use trainer_data::data_set::DataSet;
use trainer_data::inspect::Inspection;
use trainer_prepare::listing::{self, is_examination};
use trainer_run::DISCLAIMER;
use trainer_run::files::outputs::{self, Output};
use trainer_run::reporter::Terminal;

/// Check and describe a data set, or list the series of an examination (DICOM or ZIP).
///
/// Reads every case and lists all faults with their files: different grids within a case, missing
/// or unreadable files and channels, label values that the task does not have. Then prints sizes,
/// spacings, intensities and label volumes, with recommendations for training. NaN, empty label
/// maps and labels stored as floats cause warnings. The command fails if there are faults.
///
/// Layouts: the Medical Segmentation Decathlon, MONAI lists and nnU-Net raw (dataset.json), BraTS
/// 2018 to 2024, UPENN-GBM, UCSF-PDGM and data sets with similar names, iSeg (Analyze pairs), and a
/// CSV of paths for everything else. A data set without cases, or with another number of cases than
/// numTraining, is a fault. Unused files are counted and named.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct InspectArgs {
    /// The folder of the data set, a CSV file, or the folder or ZIP archive of an examination.
    data: PathBuf,
    /// The meaning of channels and labels: brats2018 to brats2024, iseg2017, iseg2019, a
    /// dataset.json, a task as JSON or TOML, a bundle or a run folder. Required for BraTS folders
    /// and CSV files.
    #[arg(long)]
    task: Option<String>,
    /// Succeed in spite of faults, as `rewind train --skip-bad` does.
    #[arg(long)]
    skip_bad: bool,
    #[command(flatten)]
    geometry: GeometryArgs,
    /// Write a CSV file with one row per case.
    #[arg(long)]
    csv: Option<PathBuf>,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  rewind inspect Task04_Hippocampus
  rewind inspect BraTS2021_TrainingData --task brats2021 --csv cases.csv
  rewind inspect dicom-study.zip
  rewind inspect cases.csv --task task.toml --json > report.json

A CSV has a header and one row per case. Its columns: one per channel, with the task's names (or
`image`, for one file with all channels); `label`, empty if there is none; `case`, the name, optional
with the column `image`; `patient`, if patients have several cases. Paths are relative to the CSV:
  case,T1,T2,label
  p01,p01/t1.nii.gz,p01/t2.nii.gz,p01/seg.nii.gz
  p02,p02/t1.nii.gz,p02/t2.nii.gz,

A task as TOML (code 0 is the background; head = \"sigmoid\" if regions overlap):
  name = \"Tissues\"
  channels = [\"T1\", \"T2\"]
  head = \"softmax\"
  labels = [{ name = \"gray matter\", code = 1 }, { name = \"white matter\", code = 2 }]
  regions = [
    { name = \"gray matter\", labels = [1], writes = 1, color = [230, 159, 0] },
    { name = \"white matter\", labels = [2], writes = 2, color = [86, 180, 233] },
  ]

Research use only, not a medical device";

/// Runs the command.
pub(super) fn run(args: InspectArgs) -> Result<()> {
    if let Some(file) = &args.csv {
        outputs::prepare("--csv", Output::CaseTable, file)?;
    }
    let tolerance_voxels = args.geometry.geometry_tolerance;
    let terminal = Terminal::default();
    if args.task.is_none() && is_examination(&args.data) {
        println!("{}\n{DISCLAIMER}", listing::list(&[args.data], &terminal)?);
        return Ok(());
    }
    let data_set = DataSet::open(&args.data, args.task.as_deref(), &terminal)?;
    let inspection = Inspection::new(DataSet { tolerance_voxels, ..data_set }, &terminal);
    match args.json {
        true => println!("{:#}", inspection.json()),
        false => println!("{}", inspection.report()),
    }
    if let Some(file) = &args.csv {
        inspection.write_csv(file)?;
    }
    let num_faults = inspection.faults().len();
    if num_faults > 0 && !args.skip_bad {
        let faults =
            if num_faults == 1 { "1 fault".into() } else { format!("{num_faults} faults") };
        bail!("{faults}, listed above; --skip-bad ignores these cases");
    }
    ensure!(
        inspection.has_usable_cases(),
        "expected at least one case that can be used, found none"
    );
    Ok(())
}
