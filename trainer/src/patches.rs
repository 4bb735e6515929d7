//! Patches: which are drawn at each step, and how they are cut from a preprocessed case.

use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use anyhow::Result;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::augment::Augmentation;
use crate::cases::{Cases, Prepared};
use crate::config::TrainConfig;
use crate::draws::{Purpose, generator, permutation};

/// What one step is trained on.
pub struct Batch {
    /// Its number: the batches of one step follow each other.
    pub number: usize,
    /// `[batch, channel, k, j, i]`.
    pub values: Vec<f32>,
    /// `[batch, k, j, i]`, codes.
    pub labels: Vec<u8>,
    /// The names of the cases.
    pub cases: Vec<String>,
}

/// Where a patch lies in its case, and how it is changed.
#[derive(Debug, Clone, PartialEq)]
pub struct PatchDraw {
    /// Its first voxel; outside of the case where the patch is larger.
    pub start: [isize; 3],
    /// Random changes.
    pub augmentation: Augmentation,
}

/// The batches of these numbers, prepared on a thread of its own while the network trains;
/// `training` are the numbers of the cases to draw from.
pub fn batches(
    config: &TrainConfig,
    cases: &Cases,
    training: &[usize],
    numbers: Range<usize>,
) -> Receiver<Result<Batch>> {
    let (sender, receiver) = sync_channel(2);
    let (config, cases, training) = (config.clone(), cases.clone(), training.to_vec());
    thread::spawn(move || {
        for number in numbers {
            let batch = batch(&config, &cases, &training, number);
            let failed = batch.is_err();
            // The other end hangs up when training stops early.
            if sender.send(batch).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

/// The batch of a number, a function of the settings, the cases and that.
///
/// # Errors
/// When a case that is not kept in memory cannot be read again.
pub fn batch(
    config: &TrainConfig,
    cases: &Cases,
    training: &[usize],
    number: usize,
) -> Result<Batch> {
    let mut batch = Batch { number, values: Vec::new(), labels: Vec::new(), cases: Vec::new() };
    for number in number * config.batch..(number + 1) * config.batch {
        // Every pass goes through all cases in an order of its own.
        let (epoch, place) = (number / training.len(), number % training.len());
        let mut random = generator(config.seed, Purpose::Order, epoch as u64);
        let case = cases.load(training[permutation(&mut random, training.len())[place]])?;
        let mut random = generator(config.seed, Purpose::Patch, number as u64);
        let draw = PatchDraw::draw(&mut random, config, &case);
        let (values, labels) = cut(&case, &draw, config.patch);
        batch.values.extend(values);
        batch.labels.extend(labels);
        batch.cases.push(case.name.clone());
    }
    Ok(batch)
}

impl PatchDraw {
    /// Draws a patch: anywhere in the case, or centered on a voxel of a random label.
    pub fn draw(random: &mut ChaCha8Rng, config: &TrainConfig, case: &Prepared) -> PatchDraw {
        let (dims, patch) = (case.input.dims, config.patch);
        let centered = random.random_bool(config.foreground_fraction);
        let mut start = [0; 3];
        for axis in 0..3 {
            let slack = dims[axis] as i64 - patch[axis] as i64;
            start[axis] = random.random_range(slack.min(0)..=slack.max(0)) as isize;
        }
        if centered && !case.foreground.is_empty() {
            let label = &case.foreground[random.random_range(0..case.foreground.len())];
            let voxel = label[random.random_range(0..label.len())] as usize;
            let at = [voxel % dims[0], voxel / dims[0] % dims[1], voxel / dims[0] / dims[1]];
            for axis in 0..3 {
                let slack = dims[axis] as isize - patch[axis] as isize;
                if slack > 0 {
                    let centered = at[axis] as isize - patch[axis] as isize / 2;
                    start[axis] = centered.clamp(0, slack);
                }
            }
        }
        let channels = case.input.channels;
        PatchDraw { start, augmentation: Augmentation::draw(random, &config.augment, channels) }
    }
}

/// Cuts a patch: values `[channel, k, j, i]` and labels `[k, j, i]`. Outside of the case values
/// are 0, the foreground's mean, and labels background.
pub fn cut(case: &Prepared, draw: &PatchDraw, patch: [usize; 3]) -> (Vec<f32>, Vec<u8>) {
    let num_voxels: usize = patch.iter().product();
    let mut values = vec![0.0; case.input.channels * num_voxels];
    let mut labels = vec![0; num_voxels];
    let center: [f32; 3] = std::array::from_fn(|axis| (patch[axis] as f32 - 1.0) / 2.0);
    let mut at = 0;
    for k in 0..patch[2] {
        for j in 0..patch[1] {
            for i in 0..patch[0] {
                let mut place = [i, j, k];
                for axis in 0..3 {
                    if draw.augmentation.flip[axis] {
                        place[axis] = patch[axis] - 1 - place[axis];
                    }
                }
                match &draw.augmentation.scan_from_patch {
                    None => {
                        let place =
                            std::array::from_fn(|axis| draw.start[axis] + place[axis] as isize);
                        if let Some(from) = index(case.input.dims, place) {
                            labels[at] = case.labels[from];
                            let channels = values[at..].iter_mut().step_by(num_voxels);
                            let scan = case.input.values[from..].iter();
                            let scan = scan.step_by(case.labels.len());
                            channels.zip(scan).for_each(|(value, from)| *value = *from);
                        }
                    }
                    Some(map) => {
                        let offset: [f32; 3] =
                            std::array::from_fn(|axis| place[axis] as f32 - center[axis]);
                        let place: [f32; 3] = std::array::from_fn(|axis| {
                            let row = map[axis];
                            let turned: f32 = (0..3).map(|n| row[n] * offset[n]).sum();
                            draw.start[axis] as f32 + center[axis] + turned
                        });
                        labels[at] = interpolate(case, place, &mut values[at..], num_voxels);
                    }
                }
                at += 1;
            }
        }
    }
    draw.augmentation.change_intensities(&mut values);
    (values, labels)
}

/// The place of a voxel in a case's arrays; none outside.
fn index(dims: [usize; 3], [i, j, k]: [isize; 3]) -> Option<usize> {
    let inside = |x: isize, size: usize| x >= 0 && (x as usize) < size;
    if inside(i, dims[0]) && inside(j, dims[1]) && inside(k, dims[2]) {
        return Some(i as usize + dims[0] * (j as usize + dims[1] * k as usize));
    }
    None
}

/// Adds a case's values at a place between voxels to every `stride`th value, trilinearly, and
/// gives the label of the nearest voxel.
fn interpolate(case: &Prepared, place: [f32; 3], values: &mut [f32], stride: usize) -> u8 {
    let floor = place.map(f32::floor);
    let fraction: [f32; 3] = std::array::from_fn(|axis| place[axis] - floor[axis]);
    for corner in 0..8 {
        let high: [bool; 3] = std::array::from_fn(|axis| corner >> axis & 1 == 1);
        let weight: f32 = (0..3)
            .map(|axis| if high[axis] { fraction[axis] } else { 1.0 - fraction[axis] })
            .product();
        let corner = std::array::from_fn(|axis| floor[axis] as isize + isize::from(high[axis]));
        if weight > 0.0
            && let Some(from) = index(case.input.dims, corner)
        {
            let channels = values.iter_mut().step_by(stride);
            let scan = case.input.values[from..].iter().step_by(case.labels.len());
            channels.zip(scan).for_each(|(value, from)| *value += weight * from);
        }
    }
    let nearest = place.map(|x| x.round() as isize);
    index(case.input.dims, nearest).map_or(0, |from| case.labels[from])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::prepare;
    use model_core::{Affine, Case, Grid, LabelMap, Task, UNetConfig, Volume};

    const DIMS: [usize; 3] = [8, 12, 16];

    /// Two channels of distinct values, with one voxel of label 1 and a slab of label 2.
    fn case() -> Prepared {
        let grid = Grid::new(DIMS, Affine::IDENTITY);
        let value = |n: usize| ((n * 7919) % 1009) as f32;
        let channel = |c: usize| Volume {
            voxels: (0..grid.num_voxels()).map(|n| value(n + c * 5)).collect(),
            grid: grid.clone(),
        };
        let mut labels = vec![0; grid.num_voxels()];
        labels[grid.index([6, 2, 13])] = 1;
        labels[..96].fill(2);
        let labels = LabelMap { grid: grid.clone(), labels };
        let names = vec![(1, "one".to_string()), (2, "two".to_string())];
        let task = Task::exclusive("test", vec!["a".into(), "b".into()], names);
        let case = Case::new("test", vec![channel(0), channel(1)], Some(labels), &task).unwrap();
        let mut network = UNetConfig::preset("demo", 2, 3).unwrap();
        network.widths.truncate(2);
        prepare(case, &TrainConfig::default().preprocess, &network).unwrap()
    }

    fn draw(start: [isize; 3]) -> PatchDraw {
        let augmentation = Augmentation {
            flip: [false; 3],
            scan_from_patch: None,
            intensity: vec![(1.0, 0.0); 2],
            noise: (0.0, 0),
        };
        PatchDraw { start, augmentation }
    }

    #[test]
    fn a_patch_is_the_case_from_its_start_on_and_nothing_outside() {
        let case = case();
        assert_eq!(case.input.dims, DIMS);
        let (values, labels) = cut(&case, &draw([-1, 2, 10]), [4, 4, 8]);
        let at = |[i, j, k]: [usize; 3]| i + 4 * (j + 4 * k);
        let scan = |[i, j, k]: [usize; 3], c: usize| {
            case.input.values[c * 1536 + i + DIMS[0] * (j + DIMS[1] * k)]
        };
        assert_eq!(values[at([3, 1, 2])], scan([2, 3, 12], 0));
        assert_eq!(values[128 + at([1, 0, 5])], scan([0, 2, 15], 1));
        assert_eq!((values[at([0, 1, 2])], values[at([3, 1, 6])]), (0.0, 0.0));
        assert!(labels.iter().all(|&label| label == 0));
        assert_eq!(cut(&case, &draw([4, 0, 10]), [4, 4, 8]).1[at([2, 2, 3])], 1);
    }

    #[test]
    fn a_flip_mirrors_values_and_labels_alike() {
        let case = case();
        let mut mirrored = draw([4, 0, 10]);
        mirrored.augmentation.flip = [true, false, false];
        let (plain, flipped) =
            (cut(&case, &draw([4, 0, 10]), [4; 3]), cut(&case, &mirrored, [4; 3]));
        for n in 0..64 {
            let other = n - n % 4 + 3 - n % 4;
            assert_eq!(plain.1[n], flipped.1[other]);
            assert_eq!(plain.0[64 + n], flipped.0[64 + other]);
        }
    }

    /// No rotation, and a quarter turn about the third axis, which moves voxels onto voxels.
    #[test]
    fn turning_is_exact_where_voxels_meet_voxels() {
        let case = case();
        let plain = cut(&case, &draw([2, 3, 8]), [4; 3]);
        let mut turned = draw([2, 3, 8]);
        turned.augmentation.scan_from_patch = Some([[1., 0., 0.], [0., 1., 0.], [0., 0., 1.]]);
        assert_eq!(cut(&case, &turned, [4; 3]), plain);
        turned.augmentation.scan_from_patch = Some([[0., -1., 0.], [1., 0., 0.], [0., 0., 1.]]);
        let (values, labels) = cut(&case, &turned, [4; 3]);
        for n in 0..64 {
            let [i, j, k] = [n % 4, n / 4 % 4, n / 16];
            let from = (3 - j) + 4 * (i + 4 * k);
            assert_eq!((values[n], labels[n]), (plain.0[from], plain.1[from]));
        }
    }

    #[test]
    fn centered_patches_hold_each_label_as_often() {
        let case = case();
        let config =
            TrainConfig { patch: [4; 3], foreground_fraction: 1.0, ..TrainConfig::default() };
        let mut with_one = 0;
        for number in 0..200 {
            let mut random = generator(0, Purpose::Patch, number);
            let draw = PatchDraw::draw(&mut random, &config, &case);
            let labels = cut(&case, &draw, config.patch).1;
            assert!(labels.iter().any(|&label| label != 0));
            with_one += usize::from(labels.contains(&1));
        }
        assert!((70..130).contains(&with_one), "{with_one}");
    }
}
