//! `rewind-bench metrics`: the time of each score of `rewind evaluate` on one thread.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use model_core::metrics::{self, Connectivity, EmptyRule, Settings, Surface};
use model_core::{Affine, Grid, LabelMap, Region, formats::nifti};

use crate::stopwatch::{Spread, secs};
use trainer_evaluate::find_task;
use trainer_run::{DISCLAIMER, files};
use trainer_train::estimate::size;

/// Measure the time of each score of `rewind evaluate`, on one thread.
///
/// Scores two label files, or a synthetic tumor of three nested regions. Its prediction also has a
/// voxel in two opposite corners of the volume, so that a region reaches from end to end. Prints the
/// fastest of several runs.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct MetricsArgs {
    /// A prediction and its reference; without them a synthetic case.
    #[arg(num_args = 2, value_names = ["PREDICTED", "REFERENCE"])]
    files: Vec<PathBuf>,
    /// The task whose regions are scored, as for `rewind evaluate`.
    #[arg(long, default_value = "brats2023")]
    task: String,
    /// The synthetic case's voxels as KxJxI.
    #[arg(long, default_value = "155x240x240")]
    size: String,
    /// Number of runs.
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
/// Errors if the files cannot be read or compared, or for an illegal size.
pub fn run(args: &MetricsArgs) -> Result<()> {
    let repeats = args.repeats;
    ensure!(repeats > 0, "--repeats: expected at least 1, found 0");
    let (predicted, reference) = match &args.files[..] {
        [predicted, reference] => read_pair(predicted, reference)?,
        [] => synthetic_pair(size(&args.size)?)?,
        _ => bail!("expected two files or none, found {}", args.files.len()),
    };
    let task = find_task(Some(&args.task), &PathBuf::new())?;
    let regions = task.context("expected a task by name")?.regions.clone();
    let [i, j, k] = reference.grid().dims;
    println!("{k}×{j}×{i} voxels (k, j, i), one thread, best of {repeats}\n");
    println!("{}", table(&predicted, &reference, &regions, repeats)?);
    println!("{DISCLAIMER}");
    Ok(())
}

/// Reads two label files of the same grid, and prints the time.
fn read_pair(predicted: &Path, reference: &Path) -> Result<(LabelMap, LabelMap)> {
    let read = |file: &Path| -> Result<LabelMap> {
        let map = nifti::read_labels(&files::read(file, files::MAX_SCAN_BYTES)?);
        Ok(map.map_err(|error| error.in_file(file.display().to_string()))?)
    };
    let started = Instant::now();
    let maps = (read(predicted)?, read(reference)?);
    println!("reading both files: {:.3} s", started.elapsed().as_secs_f64());
    let same_grid = maps.1.grid().check_same(maps.0.grid());
    same_grid.map_err(|error| error.in_file(predicted.display().to_string()))?;
    Ok(maps)
}

/// A score by name, computed on a region.
type Score<'a> = (&'static str, Box<dyn Fn(&Region) + 'a>);

fn scores<'a>(predicted: &'a LabelMap, reference: &'a LabelMap) -> [Score<'a>; 6] {
    let distances = move |region: &Region, surface: Surface| {
        let distances = metrics::surface_distances(predicted, reference, &region.labels, surface);
        black_box(distances.map(|found| (found.hd95_mm(), found.hd_mm(), found.nsd(1.0))));
    };
    let dice = |region: &Region| {
        let (p, r) = (predicted.labels(), reference.labels());
        black_box(metrics::dice(p, r, &region.labels, EmptyRule::Brats2023));
    };
    let all = |region: &Region| {
        let settings = Settings::default();
        black_box(metrics::score(predicted, reference, &region.labels, &settings));
    };
    let components = |region: &Region| {
        let labels = predicted.labels().iter();
        let mask: Vec<bool> = labels.map(|code| region.labels.contains(code)).collect();
        black_box(metrics::components(&mask, predicted.grid().dims, Connectivity::Corner));
    };
    let lesions = |region: &Region| {
        let labels = &region.labels;
        black_box(metrics::lesion_scores(predicted, reference, labels, Surface::Voxels));
    };
    [
        ("Dice", Box::new(dice)),
        ("HD95, HD, NSD", Box::new(move |region| distances(region, Surface::Voxels))),
        ("the same by area", Box::new(move |region| distances(region, Surface::Areas))),
        ("all scores", Box::new(all)),
        ("components (26)", Box::new(components)),
        ("lesion-wise", Box::new(lesions)),
    ]
}

/// Returns a table of the fastest runs, by score and region.
fn table(
    predicted: &LabelMap,
    reference: &LabelMap,
    regions: &[Region],
    repeats: usize,
) -> Result<String> {
    let mut text = format!("{:16}", "seconds");
    regions.iter().for_each(|region| text += &format!(" {:>16}", region.name));
    text += &format!(" {:>16}\n", "all regions");
    for (name, score) in scores(predicted, reference) {
        text += &format!("{name:16}");
        let mut sum = 0.0;
        for region in regions {
            let measured = || {
                score(region);
                Ok(())
            };
            let run = |_| secs(|| Ok(()), measured);
            let all = (0..repeats).map(run).collect::<Result<Vec<f64>>>()?;
            let Spread { min, .. } = Spread::new(&all);
            sum += min;
            text += &format!(" {min:>16.4}");
        }
        text += &format!(" {sum:>16.4}\n");
    }
    Ok(text)
}

/// Returns a prediction and a reference in the codes of BraTS 2023.
fn synthetic_pair(dims: [usize; 3]) -> Result<(LabelMap, LabelMap)> {
    let num_voxels = dims.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
    let fits = num_voxels.is_some_and(|n| (1..=MAX_VOXELS).contains(&n));
    ensure!(fits, "--size: expected 1 to {MAX_VOXELS} voxels, found {dims:?} (i, j, k)");
    let (mut predicted, reference) = (tumor(dims, 0.03), tumor(dims, 0.0));
    if let [first, .., last] = predicted.labels_mut() {
        (*first, *last) = (3, 3);
    }
    Ok((predicted, reference))
}

/// Returns nested ellipsoids: edema, enhancing rim and necrotic core. `shift` is a share of the
/// volume; a shifted tumor also has waves on its surface.
fn tumor(dims: [usize; 3], shift: f64) -> LabelMap {
    let grid = Grid::new(dims, Affine::IDENTITY);
    let label = |voxel: usize| {
        let ijk = [voxel % dims[0], voxel / dims[0] % dims[1], voxel / (dims[0] * dims[1])];
        let x: [f64; 3] =
            std::array::from_fn(|axis| ijk[axis] as f64 / dims[axis] as f64 - 0.45 - shift);
        let waves = if shift > 0.0 { 0.02 * (40.0 * (x[0] + x[1] - x[2])).sin() } else { 0.0 };
        match x.iter().map(|x| x * x).sum::<f64>().sqrt() + waves {
            radius if radius < 0.10 => 1,
            radius if radius < 0.15 => 3,
            radius if radius < 0.25 => 2,
            _ => 0,
        }
    };
    let labels = (0..grid.num_voxels()).map(label).collect();
    LabelMap::new(grid, labels).expect("a label for each voxel")
}
