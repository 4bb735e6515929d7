//! `rewind predict`: options and output.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use clap::builder::PossibleValuesParser;

use super::geometry::GeometryArgs;
use super::prepare::StepArgs;
use trainer_predict::backend::{Backend, EngineName};
use trainer_predict::inputs::{self, Split};
use trainer_predict::profile::{MAX_BYTES, Profile};
use trainer_predict::settings::{AXES, Ensemble, LargestComponent, Mode, Settings};
use trainer_predict::{Predictor, members, prepared};
use trainer_run::reporter::{Reporter, Terminal};
use trainer_run::{DISCLAIMER, files};
use trainer_train::device;
use trainer_train::estimate;

/// Segment scans with one or several models.
///
/// Writes a label map NAME.nii.gz on the grid of each scan, and a record NAME.json of the models
/// and settings. Prints the volume of every region in ml. A scan that cannot be segmented does not
/// stop the others; the command then fails at the end with all errors.
///
/// The same command resumes an interrupted prediction: results of the same models, settings and
/// scans are kept. Other results are replaced only with --overwrite.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PredictArgs {
    /// Bundles or run folders. A folder with fold-0, fold-1, … stands for all of its folds.
    #[arg(long, num_args = 1.., required = true)]
    model: Vec<PathBuf>,
    /// A data set; folders of scans, each scan one file with all channels or one file per channel
    /// (CASE_0000.nii.gz or CASE_flair.nii.gz); or files: one per case with all channels, or the
    /// channels of one case.
    #[arg(long, num_args = 1.., required = true)]
    data: Vec<PathBuf>,
    /// The output folder.
    #[arg(long)]
    out: PathBuf,
    /// The cases of a data set; `training` and `held-out` need run folders as --model.
    #[arg(long, value_enum, default_value = "all")]
    split: Split,
    #[command(flatten)]
    extent: ExtentArgs,
    #[command(flatten)]
    geometry: GeometryArgs,
    /// Prepare each path as one examination first, as `rewind prepare` does: a folder or a ZIP
    /// archive with the series of a patient. The prepared channels are kept in OUT/prepared/NAME.
    #[arg(long)]
    prepare: bool,
    #[command(flatten)]
    steps: StepArgs,
    /// The combination of several models.
    #[arg(long, value_enum, default_value = "mean")]
    ensemble: Ensemble,
    /// A profile from `rewind profile`, only for `similarity` and `literal`.
    #[arg(long)]
    profile: Option<PathBuf>,
    /// Keep only the largest connected component (26 neighbors) of the foreground or of every
    /// region.
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "foreground")]
    largest_component: Option<LargestComponent>,
    /// Also write the probabilities of the regions, as channels of probabilities/NAME.nii.gz.
    #[arg(long)]
    probabilities: bool,
    /// Replace existing results, also those of other models and settings.
    #[arg(long)]
    overwrite: bool,
    /// The engine that runs the network; by default `burn` on a GPU that this build has features
    /// for, otherwise `cpu`.
    #[arg(long, value_enum)]
    engine: Option<EngineName>,
    /// The device: cpu, or for the engine burn wgpu, wgpu:N, cuda or cuda:N; by default the best
    /// available device.
    #[arg(long)]
    device: Option<String>,
}

/// The options for full volumes, tiles and flips.
#[derive(Args)]
pub(super) struct ExtentArgs {
    /// The input of the network: the full volume or overlapping tiles. Tiles give another result
    /// than the full volume, because norms compute their statistics from fewer voxels.
    #[arg(long, value_enum, default_value = "auto")]
    mode: Mode,
    /// The memory limit of `auto`, such as 8GiB; by default nine tenths of the free memory.
    /// Graphics cards do not report their free memory, so there the default is to try the full
    /// volume. With the engine `wgsl` this is the limit of GPU memory for all modes, and `auto`
    /// uses f16 or smaller steps instead of tiles.
    #[arg(long, value_parser = estimate::memory)]
    memory: Option<u64>,
    /// The size of a tile: one number, or three along right, front, top; by default the patch size
    /// of the training. Overlapping tiles are averaged with Gaussian weights.
    #[arg(long, alias = "window", value_delimiter = ',', num_args = 1..=3)]
    tile: Option<Vec<usize>>,
    /// The smallest overlap of adjacent tiles, as a fraction of a tile.
    #[arg(long, default_value_t = 0.5)]
    overlap: f64,
    /// Average the probabilities over all combinations of flips along these axes (right, front,
    /// top). Use the axes that training flipped. Two axes take four times as long, three eight
    /// times.
    #[arg(long, value_delimiter = ',', value_parser = PossibleValuesParser::new(AXES))]
    flip: Vec<String>,
    /// The same as --flip right,front,top.
    #[arg(long, conflicts_with = "flip")]
    tta: bool,
}

impl ExtentArgs {
    /// Returns the settings of these options.
    pub(super) fn settings(&self) -> Result<Settings> {
        let tile_dims = match self.tile.as_deref() {
            None => None,
            Some([_, _]) => bail!("--tile: expected one number or three, found two"),
            Some(tile) => Some(std::array::from_fn(|axis| tile[axis % tile.len()])),
        };
        Ok(Settings {
            mode: self.mode,
            memory_bytes: self.memory,
            tile_dims,
            overlap: self.overlap,
            flips: AXES.map(|axis| self.tta || self.flip.iter().any(|flip| flip == axis)),
            ..Settings::default()
        })
    }
}

const EXAMPLES: &str = "\
Examples:
  rewind predict --model run --data Task04_Hippocampus --split held-out --out predictions
  rewind predict --model model.safetensors --data scan.nii.gz --out predictions
  rewind predict --model brats.safetensors --data t1.nii.gz t1gd.nii.gz t2.nii.gz flair.nii.gz \\
    --out predictions
  rewind predict --model brats.safetensors --data imagesTs --out predictions --memory 8GiB
  rewind predict --model brats.safetensors --data imagesTs --out predictions --engine wgsl \
    --memory 2GiB
  rewind predict --model brats.safetensors --data study.zip other-study --prepare --out predictions
  rewind predict --model cross-validation --data imagesTs --out predictions --tta
  rewind predict --model a b c --ensemble similarity --profile profile.json --data imagesTs \\
    --out predictions --largest-component regions

Research use only, not a medical device";

/// Returns the backend for the options --engine and --device.
fn backend(engine: Option<EngineName>, device: Option<&str>) -> Result<Backend> {
    match engine {
        None => Ok(Backend::from(&device::device(device)?)),
        Some(EngineName::Cpu) => {
            let is_cpu = device.is_none_or(|device| device == "cpu");
            ensure!(
                is_cpu,
                "--device: expected cpu with --engine cpu, found {}",
                device.unwrap_or("")
            );
            Ok(Backend::Cpu)
        }
        Some(EngineName::Burn) => {
            let backend = Backend::from(&device::device(device)?);
            ensure!(
                backend.engine() == EngineName::Burn,
                "--engine burn: expected a GPU, found the device cpu, for which --engine cpu is"
            );
            Ok(backend)
        }
        Some(EngineName::Wgsl) => {
            ensure!(
                device.is_none(),
                "--device: expected none with --engine wgsl, which always uses the fastest GPU"
            );
            let backend = Backend::wgsl()?;
            eprintln!("engine wgsl on {}", backend.describe());
            Ok(backend)
        }
    }
}

/// Runs the command.
pub(super) fn run(args: PredictArgs) -> Result<()> {
    let terminal = Terminal::default();
    let backend = backend(args.engine, args.device.as_deref())?;
    let paths = members::expand(&args.model);
    let bundles = members::read(&paths)?;
    let inputs = match args.prepare {
        true => {
            ensure!(args.split == Split::All, "--split is for data sets, not for --prepare");
            let settings = args.steps.settings(&args.geometry);
            prepared::prepare_all(&args.data, &bundles[0].card, &settings, &args.out, &terminal)?
        }
        false => inputs::find(&args.data, args.split, &paths, &bundles[0].card.task, &terminal)?,
    };
    inputs.notes.iter().for_each(|note| terminal.message(&format!("note: {note}")));
    let text = match &args.profile {
        None => None,
        Some(file) => {
            let bytes = files::read(file, MAX_BYTES)?;
            let text = model_core::utf8_text(&bytes);
            let context = || format!("cannot read {} as a profile", file.display());
            Some(text.with_context(context)?.to_string())
        }
    };
    let profile = text.as_ref().zip(args.profile.as_ref()).map(|(text, file)| {
        let context = || format!("cannot read {} as a profile", file.display());
        Profile::parse(text.as_bytes()).with_context(context)
    });
    let settings = Settings {
        ensemble: args.ensemble,
        largest_component: args.largest_component,
        probabilities: args.probabilities,
        tolerance_voxels: args.geometry.geometry_tolerance,
        ..args.extent.settings()?
    };
    let predictor = Predictor::ensemble(bundles, settings, profile.transpose()?, backend)?;
    let outcome =
        predictor.write_all(&inputs, &args.out, text.as_deref(), args.overwrite, &terminal)?;
    terminal.message(&outcome.summary());
    inputs.unused_files.text().iter().for_each(|text| terminal.message(text));
    println!("{DISCLAIMER}");
    let (num_bad, num_scans) = (outcome.faults.len(), inputs.cases.len() + inputs.faults.len());
    if num_bad > 0 {
        bail!(
            "{num_bad} of {num_scans} scans could not be segmented:\n  {}",
            outcome.faults.join("\n  ")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: ExtentArgs,
    }

    fn settings(args: &[&str]) -> Result<Settings> {
        let args = std::iter::once(&"predict").chain(args);
        Cli::try_parse_from(args)?.args.settings()
    }

    #[test]
    fn a_device_that_an_engine_does_not_use_is_refused() {
        let error = |engine, device| backend(Some(engine), Some(device)).err().unwrap().to_string();
        let text = error(EngineName::Wgsl, "cpu");
        assert!(text.contains("--device") && text.contains("--engine wgsl"), "{text}");
        assert!(error(EngineName::Cpu, "cuda").contains("found cuda"));
        assert!(error(EngineName::Burn, "cpu").contains("--engine cpu"));
    }

    #[test]
    fn tiles_flips_and_memory_are_parsed() {
        let parsed = settings(&["--tile", "64,48,16", "--flip", "right,top"]).unwrap();
        assert_eq!((parsed.tile_dims, parsed.flips), (Some([64, 48, 16]), [true, false, true]));
        // The former names of the options.
        let parsed = settings(&["--mode", "sliding", "--window", "64,48,16"]).unwrap();
        assert_eq!((parsed.mode, parsed.tile_dims), (Mode::Tiles, Some([64, 48, 16])));
        let parsed = settings(&["--tile", "64", "--tta", "--memory", "1.5GiB"]).unwrap();
        assert_eq!((parsed.tile_dims, parsed.flips), (Some([64; 3]), [true; 3]));
        assert_eq!(parsed.memory_bytes, Some(3 << 29));
        assert_eq!(settings(&[]).unwrap(), Settings::default());
        for bad in [
            &["--tile", "64,64"][..],
            &["--flip", "left"],
            &["--tta", "--flip", "top"],
            &["--memory", "8"],
            &["--mode", "half"],
        ] {
            assert!(settings(bad).is_err(), "{bad:?}");
        }
    }
}
