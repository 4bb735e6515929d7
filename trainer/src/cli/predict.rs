//! `rewind predict`: its options.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use clap::builder::PossibleValuesParser;

use super::geometry::GeometryArgs;
use trainer_predict::backend::{Backend, EngineName};
use trainer_predict::inputs::{self, Split};
use trainer_predict::profile::{MAX_BYTES, Profile};
use trainer_predict::settings::{AXES, Ensemble, Largest, Mode, Settings};
use trainer_predict::{Predictor, members};
use trainer_run::{DISCLAIMER, files};
use trainer_train::device;
use trainer_train::estimate;

/// Segment scans with a model, or with several.
///
/// Writes one label map a scan, NAME.nii.gz, on the scan's own grid, and beside it NAME.json: which
/// models made it and how. Prints the volume of every region in ml. All scans are tried; what is
/// wrong with some is told at the end, and the exit status says so.
///
/// Started again, the command goes on: results that the same models and settings made of the same
/// scans are kept. Others are not touched without --overwrite.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PredictArgs {
    /// Bundles, or the folders of runs; a folder with fold-0, fold-1, … stands for all of those.
    #[arg(long, num_args = 1.., required = true)]
    model: Vec<PathBuf>,
    /// The folder of a data set; folders of scans: files with all channels, or files for each
    /// channel (CASE_0000.nii.gz, or by name as CASE_flair.nii.gz), of which the model's are taken;
    /// or files: one with all channels for each case, or for one case a file for each channel.
    #[arg(long, num_args = 1.., required = true)]
    data: Vec<PathBuf>,
    /// Where the label maps go.
    #[arg(long)]
    out: PathBuf,
    /// Which cases of a data set; `training` and `held-out` need runs' folders as --model.
    #[arg(long, value_enum, default_value = "all")]
    split: Split,
    #[command(flatten)]
    shown: ShownArgs,
    #[command(flatten)]
    geometry: GeometryArgs,
    /// How several models become one answer.
    #[arg(long, value_enum, default_value = "mean")]
    ensemble: Ensemble,
    /// What `similarity` and `literal` select by: a file that `rewind profile` wrote. They alone
    /// take one.
    #[arg(long)]
    profile: Option<PathBuf>,
    /// Keeps only the largest connected part (26 neighbors): of all that is labeled, or of every
    /// region by itself.
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "foreground")]
    largest_component: Option<Largest>,
    /// Also writes each region's probabilities as the channels of probabilities/NAME.nii.gz.
    #[arg(long)]
    probabilities: bool,
    /// Makes results again that are there already, whatever made them.
    #[arg(long)]
    overwrite: bool,
    /// What runs the networks.
    #[arg(long, value_enum, default_value = "burn")]
    engine: EngineName,
    /// burn's: cpu, wgpu, wgpu:N, cuda or cuda:N; by default the best that is compiled in and
    /// present.
    #[arg(long)]
    device: Option<String>,
}

/// What a network is shown.
#[derive(Args)]
pub(super) struct ShownArgs {
    /// What a network is shown at once. A sliding window is another function than the full volume:
    /// the network's norms take their statistics from what they see.
    #[arg(long, value_enum, default_value = "auto")]
    mode: Mode,
    /// What `auto` may hold, such as 8GiB; by default nine tenths of what the machine has free. A
    /// graphics card does not tell: there the full volume is tried unless this says otherwise. With
    /// the engine `wgsl` it is what may be allocated on the GPU: all modes keep to it, and `auto`
    /// stores maps in f16 or works in parts rather than slide a window.
    #[arg(long, value_parser = estimate::memory)]
    memory: Option<u64>,
    /// The sliding window: one number, or three along right, front, top; by default the patch that
    /// the model was trained on. Windows are averaged with Gaussian weights.
    #[arg(long, value_delimiter = ',', num_args = 1..=3)]
    window: Option<Vec<usize>>,
    /// The least share of a window that the next one overlaps.
    #[arg(long, default_value_t = 0.5)]
    overlap: f64,
    /// Averages the probabilities over all combinations of flips along these axes (right, front,
    /// top). Name those that training mirrored: two axes take four times as long, three eight.
    #[arg(long, value_delimiter = ',', value_parser = PossibleValuesParser::new(AXES))]
    flip: Vec<String>,
    /// All three: --flip right,front,top.
    #[arg(long, conflicts_with = "flip")]
    tta: bool,
}

impl ShownArgs {
    /// The settings of these options.
    pub(super) fn settings(&self) -> Result<Settings> {
        let window = match self.window.as_deref() {
            None => None,
            Some([_, _]) => bail!("--window: expected one number or three, found two"),
            Some(window) => Some(std::array::from_fn(|axis| window[axis % window.len()])),
        };
        Ok(Settings {
            mode: self.mode,
            memory_bytes: self.memory,
            window,
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

/// What the options name.
fn backend(engine: EngineName, device: Option<&str>) -> Result<Backend> {
    if engine == EngineName::Burn {
        return Ok(Backend::from(&device::device(device)?));
    }
    ensure!(
        device.is_none(),
        "--device: expected it with --engine burn alone, found it with wgsl, which takes the fastest \
         GPU that the driver names"
    );
    let backend = Backend::wgsl()?;
    eprintln!("engine wgsl on {}", backend.describe());
    Ok(backend)
}

/// Runs the command.
pub(super) fn run(args: PredictArgs) -> Result<()> {
    let backend = backend(args.engine, args.device.as_deref())?;
    let paths = members::expand(&args.model);
    let bundles = members::read(&paths)?;
    let inputs = inputs::find(&args.data, args.split, &paths, &bundles[0].card.task)?;
    inputs.notes.iter().for_each(|note| eprintln!("note: {note}"));
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
        largest: args.largest_component,
        probabilities: args.probabilities,
        tolerance_voxels: args.geometry.geometry_tolerance,
        ..args.shown.settings()?
    };
    let predictor = Predictor::of(bundles, settings, profile.transpose()?, backend)?;
    let outcome = predictor.write_all(&inputs, &args.out, text.as_deref(), args.overwrite)?;
    eprintln!("{}", outcome.summary());
    if !inputs.unused_files.is_empty() {
        eprintln!("{}", inputs.unused_files.text());
    }
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
    struct Shown {
        #[command(flatten)]
        args: ShownArgs,
    }

    fn settings(args: &[&str]) -> Result<Settings> {
        let args = std::iter::once(&"predict").chain(args);
        Shown::try_parse_from(args)?.args.settings()
    }

    #[test]
    fn a_device_of_burns_is_refused_with_the_other_engine() {
        let error = backend(EngineName::Wgsl, Some("cpu")).err().unwrap().to_string();
        assert!(error.contains("--device") && error.contains("--engine burn"), "{error}");
    }

    #[test]
    fn windows_flips_and_memory_are_read_as_they_are_written() {
        let found = settings(&["--window", "64,48,16", "--flip", "right,top"]).unwrap();
        assert_eq!((found.window, found.flips), (Some([64, 48, 16]), [true, false, true]));
        let found = settings(&["--window", "64", "--tta", "--memory", "1.5GiB"]).unwrap();
        assert_eq!((found.window, found.flips), (Some([64; 3]), [true; 3]));
        assert_eq!(found.memory_bytes, Some(3 << 29));
        assert_eq!(settings(&[]).unwrap(), Settings::default());
        for bad in [
            &["--window", "64,64"][..],
            &["--flip", "left"],
            &["--tta", "--flip", "top"],
            &["--memory", "8"],
            &["--mode", "half"],
        ] {
            assert!(settings(bad).is_err(), "{bad:?}");
        }
    }
}
