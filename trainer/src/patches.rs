//! Patches: which are drawn at each step, and how they are cut from a preprocessed case.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use anyhow::Result;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::augment::Augmentation;
use crate::config::TrainConfig;
use crate::data_set::{Cases, Prepared};
use crate::draws::{Purpose, generator, permutation};

/// What one step is trained on.
pub struct Batch {
    /// The step.
    pub step: usize,
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

/// The batches of steps `from..config.steps`, prepared on a thread of its own while the network
/// trains; `training` are the numbers of the cases to draw from.
pub fn batches(
    config: &TrainConfig,
    cases: &Cases,
    training: &[usize],
    from: usize,
) -> Receiver<Result<Batch>> {
    let (sender, receiver) = sync_channel(2);
    let (config, cases, training) = (config.clone(), cases.clone(), training.to_vec());
    thread::spawn(move || {
        for step in from..config.steps {
            let batch = batch(&config, &cases, &training, step);
            let failed = batch.is_err();
            // The other end hangs up when training stops early.
            if sender.send(batch).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

/// The batch of one step, a function of the settings, the cases and the step.
///
/// # Errors
/// When a case that is not kept in memory cannot be read again.
pub fn batch(
    config: &TrainConfig,
    cases: &Cases,
    training: &[usize],
    step: usize,
) -> Result<Batch> {
    let mut batch = Batch { step, values: Vec::new(), labels: Vec::new(), cases: Vec::new() };
    for number in step * config.batch..(step + 1) * config.batch {
        // Every epoch passes through all cases in an order of its own.
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
