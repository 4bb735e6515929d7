//! The losses, with their gradients.
//!
//! Each loss is one pass instead of tensor operations, for two reasons. The sums run in f64 in a fixed
//! order, so that a run is a function of its seed on any number of threads; the CPU backend's sum of
//! more than 4 million elements is not. And no tensor is stored for backward. For logits on a GPU,
//! kernels compute the same sums and gradient there.

pub mod deep;
mod device;
mod dice;
mod focal;
#[cfg(test)]
mod tests;
pub mod variational;

use std::ops::Range;

use anyhow::Result;
use model_core::kernels::loss::VoxelLoss;
use model_core::{Head, Task};
use rayon::prelude::*;

use dice::{Sums, decided_dice};
use focal::Classification;
use trainer_run::config::LossKind;

/// The voxels of a chunk. The number is fixed, because it decides the order of the sums.
const CHUNK: usize = 8192;

/// The loss of logits: a mean over voxels, soft Dice losses (one minus soft Dice), or the sum of both.
///
/// For regions (sigmoid head): binary cross-entropy or focal loss, averaged over voxels and
/// regions, and a Dice loss for each region. For labels (softmax head): cross-entropy or focal
/// loss, averaged over voxels, and a Dice loss for each label without background. Dice sums run
/// over the whole batch and are not squared.
pub struct Loss {
    /// The label codes of each output.
    members: Vec<[bool; 256]>,
    exclusive: bool,
    voxel_loss: Option<VoxelLoss>,
    /// The weight of each Dice loss.
    dice_weight: f64,
}

/// The losses and Dice of one batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The sum of all terms.
    pub loss: f64,
    /// The cross-entropy, also of a loss without it: runs with different losses can be compared by it.
    pub cross_entropy: f64,
    /// Dice of the decided voxels, averaged over the regions or labels that are present in the
    /// prediction or in the reference; 1 if all are absent.
    pub dice: f64,
}

/// The loss, and the factors of its gradient.
struct LossTerms {
    report: Report,
    /// For every output, the derivative of the Dice terms by a probability, and its addition where the
    /// reference is.
    slopes: Vec<(f32, f32)>,
    /// The factor of the sum over voxels.
    scale: f32,
}

/// The forward pass of one chunk; rows are outputs.
struct ChunkForward {
    probabilities: Vec<Vec<f32>>,
    cross_entropy: f64,
    focal: f64,
    sums: Vec<Sums>,
}

impl Loss {
    /// Returns the loss of a kind for a task's outputs.
    pub fn new(task: &Task, kind: LossKind) -> Loss {
        let outputs: Vec<Vec<u8>> = match task.head {
            Head::Sigmoid => task.regions.iter().map(|region| region.labels.clone()).collect(),
            Head::Softmax => task.output_codes().into_iter().map(|code| vec![code]).collect(),
        };
        let member = |codes: &Vec<u8>| std::array::from_fn(|code| codes.contains(&(code as u8)));
        let exclusive = task.head == Head::Softmax;
        let mean = 1.0 / (outputs.len() - usize::from(exclusive)) as f64;
        let (voxel_loss, dice_weight) = match kind {
            LossKind::DiceCe => (Some(VoxelLoss::CrossEntropy), mean),
            LossKind::Dice => (None, 1.0),
            LossKind::Focal => (Some(VoxelLoss::Focal), 0.0),
            LossKind::DiceFocal => (Some(VoxelLoss::Focal), mean),
        };
        let members = outputs.iter().map(member).collect();
        Loss { members, exclusive, voxel_loss, dice_weight }
    }

    /// Computes the loss of a batch, and its gradient by the logits.
    ///
    /// # Shapes
    /// - `logits`: `[batch, output, voxel]`
    /// - `labels`: `[batch, voxel]`, codes
    /// - gradient: as `logits`
    ///
    /// # Panics
    /// Panics if the lengths differ from the shapes.
    pub fn of(&self, logits: &[f32], labels: &[u8], batch: usize) -> (Report, Vec<f32>) {
        self.of_part(logits, labels, batch, |_| Ok(())).expect("nothing is asked that could fail")
    }

    /// Computes the loss of a batch from this rank's shard of it, which may be empty. `total` replaces
    /// the shard's sums by those of the whole batch. The gradient is that of the whole loss by the
    /// shard's logits.
    ///
    /// # Shapes
    /// As [`Loss::of`]; `batch` counts the samples of the shard.
    ///
    /// # Errors
    /// As `total`.
    ///
    /// # Panics
    /// Panics if the lengths differ from the shapes.
    pub fn of_part(
        &self,
        logits: &[f32],
        labels: &[u8],
        batch: usize,
        total: impl FnOnce(&mut [f64]) -> Result<()>,
    ) -> Result<(Report, Vec<f32>)> {
        let num_outputs = self.members.len();
        assert_eq!(logits.len(), labels.len() * num_outputs);
        let num_voxels = labels.len() / batch.max(1);
        let chunks: Vec<(usize, Range<usize>)> = (0..batch)
            .flat_map(|b| {
                let starts = (0..num_voxels).step_by(CHUNK);
                starts.map(move |start| (b, start..num_voxels.min(start + CHUNK)))
            })
            .collect();
        let place = |b: usize, o: usize, range: &Range<usize>| {
            let start = (b * num_outputs + o) * num_voxels;
            start + range.start..start + range.end
        };
        let rows = |b: usize, range: &Range<usize>| -> Vec<&[f32]> {
            (0..num_outputs).map(|o| &logits[place(b, o, range)]).collect()
        };
        let codes = |b: usize, range: &Range<usize>| {
            &labels[b * num_voxels + range.start..b * num_voxels + range.end]
        };

        let parts: Vec<ChunkForward> = (chunks.par_iter())
            .map(|(b, range)| self.forward(&rows(*b, range), codes(*b, range)))
            .collect();
        // In order, on any number of threads.
        let (mut cross_entropy, mut focal) = (0.0, 0.0);
        let mut sums = vec![Sums::default(); num_outputs];
        for part in &parts {
            cross_entropy += part.cross_entropy;
            focal += part.focal;
            sums.iter_mut().zip(&part.sums).for_each(|(sum, part)| sum.add(part));
        }
        let LossTerms { report, slopes, scale } =
            self.terms(&sums, [cross_entropy, focal], labels.len(), total)?;
        let gradients: Vec<Vec<Vec<f32>>> = (parts.into_par_iter().zip(&chunks))
            .map(|(part, (b, range))| {
                let (logits, codes) = (rows(*b, range), codes(*b, range));
                self.backward(part.probabilities, &logits, codes, &slopes, scale)
            })
            .collect();
        let mut gradient = vec![0.0; logits.len()];
        for (rows, (b, range)) in gradients.iter().zip(&chunks) {
            for (o, row) in rows.iter().enumerate() {
                gradient[place(*b, o, range)].copy_from_slice(row);
            }
        }
        Ok((report, gradient))
    }

    /// Computes the loss and its derivatives from the sums over all voxels. `total` replaces the sums
    /// over a shard by those of the whole batch; `by_voxel` are the sums of the cross-entropy and of
    /// the focal loss.
    ///
    /// # Errors
    /// As `total`.
    fn terms(
        &self,
        sums: &[Sums],
        by_voxel: [f64; 2],
        num_voxels: usize,
        total: impl FnOnce(&mut [f64]) -> Result<()>,
    ) -> Result<LossTerms> {
        let num_outputs = self.members.len();
        let mut numbers = vec![num_voxels as f64];
        numbers.extend(by_voxel);
        numbers.extend(sums.iter().flat_map(Sums::numbers));
        total(&mut numbers)?;
        let (first, of_outputs) = numbers.split_at(3);
        let sums: Vec<Sums> = of_outputs.chunks_exact(Sums::LEN).map(Sums::of).collect();
        let terms = first[0] * if self.exclusive { 1.0 } else { num_outputs as f64 };
        let (cross_entropy, focal) = (first[1] / terms, first[2] / terms);
        let by_voxel = match self.voxel_loss {
            Some(VoxelLoss::CrossEntropy) => cross_entropy,
            Some(VoxelLoss::Focal) => focal,
            None => 0.0,
        };
        let scored = self.scored();
        let weight = self.dice_weight;
        let dice_loss: f64 = sums[scored.clone()].iter().map(|s| weight * (1.0 - s.dice())).sum();
        let slopes = (0..num_outputs)
            .map(|o| if scored.contains(&o) { sums[o].slopes(weight) } else { (0.0, 0.0) })
            .collect();
        let dice = decided_dice(&sums[scored]);
        let report = Report { loss: by_voxel + dice_loss, cross_entropy, dice };
        Ok(LossTerms { report, slopes, scale: 1.0 / terms as f32 })
    }

    /// Returns the outputs that count for Dice.
    fn scored(&self) -> Range<usize> {
        usize::from(self.exclusive)..self.members.len()
    }

    /// Computes the probabilities, losses and sums of one chunk; rows are outputs.
    fn forward(&self, logits: &[&[f32]], codes: &[u8]) -> ChunkForward {
        let mut cross_entropy = 0.0;
        let probabilities: Vec<Vec<f32>> = if self.exclusive {
            let mut rows: Vec<Vec<f32>> = logits.iter().map(|row| row.to_vec()).collect();
            for (v, &code) in codes.iter().enumerate() {
                let most = rows.iter().map(|row| row[v]).fold(f32::NEG_INFINITY, f32::max);
                let mut total = 0.0;
                for (row, members) in rows.iter_mut().zip(&self.members) {
                    let shifted = row[v] - most;
                    cross_entropy -= if members[code as usize] { f64::from(shifted) } else { 0.0 };
                    row[v] = shifted.exp();
                    total += row[v];
                }
                cross_entropy += f64::from(total.ln());
                rows.iter_mut().for_each(|row| row[v] /= total);
            }
            rows
        } else {
            let sigmoid = |(row, members): (&&[f32], &[bool; 256])| {
                let probability = |(&x, &code): (&f32, &u8)| {
                    let small = (-x.abs()).exp();
                    let there = if members[code as usize] { x } else { 0.0 };
                    cross_entropy += f64::from(x.max(0.0) - there + small.ln_1p());
                    (if x >= 0.0 { 1.0 } else { small }) / (1.0 + small)
                };
                row.iter().zip(codes).map(probability).collect()
            };
            logits.iter().zip(&self.members).map(sigmoid).collect()
        };
        let focal = match self.voxel_loss {
            Some(VoxelLoss::Focal) => self.focal(logits, codes),
            _ => 0.0,
        };
        let sums = (0..logits.len()).map(|o| self.sums(&probabilities, codes, o)).collect();
        ChunkForward { probabilities, cross_entropy, focal, sums }
    }

    /// Returns an output's sums over one chunk.
    fn sums(&self, probabilities: &[Vec<f32>], codes: &[u8], o: usize) -> Sums {
        let mut sums = Sums::default();
        for (v, (&p, &code)) in probabilities[o].iter().zip(codes).enumerate() {
            // The first of equal maxima wins, as in `labels_from_logits`.
            let decided = if self.exclusive {
                let mut rows = probabilities.iter().enumerate();
                rows.all(|(other, row)| row[v] < p || (other >= o && row[v] <= p))
            } else {
                p > 0.5
            };
            sums.count(p, decided, self.members[o][code as usize]);
        }
        sums
    }

    /// Returns the sum of the focal loss over one chunk.
    fn focal(&self, logits: &[&[f32]], codes: &[u8]) -> f64 {
        let num_answers = if self.exclusive { 1 } else { logits.len() };
        let answers = (0..num_answers).flat_map(|o| (0..codes.len()).map(move |v| (o, v)));
        answers.map(|(o, v)| f64::from(self.answer(logits, codes, o, v).loss())).sum()
    }

    /// Returns a voxel's classification by an output; with labels, the one that all outputs share.
    fn answer(&self, logits: &[&[f32]], codes: &[u8], o: usize, v: usize) -> Classification {
        let there = |members: &[bool; 256]| members[codes[v] as usize];
        if self.exclusive {
            let outputs = logits.iter().zip(&self.members);
            Classification::of_label(outputs.map(|(row, members)| (row[v], there(members))))
        } else {
            Classification::of_region(logits[o][v], there(&self.members[o]))
        }
    }

    /// Replaces the probabilities of one chunk by the gradient of its logits.
    fn backward(
        &self,
        mut rows: Vec<Vec<f32>>,
        logits: &[&[f32]],
        codes: &[u8],
        slopes: &[(f32, f32)],
        scale: f32,
    ) -> Vec<Vec<f32>> {
        let is_focal = self.voxel_loss == Some(VoxelLoss::Focal);
        for (v, &code) in codes.iter().enumerate() {
            let there = |o: usize| self.members[o][code as usize];
            let slope = |o: usize| slopes[o].0 + if there(o) { slopes[o].1 } else { 0.0 };
            // Softmax: dp_a/dx_o = p_a (δ_ao − p_o); sigmoid: dp/dx = p (1 − p).
            let mean: f32 = match self.exclusive {
                true => rows.iter().enumerate().map(|(o, row)| row[v] * slope(o)).sum(),
                false => 0.0,
            };
            // With labels, all outputs share one classification.
            let shared = (is_focal && self.exclusive).then(|| self.answer(logits, codes, 0, v));
            let answer = |o: usize| shared.unwrap_or_else(|| self.answer(logits, codes, o, v));
            for (o, row) in rows.iter_mut().enumerate() {
                let p = row[v];
                let by_dice = match self.exclusive {
                    true => p * (slope(o) - mean),
                    false => p * (1.0 - p) * slope(o),
                };
                let by_voxel = match self.voxel_loss {
                    Some(VoxelLoss::CrossEntropy) => p - f32::from(u8::from(there(o))),
                    Some(VoxelLoss::Focal) => answer(o).slope(p, there(o)),
                    None => 0.0,
                };
                row[v] = scale * by_voxel + by_dice;
            }
        }
        rows
    }
}
