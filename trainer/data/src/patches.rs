//! Training patches: drawn at random, cut from preprocessed cases, and prepared by threads while
//! the device trains.

use anyhow::{Context, Result};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::augment::Augmentation;
use crate::cases::{Cases, PreparedCase};
use trainer_run::config::TrainConfig;
use trainer_run::rng::{RngStream, generator, permutation};

mod cut;
mod lesion_mix;
mod prefetch;
mod shard;

pub use cut::{cut_patch, cut_voxels};
pub use prefetch::{BatchPrefetcher, batches, num_workers, prefetch_shard};
pub use shard::BatchShard;

/// The patches that pass the network at once. With several ranks, one rank's shard of a batch,
/// which may be empty.
pub struct Batch {
    /// The batch's number. The batches of one step have consecutive numbers.
    pub number: usize,
    /// `[batch, channel, k, j, i]`.
    pub values: Vec<f32>,
    /// Label codes, `[batch, k, j, i]`.
    pub labels: Vec<u8>,
    /// The names of the cases.
    pub cases: Vec<String>,
}

/// One patch of a batch.
struct Patch {
    values: Vec<f32>,
    labels: Vec<u8>,
    case: String,
}

/// The position of a patch in its case, and its augmentations.
#[derive(Debug, Clone, PartialEq)]
pub struct PatchDraw {
    /// The patch's first voxel. It lies outside the case if the patch is larger.
    pub start: [isize; 3],
    /// The drawn augmentations.
    pub augmentation: Augmentation,
}

/// Makes a batch: a pure function of its number, the settings and the cases.
///
/// # Errors
/// Errors if a case can no longer be read.
pub fn batch(
    config: &TrainConfig,
    cases: &Cases,
    training: &[usize],
    number: usize,
) -> Result<Batch> {
    let samples = number * config.batch..(number + 1) * config.batch;
    let samples = samples.map(|number| sample(config, cases, training, number));
    Batch::collect(number, samples)
}

impl Batch {
    fn collect(number: usize, samples: impl Iterator<Item = Result<Patch>>) -> Result<Batch> {
        let mut batch = Batch { number, values: vec![], labels: vec![], cases: vec![] };
        for sample in samples {
            let Patch { values, labels, case } = sample?;
            // The first patch is moved, so a batch of one patch copies nothing.
            if batch.cases.is_empty() {
                (batch.values, batch.labels) = (values, labels);
            } else {
                batch.values.extend(values);
                batch.labels.extend(labels);
            }
            batch.cases.push(case);
        }
        Ok(batch)
    }
}

/// Makes a patch. Patches are numbered across all batches.
fn sample(config: &TrainConfig, cases: &Cases, training: &[usize], number: usize) -> Result<Patch> {
    // Every pass visits all cases once, in a new random order.
    let (pass, place) = (number / training.len(), number % training.len());
    let mut random = generator(config.seed, RngStream::Order, pass as u64);
    let chosen = training[permutation(&mut random, training.len())[place]];
    let name = cases.name(chosen);
    let case = cases.load(chosen).with_context(|| format!("in the case {name}"))?;
    let mut random = generator(config.seed, RngStream::Patch, number as u64);
    let draw = PatchDraw::draw(&mut random, config, &case);
    let (mut values, mut labels) = cut_voxels(&case, &draw, config.patch);
    // Without mixing nothing is drawn, so that runs of earlier versions continue unchanged.
    if config.augment.lesion_mix > 0.0 && random.random_bool(config.augment.lesion_mix) {
        let other = training[random.random_range(0..training.len())];
        let case =
            cases.load(other).with_context(|| format!("in the case {}", cases.name(other)))?;
        let donor = PatchDraw::draw(&mut random, config, &case);
        let donor = cut_voxels(&case, &donor, config.patch);
        let margin = random.random_range(0..=lesion_mix::MAX_MARGIN);
        lesion_mix::paste(&mut values, &mut labels, &donor, config.patch, margin);
    }
    draw.augmentation.change_intensities(&mut values, config.patch);
    Ok(Patch { values, labels, case: name.to_string() })
}

impl PatchDraw {
    /// Draws a patch: the middle of the case with `full_volume`, else a random position, or one
    /// centered on a voxel of a random label.
    pub fn draw(random: &mut ChaCha8Rng, config: &TrainConfig, case: &PreparedCase) -> PatchDraw {
        let slack: [isize; 3] = std::array::from_fn(|axis| {
            case.input.dims[axis] as isize - config.patch[axis] as isize
        });
        let start = match config.full_volume {
            true => slack.map(|slack| slack.div_euclid(2)),
            false => start(random, config, case, slack),
        };
        let spacing_mm = case.placement.spacing_mm();
        let channels = case.input.channels;
        let augmentation = Augmentation::draw(random, &config.augment, channels, spacing_mm);
        PatchDraw { start, augmentation }
    }
}

fn start(
    random: &mut ChaCha8Rng,
    config: &TrainConfig,
    case: &PreparedCase,
    slack: [isize; 3],
) -> [isize; 3] {
    let dims = case.input.dims;
    let centered = random.random_bool(config.foreground_fraction);
    let mut start = slack.map(|slack| {
        let slack = slack as i64;
        random.random_range(slack.min(0)..=slack.max(0)) as isize
    });
    if centered && !case.centers_by_label.is_empty() {
        let label = &case.centers_by_label[random.random_range(0..case.centers_by_label.len())];
        let voxel = label[random.random_range(0..label.len())] as usize;
        let at = [voxel % dims[0], voxel / dims[0] % dims[1], voxel / dims[0] / dims[1]];
        for axis in 0..3 {
            if slack[axis] > 0 {
                let centered = at[axis] as isize - config.patch[axis] as isize / 2;
                start[axis] = centered.clamp(0, slack[axis]);
            }
        }
    }
    start
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::cases::prepare_case;
    use model_core::{Affine, Case, Grid, LabelMap, Task, UNetConfig, Volume};

    pub(crate) const DIMS: [usize; 3] = [8, 12, 16];

    /// Two channels of distinct values, with one voxel of label 1 and a slab of label 2.
    pub(crate) fn case() -> PreparedCase {
        let grid = Grid::new(DIMS, Affine::IDENTITY);
        let value = |n: usize| ((n * 7919) % 1009) as f32;
        let channel = |c: usize| {
            let values = (0..grid.num_voxels()).map(|n| value(n + c * 5)).collect();
            Volume::new(grid.clone(), values).unwrap()
        };
        let mut labels = vec![0; grid.num_voxels()];
        labels[grid.index([6, 2, 13])] = 1;
        labels[..96].fill(2);
        let labels = LabelMap::new(grid.clone(), labels).unwrap();
        let names = vec![(1, "one".to_string()), (2, "two".to_string())];
        let task = Task::exclusive("test", vec!["a".into(), "b".into()], names).unwrap();
        let case = Case::new("test", vec![channel(0), channel(1)], Some(labels), &task).unwrap();
        let demo = UNetConfig::preset("demo", 2, 3).unwrap();
        let network = demo.with(|demo| demo.widths.truncate(2)).unwrap();
        prepare_case(case, &TrainConfig::default().preprocess, &network).unwrap().0
    }

    #[test]
    fn centered_patches_contain_each_label_equally_often() {
        let case = case();
        let augment = trainer_run::config::AugmentSettings::none();
        let patch = [4; 3];
        let config =
            TrainConfig { patch, augment, foreground_fraction: 1.0, ..TrainConfig::default() };
        let mut with_one = 0;
        for number in 0..200 {
            let mut random = generator(0, RngStream::Patch, number);
            let draw = PatchDraw::draw(&mut random, &config, &case);
            let labels = cut_patch(&case, &draw, config.patch).1;
            assert!(labels.iter().any(|&label| label != 0));
            with_one += usize::from(labels.contains(&1));
        }
        assert!((70..130).contains(&with_one), "{with_one}");
    }

    #[test]
    fn a_full_volume_is_always_the_middle_of_the_case() {
        let case = case();
        let patch = [6, 12, 20];
        let config = TrainConfig { patch, full_volume: true, ..TrainConfig::default() };
        for number in 0..20 {
            let mut random = generator(0, RngStream::Patch, number);
            assert_eq!(PatchDraw::draw(&mut random, &config, &case).start, [1, 0, -2]);
        }
    }
}
