//! The command `rewind predict`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use clap::builder::PossibleValuesParser;

use super::geometry::GeometryArgs;
use trainer_predict::backend::{Backend, EngineName};
use trainer_predict::inputs::{self, Split};
use trainer_predict::profile::{MAX_BYTES, Profile};
use trainer_predict::settings::{AXES, Ensemble, LargestComponent, Mode, Settings};
use trainer_predict::{Predictor, members};
use trainer_run::reporter::{Reporter, Terminal};
use trainer_run::{DISCLAIMER, files};
use trainer_train::device;
use trainer_train::estimate;

/// Segment scans with a model, or with several.
///
/// Writes a label map for each scan, NAME.nii.gz, on the scan's own grid, and a record, NAME.json, with
/// the models and settings. Prints the volume of every region in ml. All scans are tried; faults are
/// listed at the end, and the exit status is then 1.
///
/// The same command continues an interrupted run: results of the same models, settings and scans are
/// kept. Other results are replaced only with --overwrite.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PredictArgs {
    /// Bundles or the folders of runs. A folder with fold-0, fold-1, … stands for all of its folds.
    #[arg(long, num_args = 1.., required = true)]
    model: Vec<PathBuf>,
    /// The folder of a data set, folders of scans, or files. A folder of scans holds files with all
    /// channels, or a file for each channel (CASE_0000.nii.gz, or by name as CASE_flair.nii.gz), of
    /// which the model's channels are used. Files are one for each case with all channels, or one for
    /// each channel of a single case.
    #[arg(long, num_args = 1.., required = true)]
    data: Vec<PathBuf>,
    /// The folder for the results.
    #[arg(long)]
    out: PathBuf,
    /// The part of a data set. `training` and `held-out` need the folders of runs as --model.
    #[arg(long, value_enum, default_value = "all")]
    split: Split,
    #[command(flatten)]
    extent: ExtentArgs,
    #[command(flatten)]
    geometry: GeometryArgs,
    /// The combination of several models.
    #[arg(long, value_enum, default_value = "mean")]
    ensemble: Ensemble,
    /// The profile by which `similarity` and `literal` select a model: a file of `rewind profile`.
    #[arg(long)]
    profile: Option<PathBuf>,
    /// Keeps only the largest component (26 neighbors) of all labels together, or of each region.
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "foreground")]
    largest_component: Option<LargestComponent>,
    /// Also writes each region's probabilities as the channels of probabilities/NAME.nii.gz.
    #[arg(long)]
    probabilities: bool,
    /// Replaces existing results.
    #[arg(long)]
    overwrite: bool,
    /// The software that runs the networks.
    #[arg(long, value_enum, default_value = "burn")]
    engine: EngineName,
    /// The device of the engine `burn`: cpu, wgpu, wgpu:N, cuda or cuda:N. By default the best that is
    /// compiled in and present.
    #[arg(long)]
    device: Option<String>,
}

/// The part of a volume that a network sees at once, and flips.
#[derive(Args)]
pub(super) struct ExtentArgs {
    /// The part of a volume that a network sees at once. Tiles are another function than the full
    /// volume: the network's norms take their statistics from what the network sees.
    #[arg(long, value_enum, default_value = "auto")]
    mode: Mode,
    /// The memory limit of `auto`, such as 8GiB. By default nine tenths of the machine's free memory.
    /// A graphics card does not report its memory: without this option the full volume is tried
    /// there. With the engine `wgsl` it limits the allocations on the GPU in all modes, and `auto`
    /// stores feature maps in f16 or in slabs but never uses tiles.
    #[arg(long, value_parser = estimate::memory)]
    memory: Option<u64>,
    /// The tile in voxels: one number, or three along right, front, top. By default the model's
    /// training patch. The logits of tiles are averaged with Gaussian weights.
    #[arg(long, alias = "window", value_delimiter = ',', num_args = 1..=3)]
    tile: Option<Vec<usize>>,
    /// The least share of a tile that overlaps with the next tile.
    #[arg(long, default_value_t = 0.5)]
    overlap: f64,
    /// Averages the probabilities over all combinations of flips along these axes (right, front,
    /// top). Name the axes that training mirrored. Two axes take four times as long, three eight.
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
  rewind predict --model cross-validation --data imagesTs --out predictions --tta
  rewind predict --model a b c --ensemble similarity --profile profile.json --data imagesTs \\
    --out predictions --largest-component regions

Research use only, not a medical device";

/// Opens the device that the options name.
fn backend(engine: EngineName, device: Option<&str>) -> Result<Backend> {
    if engine == EngineName::Burn {
        return Ok(Backend::from(&device::device(device)?));
    }
    ensure!(
        device.is_none(),
        "--device: expected it only with --engine burn, found it with wgsl, which uses the fastest GPU"
    );
    let backend = Backend::wgsl()?;
    eprintln!("engine wgsl on {}", backend.describe());
    Ok(backend)
}

/// Runs the command.
pub(super) fn run(args: PredictArgs) -> Result<()> {
    let terminal = Terminal::default();
    let backend = backend(args.engine, args.device.as_deref())?;
    let paths = members::expand(&args.model);
    let bundles = members::read(&paths)?;
    let inputs = inputs::find(&args.data, args.split, &paths, &bundles[0].card.task, &terminal)?;
    inputs.notes.iter().for_each(|note| terminal.message(&format!("note: {note}")));
    let text = match &args.profile {
        None => None,
        Some(file) => {
            let bytes = files::read(file, MAX_BYTES)?;
            let text = model_core::utf8_text(&bytes);
            let about = || format!("cannot read {} as a profile", file.display());
            Some(text.with_context(about)?.to_string())
        }
    };
    let profile = text.as_ref().zip(args.profile.as_ref()).map(|(text, file)| {
        let about = || format!("cannot read {} as a profile", file.display());
        Profile::parse(text.as_bytes()).with_context(about)
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
    let (bad, all) = (outcome.faults.len(), inputs.cases.len() + inputs.faults.len());
    if bad > 0 {
        bail!("{bad} of {all} scans could not be segmented:\n  {}", outcome.faults.join("\n  "));
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
    fn a_burn_device_is_refused_with_the_other_engine() {
        let error = backend(EngineName::Wgsl, Some("cpu")).err().unwrap().to_string();
        assert!(error.contains("--device") && error.contains("--engine burn"), "{error}");
    }

    #[test]
    fn tiles_flips_and_memory_are_parsed() {
        let found = settings(&["--tile", "64,48,16", "--flip", "right,top"]).unwrap();
        assert_eq!((found.tile_dims, found.flips), (Some([64, 48, 16]), [true, false, true]));
        // The former names of the options.
        let found = settings(&["--mode", "sliding", "--window", "64,48,16"]).unwrap();
        assert_eq!((found.mode, found.tile_dims), (Mode::Tiles, Some([64, 48, 16])));
        let found = settings(&["--tile", "64", "--tta", "--memory", "1.5GiB"]).unwrap();
        assert_eq!((found.tile_dims, found.flips), (Some([64; 3]), [true; 3]));
        assert_eq!(found.memory_bytes, Some(3 << 29));
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
