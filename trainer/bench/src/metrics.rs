//! `rewind-bench metrics`: how long each measure of `rewind evaluate` takes on one thread.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use model_core::metrics::{self, Connectivity, EmptyRule, Settings, Surface};
use model_core::{Affine, Grid, LabelMap, Region, formats::nifti};

use trainer_evaluate::find_task;
use trainer_run::{DISCLAIMER, files};
use trainer_train::estimate::size;

/// Measure how long each score of `rewind evaluate` takes, on one thread.
///
/// On two given label files, or on a synthetic tumor of three nested regions with a prediction that
/// also has a voxel in two opposite corners of the volume, so that a region reaches from end to end.
/// The best of several runs is told.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct MetricsArgs {
    /// A prediction and its reference; without them a synthetic case is made.
    #[arg(num_args = 2, value_names = ["PREDICTED", "REFERENCE"])]
    files: Vec<PathBuf>,
    /// What the regions are, as for `rewind evaluate`.
    #[arg(long, default_value = "brats2023")]
    task: String,
    /// The synthetic case's voxels as KxJxI.
    #[arg(long, default_value = "155x240x240")]
    size: String,
    /// How many runs.
    #[arg(long, default_value_t = 3)]
    repeats: usize,
}

const EXAMPLES: &str = "\
Examples:
  rewind-bench metrics
  rewind-bench metrics predicted.nii.gz expert.nii.gz --task brats2023

Research use only, not a medical device";

/// The largest synthetic case.
const MAX_VOXELS: usize = 1 << 29;

/// Runs the command.
///
/// # Errors
/// When the files cannot be read or compared, or the size is none.
pub(super) fn run(args: &MetricsArgs) -> Result<()> {
    ensure!(args.repeats > 0, "--repeats: expected at least 1, found 0");
    let repeats = args.repeats;
    let (predicted, reference) = match &args.files[..] {
        [predicted, reference] => {
            let read = |file: &PathBuf| -> Result<LabelMap> {
                let bytes = files::read(file, files::MAX_SCAN_BYTES)?;
                let map = nifti::read_labels(&bytes);
                Ok(map.map_err(|error| error.in_file(file.display().to_string()))?)
            };
            let started = Instant::now();
            let maps = (read(predicted)?, read(reference)?);
            println!("reading both files: {:.3} s", started.elapsed().as_secs_f64());
            let same = maps.1.grid().check_same(maps.0.grid());
            same.map_err(|error| error.in_file(predicted.display().to_string()))?;
            maps
        }
        [] => synthetic(size(&args.size)?)?,
        _ => bail!("expected two files or none, found {}", args.files.len()),
    };
    let task = find_task(Some(&args.task), &PathBuf::new())?;
    let regions = task.context("expected a task by name")?.regions;
    let [i, j, k] = reference.grid().dims;
    println!("{k}×{j}×{i} voxels (k, j, i), one thread, best of {repeats}\n");
    println!("{}", table(&predicted, &reference, &regions, repeats));
    println!("{DISCLAIMER}");
    Ok(())
}

/// A measure by name, run on a region.
type Step<'a> = (&'static str, Box<dyn Fn(&Region) + 'a>);

fn table(predicted: &LabelMap, reference: &LabelMap, regions: &[Region], repeats: usize) -> String {
    let settings = Settings::default();
    let (p, r) = (predicted.labels(), reference.labels());
    let mask = |region: &Region| -> Vec<bool> {
        p.iter().map(|code| region.labels.contains(code)).collect()
    };
    let distances = |region: &Region, surface: Surface| {
        let found = metrics::surface_distances(predicted, reference, &region.labels, surface);
        black_box(found.map(|found| (found.hd95_mm(), found.hd_mm(), found.nsd(1.0))));
    };
    let steps: [Step; 6] = [
        (
            "Dice",
            Box::new(|region| {
                black_box(metrics::dice(p, r, &region.labels, EmptyRule::Brats2023));
            }),
        ),
        ("HD95, HD, NSD", Box::new(|region| distances(region, Surface::Voxels))),
        ("the same by area", Box::new(|region| distances(region, Surface::Areas))),
        (
            "all scores",
            Box::new(|region| {
                black_box(metrics::score(predicted, reference, &region.labels, &settings));
            }),
        ),
        (
            "components (26)",
            Box::new(|region| {
                let mask = mask(region);
                black_box(metrics::components(&mask, predicted.grid().dims, Connectivity::Corner));
            }),
        ),
        (
            "lesion-wise",
            Box::new(|region| {
                black_box(metrics::lesion_scores(
                    predicted,
                    reference,
                    &region.labels,
                    Surface::Voxels,
                ));
            }),
        ),
    ];
    let mut text = format!("{:16}", "seconds");
    regions.iter().for_each(|region| text += &format!(" {:>16}", region.name));
    text += &format!(" {:>16}\n", "all regions");
    for (name, step) in &steps {
        text += &format!("{name:16}");
        let mut sum = 0.0;
        for region in regions {
            let time = |_| {
                let started = Instant::now();
                step(region);
                started.elapsed().as_secs_f64()
            };
            let best = (0..repeats).map(time).fold(f64::INFINITY, f64::min);
            sum += best;
            text += &format!(" {best:>16.4}");
        }
        text += &format!(" {sum:>16.4}\n");
    }
    text
}

/// A prediction and a reference in the codes of BraTS 2023.
fn synthetic(dims: [usize; 3]) -> Result<(LabelMap, LabelMap)> {
    let num_voxels = dims.iter().try_fold(1usize, |all, &n| all.checked_mul(n));
    let fits = num_voxels.is_some_and(|n| (1..=MAX_VOXELS).contains(&n));
    ensure!(fits, "--size: expected 1 to {MAX_VOXELS} voxels, found {dims:?} (i, j, k)");
    let mut predicted = tumor(dims, 0.03);
    let reference = tumor(dims, 0.0);
    if let [first, .., last] = predicted.labels_mut() {
        (*first, *last) = (3, 3);
    }
    Ok((predicted, reference))
}

/// Ellipsoids in one another: edema, enhancing rim and necrotic core; moved by a share of the
/// volume, and then with waves on its surface.
fn tumor(dims: [usize; 3], moved: f64) -> LabelMap {
    let grid = Grid::new(dims, Affine::IDENTITY);
    let mut labels = Vec::with_capacity(grid.num_voxels());
    for k in 0..dims[2] {
        for j in 0..dims[1] {
            for i in 0..dims[0] {
                let at: [f64; 3] = std::array::from_fn(|axis| {
                    [i, j, k][axis] as f64 / dims[axis] as f64 - 0.45 - moved
                });
                let waves =
                    if moved > 0.0 { 0.02 * (40.0 * (at[0] + at[1] - at[2])).sin() } else { 0.0 };
                let radius = at.iter().map(|x| x * x).sum::<f64>().sqrt() + waves;
                labels.push(match radius {
                    r if r < 0.10 => 1,
                    r if r < 0.15 => 3,
                    r if r < 0.25 => 2,
                    _ => 0,
                });
            }
        }
    }
    LabelMap::new(grid, labels).expect("a label for each voxel")
}
