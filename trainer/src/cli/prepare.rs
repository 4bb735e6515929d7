//! `rewind prepare`: options and output.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use model_core::LabelMap;
use model_core::formats::nifti;
use model_core::prepare::{BrainChoice, PlacementChoice, PlacementSettings};

use super::geometry::GeometryArgs;
use trainer_predict::members;
use trainer_prepare::{Examination, Settings};
use trainer_run::reporter::{Reporter, Terminal};
use trainer_run::{DISCLAIMER, files};

/// Prepare an examination for a model: choose its series, place them on one grid, extract the brain.
///
/// Reads a folder, files or a ZIP archive of one examination: DICOM, NIfTI, NRRD, MGZ or Analyze.
/// Writes one NIfTI file per channel, brain-mask.nii.gz if the brain was extracted,
/// preparation.json with all steps and matrices, and montage.png to look at. No name, number or date
/// of a person is written. `rewind predict --prepare` does the same on the way.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PrepareArgs {
    /// The model: a bundle or a run folder.
    #[arg(long)]
    model: PathBuf,
    /// The examination: folders, files or ZIP archives.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// A new folder for the prepared channels.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    steps: StepArgs,
    #[command(flatten)]
    geometry: GeometryArgs,
    /// Choose the series of a channel: its number in the listing, or a part of its name or path. Can
    /// be given more than once.
    #[arg(long, value_name = "CHANNEL=SERIES")]
    assign: Vec<String>,
    /// Use this mask of the brain, on the reference's grid.
    #[arg(long)]
    brain_mask: Option<PathBuf>,
    /// Replace a prepared examination.
    #[arg(long)]
    overwrite: bool,
}

/// The options for the steps, which `rewind predict --prepare` has too.
#[derive(Args)]
#[command(next_help_heading = "Preparation")]
pub(super) struct StepArgs {
    /// The channel on whose grid the others, and the result, are placed; by default the one with the
    /// smallest voxels.
    #[arg(long)]
    reference: Option<String>,
    /// Whether channels are registered: `auto` if their headers do not place the head where the
    /// reference has it.
    #[arg(long, value_enum, default_value = "auto")]
    registration: RegistrationMode,
    /// Let the registration also scale and shear.
    #[arg(long)]
    affine: bool,
    /// Whether the brain is extracted: `auto` if the model expects scans without skull and these have
    /// one.
    #[arg(long, value_enum, default_value = "auto")]
    skull: SkullMode,
    /// Run without the missing channels, although the model was not trained for it.
    #[arg(long)]
    allow_missing: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum RegistrationMode {
    /// If it is needed.
    Auto,
    /// Never: the positions in the headers are right.
    Off,
    /// Always.
    Always,
}

#[derive(Clone, Copy, ValueEnum)]
enum SkullMode {
    /// If the model needs it.
    Auto,
    /// Keep the skull.
    Keep,
    /// Extract the brain.
    Strip,
}

impl StepArgs {
    /// Returns the settings of these options.
    pub(super) fn settings(&self, geometry: &GeometryArgs) -> Settings {
        let choice = match self.registration {
            RegistrationMode::Auto => PlacementChoice::Automatic,
            RegistrationMode::Off => PlacementChoice::AsStored,
            RegistrationMode::Always => PlacementChoice::Registered,
        };
        Settings {
            reference: self.reference.clone(),
            placement: PlacementSettings {
                choices: vec![choice],
                is_affine: self.affine,
                tolerance_voxels: geometry.geometry_tolerance,
                ..PlacementSettings::default()
            },
            brain: match self.skull {
                SkullMode::Auto => BrainChoice::Automatic,
                SkullMode::Keep => BrainChoice::Keep,
                SkullMode::Strip => BrainChoice::Extract,
            },
            allows_missing: self.allow_missing,
            ..Settings::default()
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  rewind inspect study                                  # which series are there
  rewind prepare --model glioma.safetensors study.zip --out prepared
  rewind prepare --model glioma.safetensors study --out prepared --reference T1Gd --assign FLAIR=4
  rewind predict --model glioma.safetensors --data prepared --out predictions

Research use only, not a medical device";

/// Runs the command.
pub(super) fn run(args: PrepareArgs) -> Result<()> {
    let terminal = Terminal::default();
    let bundle = members::read(std::slice::from_ref(&args.model))?.remove(0);
    let assigned = args.assign.iter().map(|text| {
        let (channel, series) = text
            .split_once('=')
            .with_context(|| format!("--assign: expected CHANNEL=SERIES, found {text:?}"))?;
        Ok((channel.to_string(), series.to_string()))
    });
    let mask = args.brain_mask.as_deref().map(read_mask).transpose()?;
    let settings = Settings {
        assigned: assigned.collect::<Result<_>>()?,
        mask,
        ..args.steps.settings(&args.geometry)
    };
    let channels = &bundle.card.task.channels;
    let mut examination = Examination::open(&args.paths, channels, &settings, &terminal)?;
    let prepared = examination.prepare(&bundle.card, &settings, &terminal)?;
    println!("{}", examination.listing(channels));
    prepared.record.sentences().iter().for_each(|text| println!("{text}"));
    let mut warnings = prepared.warnings.clone();
    warnings.dedup();
    warnings.iter().for_each(|text| terminal.message(text));
    trainer_prepare::write(&prepared, &args.out, args.overwrite)?;
    let out = args.out.display();
    println!(
        "wrote {out}: look at montage.png\n\
         next: rewind predict --model {} --data {out} --out predictions\n{DISCLAIMER}",
        args.model.display()
    );
    Ok(())
}

fn read_mask(file: &Path) -> Result<LabelMap> {
    let bytes = files::read(file, files::MAX_SCAN_BYTES)?;
    let mask = nifti::read_labels(&bytes);
    let mask = mask.map_err(|error| error.in_file(file.display().to_string()))?;
    ensure!(
        mask.labels().iter().any(|&label| label != 0),
        "--brain-mask: expected a mask with a brain, found none in {}",
        file.display()
    );
    Ok(mask)
}
