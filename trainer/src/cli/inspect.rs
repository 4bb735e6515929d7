//! `rewind inspect`: its options.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use clap::Args;

use super::geometry::GeometryArgs;
use trainer_data::data_set::DataSet;
use trainer_data::inspect::Inspection;
use trainer_run::files::outputs::{self, Output};
use trainer_run::reporter::Terminal;

/// Check a data set, and say what it is.
///
/// Reads every case and lists all faults at once, each with its file: voxels that lie apart
/// within a case, missing or unreadable files and channels, label values that are not
/// in the task's scheme. Then prints sizes, spacings, intensities, the labels' volumes, and what
/// they mean for training. NaN, empty label files, labels stored as floats and the like keep no
/// case from being used, but are told. Ends with an error where there are faults.
///
/// Known layouts: the Medical Segmentation Decathlon, MONAI's lists and nnU-Net raw (dataset.json),
/// BraTS 2018 to 2024, UPENN-GBM, UCSF-PDGM and others that are named alike, iSeg (Analyze pairs),
/// and a CSV of paths for everything else. No case at all is a fault, and so is another number of
/// cases than numTraining says. What lies beside the cases is counted and named.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct InspectArgs {
    /// The data set's folder, or a CSV.
    data: PathBuf,
    /// What channels and labels mean: brats2018 to brats2024, iseg2017, iseg2019, a dataset.json, a
    /// task as JSON or TOML, a bundle or a run's folder. BraTS folders and a CSV need it.
    #[arg(long)]
    task: Option<String>,
    /// Faults are listed, but are no error: what `rewind train --skip-bad` would go on with.
    #[arg(long)]
    skip_bad: bool,
    #[command(flatten)]
    geometry: GeometryArgs,
    /// Writes a row for each case to this file.
    #[arg(long)]
    csv: Option<PathBuf>,
    /// Prints everything as JSON.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  rewind inspect Task04_Hippocampus
  rewind inspect BraTS2021_TrainingData --task brats2021 --csv cases.csv
  rewind inspect cases.csv --task task.toml --json > report.json

A CSV has a header and a row for each case. Its columns: one for each channel, by the task's names
(or `image`, for one file with all channels); `label`, empty where it is not known; `case`, the
name, which may be left out where there is one image; `patient`, where several cases are of one.
Paths are relative to the CSV:
  case,T1,T2,label
  p01,p01/t1.nii.gz,p01/t2.nii.gz,p01/seg.nii.gz
  p02,p02/t1.nii.gz,p02/t2.nii.gz,

A task as TOML (the code 0 is the background; head = \"sigmoid\" where regions overlap):
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
        bail!("{faults}, listed above; --skip-bad goes on without these cases");
    }
    ensure!(
        inspection.has_usable_cases(),
        "expected at least one case that can be used, found none"
    );
    Ok(())
}
