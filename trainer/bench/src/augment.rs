//! `rewind-bench augment`: the time to cut and augment a patch on one core.

use std::hint::black_box;

use anyhow::{Result, ensure};
use clap::Args;
use model_core::{Affine, Case, Grid, LabelMap, PreprocessConfig, Task, UNetConfig, Volume};

use crate::stopwatch::{Spread, secs};
use trainer_data::augment::Augmentation;
use trainer_data::cases::{PreparedCase, prepare_case};
use trainer_data::patches::{PatchDraw, cut_patch};
use trainer_run::DISCLAIMER;
use trainer_run::config::{AUGMENTATIONS, AugmentSettings};
use trainer_run::rng::{RngStream, generator, normal};

/// Measure the time of augmentation.
///
/// Cuts patches from a scan of random numbers of the same size, on one core: unchanged, with each
/// transform alone on every channel, and with the presets of the settings, as often as these apply
/// their transforms.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct AugmentArgs {
    /// Size of the patch: one number, or three along right, front, top.
    #[arg(long, value_delimiter = ',', num_args = 1..=3, default_value = "128")]
    size: Vec<usize>,
    /// Channels of the scan.
    #[arg(long, default_value_t = 4)]
    channels: usize,
    /// Patches for each transform, whose median time is printed; three times as many for each preset,
    /// whose mean is printed.
    #[arg(long, default_value_t = 10)]
    repeat: usize,
}

const EXAMPLES: &str = "\
Example:
  rewind-bench augment --size 160,192,160

Research use only, not a medical device";

/// The largest patch, in values.
const MAX_VALUES: usize = 1 << 28;

/// Runs the command.
///
/// # Errors
/// Errors for an illegal size.
pub fn run(args: &AugmentArgs) -> Result<()> {
    ensure!(args.size.len() != 2, "--size: expected one number or three, found two");
    let patch: [usize; 3] = std::array::from_fn(|axis| args.size[axis % args.size.len()]);
    let num_values = patch.iter().try_fold(args.channels, |product, &n| product.checked_mul(n));
    ensure!(
        num_values.is_some_and(|n| (1..=MAX_VALUES).contains(&n)) && args.repeat > 0,
        "--size: expected 1 to {MAX_VALUES} values and at least one patch, found {} channels of \
         {patch:?}, {} times",
        args.channels,
        args.repeat
    );
    let case = noise_case(patch, args.channels)?;
    let [i, j, k] = patch;
    println!("a patch of {i} × {j} × {k} voxels, {} channels, on one core\n", args.channels);
    for (name, settings) in transforms() {
        let Spread { median, .. } = Spread::new(&patch_secs(&case, &settings, patch, args.repeat)?);
        println!("{name:22} {:7.1} ms", 1e3 * median);
    }
    println!();
    for name in AUGMENTATIONS {
        let settings = AugmentSettings::preset(name).expect("a known preset");
        // Enough patches that transforms are applied about as often as they should.
        let secs = patch_secs(&case, &settings, patch, 3 * args.repeat)?;
        let mean = secs.iter().sum::<f64>() / secs.len() as f64;
        println!("{name:22} {:7.1} ms, at most {:.1}", 1e3 * mean, 1e3 * Spread::new(&secs).max);
    }
    println!("\n{DISCLAIMER}");
    Ok(())
}

/// Returns each transform alone.
fn transforms() -> Vec<(&'static str, AugmentSettings)> {
    let none = AugmentSettings::none;
    let (rotate_degrees, scale, elastic_voxels) = ([30.0; 3], [0.4; 3], [10.0; 3]);
    vec![
        ("nothing", none()),
        ("flip", AugmentSettings { flip: [true; 3], ..none() }),
        ("rotation", AugmentSettings { rotate_degrees, ..none() }),
        ("scale", AugmentSettings { scale, ..none() }),
        ("elastic", AugmentSettings { elastic_voxels, ..none() }),
        ("all three", AugmentSettings { rotate_degrees, scale, elastic_voxels, ..none() }),
        ("bias field", AugmentSettings { bias: 0.3, ..none() }),
        ("gamma", AugmentSettings { gamma: 0.5, ..none() }),
        ("gain and shift", AugmentSettings { gain: 0.1, shift: 0.1, ..none() }),
        ("blur", AugmentSettings { blur: 1.0, ..none() }),
        ("low resolution", AugmentSettings { low_resolution: 2.0, ..none() }),
        ("noise", AugmentSettings { noise: 0.3, ..none() }),
    ]
}

/// Returns the seconds of each of `count` patches.
fn patch_secs(
    case: &PreparedCase,
    settings: &AugmentSettings,
    patch: [usize; 3],
    count: usize,
) -> Result<Vec<f64>> {
    let start: [isize; 3] =
        std::array::from_fn(|axis| (case.input.dims[axis] as isize - patch[axis] as isize) / 2);
    let cut = |number: usize| {
        let mut rng = generator(0, RngStream::Patch, number as u64);
        let augmentation = Augmentation::draw(&mut rng, settings, case.input.channels, [1.0; 3]);
        black_box(cut_patch(case, &PatchDraw { start, augmentation }, patch).0)
    };
    (0..count).map(|number| secs(|| Ok(()), || Ok(cut(number)))).collect()
}

/// Returns a scan of noise with one label.
fn noise_case(dims: [usize; 3], channels: usize) -> Result<PreparedCase> {
    let grid = Grid::new(dims, Affine::IDENTITY);
    let channel = |n: usize| {
        let noise = normal(generator(n as u64, RngStream::Patch, 0));
        Volume::new(grid.clone(), noise.take(grid.num_voxels()).collect())
    };
    let volumes = (0..channels).map(channel).collect::<model_core::Result<_>>()?;
    let labels = (0..grid.num_voxels()).map(|n| u8::from(n % 5 == 0)).collect();
    let labels = Some(LabelMap::new(grid.clone(), labels)?);
    let names = (0..channels).map(|n| n.to_string()).collect();
    let task = Task::exclusive("noise", names, vec![(1, "some".to_string())])?;
    let case = Case::new("noise", volumes, labels, &task)?;
    let demo = UNetConfig::preset("demo", channels, 2)?;
    let network = demo.with(|demo| (demo.widths, demo.groups) = (vec![8], Some(4)))?;
    Ok(prepare_case(case, &PreprocessConfig::default(), &network)?.0)
}
