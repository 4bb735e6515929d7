//! `rewind-bench augment`: how long a patch takes to be cut and changed, on one core.

use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;
use model_core::{Affine, Case, Grid, LabelMap, PreprocessConfig, Task, UNetConfig, Volume};
use rand_chacha::ChaCha8Rng;

use trainer_data::augment::Augmentation;
use trainer_data::cases::{PreparedCase, prepare_case};
use trainer_data::patches::{PatchDraw, cut_patch};
use trainer_run::DISCLAIMER;
use trainer_run::config::{AUGMENTATIONS, AugmentSettings};
use trainer_run::rng::{RngStream, generator, normal};

/// Measure what augmentation takes.
///
/// Cuts patches from a scan of random numbers, of the same size, on one core: unchanged, with each
/// change alone, done to every channel, and with the sets of the settings as often as these say.
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
    /// Patches of each kind; the median of their times is printed, and for sets their mean.
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
/// For a size that is none.
pub fn run(args: &AugmentArgs) -> Result<()> {
    ensure!(args.size.len() != 2, "--size: expected one number or three, found two");
    let patch: [usize; 3] = std::array::from_fn(|axis| args.size[axis % args.size.len()]);
    let values = patch.iter().try_fold(args.channels, |product, &n| product.checked_mul(n));
    ensure!(
        values.is_some_and(|values| (1..=MAX_VALUES).contains(&values)) && args.repeat > 0,
        "--size: expected 1 to {MAX_VALUES} values and at least one patch, found {} channels of \
         {patch:?}, {} times",
        args.channels,
        args.repeat
    );
    let case = case(patch, args.channels)?;
    let [i, j, k] = patch;
    println!("a patch of {i} × {j} × {k} voxels, {} channels, on one core\n", args.channels);
    for (name, settings) in transforms() {
        let mut times = times(&case, &settings, patch, args.repeat);
        times.sort_by(f64::total_cmp);
        println!("{name:22} {:7.1} ms", times[times.len() / 2]);
    }
    println!();
    for name in AUGMENTATIONS {
        let settings = AugmentSettings::preset(name).expect("a known set");
        // Enough that changes come about as often as they should.
        let times = times(&case, &settings, patch, 3 * args.repeat);
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        let most = times.iter().copied().fold(0.0, f64::max);
        println!("{name:22} {mean:7.1} ms, at most {most:.1}");
    }
    println!("\n{DISCLAIMER}");
    Ok(())
}

/// Each change by itself.
fn transforms() -> Vec<(&'static str, AugmentSettings)> {
    let none = AugmentSettings::none;
    vec![
        ("nothing", none()),
        ("flip", AugmentSettings { flip: [true; 3], ..none() }),
        ("rotation", AugmentSettings { rotate_degrees: [30.0; 3], ..none() }),
        ("scale", AugmentSettings { scale: [0.4; 3], ..none() }),
        ("elastic", AugmentSettings { elastic_voxels: [10.0; 3], ..none() }),
        (
            "all three",
            AugmentSettings {
                rotate_degrees: [30.0; 3],
                scale: [0.4; 3],
                elastic_voxels: [10.0; 3],
                ..none()
            },
        ),
        ("bias field", AugmentSettings { bias: 0.3, ..none() }),
        ("gamma", AugmentSettings { gamma: 0.5, ..none() }),
        ("gain and shift", AugmentSettings { gain: 0.1, shift: 0.1, ..none() }),
        ("noise", AugmentSettings { noise: 0.3, ..none() }),
    ]
}

/// Milliseconds of each patch.
fn times(
    case: &PreparedCase,
    settings: &AugmentSettings,
    patch: [usize; 3],
    count: usize,
) -> Vec<f64> {
    let start: [isize; 3] =
        std::array::from_fn(|axis| (case.input.dims[axis] as isize - patch[axis] as isize) / 2);
    let time = |number: usize| {
        let random: &mut ChaCha8Rng = &mut generator(0, RngStream::Patch, number as u64);
        let started = Instant::now();
        let augmentation = Augmentation::draw(random, settings, case.input.channels, [1.0; 3]);
        let (values, _) = cut_patch(case, &PatchDraw { start, augmentation }, patch);
        std::hint::black_box(values);
        started.elapsed().as_secs_f64() * 1000.0
    };
    (0..count).map(time).collect()
}

/// A scan of noise with one label.
fn case(dims: [usize; 3], channels: usize) -> Result<PreparedCase> {
    let grid = Grid::new(dims, Affine::IDENTITY);
    let channel = |n: usize| {
        let noise = normal(generator(n as u64, RngStream::Patch, 0));
        Volume::new(grid.clone(), noise.take(grid.num_voxels()).collect())
    };
    let volumes = (0..channels).map(channel).collect::<model_core::Result<_>>()?;
    let labels = (0..grid.num_voxels()).map(|n| u8::from(n % 5 == 0)).collect();
    let labels = Some(LabelMap::new(grid.clone(), labels)?);
    let names = (0..channels).map(|n| n.to_string()).collect();
    let task = Task::exclusive("noise", names, vec![(1, "some".to_string())]);
    let case = Case::new("noise", volumes, labels, &task)?;
    let network =
        UNetConfig { widths: vec![8], groups: 4, ..UNetConfig::preset("demo", channels, 2)? };
    Ok(prepare_case(case, &PreprocessConfig::default(), &network)?.0)
}
