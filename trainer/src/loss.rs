//! Soft Dice and cross-entropy, with their gradient.
//!
//! Computed here in one pass each and not from tensor operations, for two reasons: the sums run in
//! f64 in a fixed order, so that a run is a function of its seed on any number of threads (the CPU
//! backend's own sum of more than 4 million elements is not), and nothing is stored for backward.

use std::ops::Range;

use model_core::{Head, Task};
use rayon::prelude::*;

/// Added to both sides of the Dice fraction (Brügger et al. 2019), so that an absent region is
/// learnt too.
const SMOOTHING: f64 = 1.0;

/// Voxels that are handled at once; fixed, since it decides the order of the sums.
const CHUNK: usize = 8192;

/// Cross-entropy plus one minus soft Dice.
///
/// For regions (sigmoid head): binary cross-entropy, averaged over voxels and regions, and soft
/// Dice averaged over the regions. For labels (softmax head): cross-entropy averaged over voxels,
/// and soft Dice averaged over the labels without background. Dice sums run over the whole batch
/// and are not squared.
pub struct Loss {
    /// For each output, which label codes belong to it.
    members: Vec<[bool; 256]>,
    exclusive: bool,
}

/// What the loss found on one batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The sum of both parts.
    pub loss: f64,
    /// The cross-entropy.
    pub cross_entropy: f64,
    /// Dice of the decided voxels, averaged over the regions or labels that are present in the
    /// prediction or in the reference; 1 where none is.
    pub dice: f64,
}

/// One output's sums over voxels.
#[derive(Clone, Copy, Default)]
struct Sums {
    /// Probability where the reference is.
    overlap: f64,
    predicted: f64,
    reference: f64,
    decided_overlap: u64,
    decided: u64,
}

impl Loss {
    /// The loss for a task's outputs.
    pub fn new(task: &Task) -> Loss {
        let outputs: Vec<Vec<u8>> = match task.head {
            Head::Sigmoid => task.regions.iter().map(|region| region.labels.clone()).collect(),
            Head::Softmax => task.output_codes().into_iter().map(|code| vec![code]).collect(),
        };
        let member = |codes: &Vec<u8>| std::array::from_fn(|code| codes.contains(&(code as u8)));
        Loss {
            members: outputs.iter().map(member).collect(),
            exclusive: task.head == Head::Softmax,
        }
    }

    /// The loss of a batch, and its gradient by the logits.
    ///
    /// # Shapes
    /// - `logits`: `[batch, output, voxel]`
    /// - `labels`: `[batch, voxel]`, codes
    /// - gradient: as `logits`
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn of(&self, logits: &[f32], labels: &[u8], batch: usize) -> (Report, Vec<f32>) {
        let num_outputs = self.members.len();
        assert_eq!(logits.len(), labels.len() * num_outputs);
        let num_voxels = labels.len() / batch;
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

        let parts: Vec<(Vec<Vec<f32>>, f64, Vec<Sums>)> = (chunks.par_iter())
            .map(|(b, range)| self.forward(&rows(*b, range), codes(*b, range)))
            .collect();
        // In order, whatever the number of threads.
        let mut cross_entropy = 0.0;
        let mut sums = vec![Sums::default(); num_outputs];
        for (_, part_cross_entropy, part) in &parts {
            cross_entropy += part_cross_entropy;
            for (sum, part) in sums.iter_mut().zip(part) {
                sum.overlap += part.overlap;
                sum.predicted += part.predicted;
                sum.reference += part.reference;
                sum.decided_overlap += part.decided_overlap;
                sum.decided += part.decided;
            }
        }
        let terms = labels.len() * if self.exclusive { 1 } else { num_outputs };
        cross_entropy /= terms as f64;
        let scored = self.scored();
        let weight = 1.0 / scored.len() as f64;
        let dice_loss: f64 = sums[scored.clone()].iter().map(|s| weight * (1.0 - s.dice())).sum();

        // The derivative of the Dice part by a probability is `absent` everywhere, and `present`
        // more where the reference is.
        let slopes: Vec<(f32, f32)> = (0..num_outputs)
            .map(|o| if scored.contains(&o) { sums[o].slopes(weight) } else { (0.0, 0.0) })
            .collect();
        let scale = 1.0 / terms as f32;
        let gradients: Vec<Vec<Vec<f32>>> = (parts.into_par_iter().zip(&chunks))
            .map(|((rows, ..), (b, range))| self.backward(rows, codes(*b, range), &slopes, scale))
            .collect();
        let mut gradient = vec![0.0; logits.len()];
        for (rows, (b, range)) in gradients.iter().zip(&chunks) {
            for (o, row) in rows.iter().enumerate() {
                gradient[place(*b, o, range)].copy_from_slice(row);
            }
        }
        let dice = decided_dice(&sums[scored]);
        (Report { loss: cross_entropy + dice_loss, cross_entropy, dice }, gradient)
    }

    /// The outputs that count for Dice.
    fn scored(&self) -> Range<usize> {
        usize::from(self.exclusive)..self.members.len()
    }

    /// Probabilities, cross-entropy and sums of one chunk; rows are outputs.
    fn forward(&self, logits: &[&[f32]], codes: &[u8]) -> (Vec<Vec<f32>>, f64, Vec<Sums>) {
        let mut cross_entropy = 0.0;
        let rows: Vec<Vec<f32>> = if self.exclusive {
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
        let sums = self.members.iter().enumerate().map(|(o, members)| {
            let mut sums = Sums::default();
            for (v, (&p, &code)) in rows[o].iter().zip(codes).enumerate() {
                let there = members[code as usize];
                // The first largest wins, as in `decide`.
                let decided = if self.exclusive {
                    (0..rows.len())
                        .all(|other| rows[other][v] < p || (other >= o && rows[other][v] <= p))
                } else {
                    p > 0.5
                };
                sums.predicted += f64::from(p);
                sums.decided += u64::from(decided);
                if there {
                    sums.overlap += f64::from(p);
                    sums.reference += 1.0;
                    sums.decided_overlap += u64::from(decided);
                }
            }
            sums
        });
        let sums = sums.collect();
        (rows, cross_entropy, sums)
    }

    /// The gradient by the logits of one chunk, in place of its probabilities.
    fn backward(
        &self,
        mut rows: Vec<Vec<f32>>,
        codes: &[u8],
        slopes: &[(f32, f32)],
        scale: f32,
    ) -> Vec<Vec<f32>> {
        for (v, &code) in codes.iter().enumerate() {
            let there = |o: usize| self.members[o][code as usize];
            let slope = |o: usize| slopes[o].0 + if there(o) { slopes[o].1 } else { 0.0 };
            // Softmax: dp_a/dx_o = p_a (δ_ao − p_o); sigmoid: dp/dx = p (1 − p).
            let mean: f32 = match self.exclusive {
                true => rows.iter().enumerate().map(|(o, row)| row[v] * slope(o)).sum(),
                false => 0.0,
            };
            for (o, row) in rows.iter_mut().enumerate() {
                let p = row[v];
                let by_dice = match self.exclusive {
                    true => p * (slope(o) - mean),
                    false => p * (1.0 - p) * slope(o),
                };
                row[v] = scale * (p - f32::from(u8::from(there(o)))) + by_dice;
            }
        }
        rows
    }
}

impl Sums {
    fn dice(&self) -> f64 {
        (2.0 * self.overlap + SMOOTHING) / (self.predicted + self.reference + SMOOTHING)
    }

    /// The derivatives of `weight · (1 − dice)` by a probability: anywhere, and what is added to
    /// it where the reference is.
    fn slopes(&self, weight: f64) -> (f32, f32) {
        let total = self.predicted + self.reference + SMOOTHING;
        ((weight * self.dice() / total) as f32, (-weight * 2.0 / total) as f32)
    }
}

fn decided_dice(sums: &[Sums]) -> f64 {
    let dice: Vec<f64> = sums
        .iter()
        .map(|sums| (2.0 * sums.decided_overlap as f64, sums.decided as f64 + sums.reference))
        .filter(|(_, total)| *total > 0.0)
        .map(|(overlap, total)| overlap / total)
        .collect();
    if dice.is_empty() { 1.0 } else { dice.iter().sum::<f64>() / dice.len() as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::{Purpose, generator};
    use rand::RngExt;

    fn tasks() -> [Task; 2] {
        let labels = vec![(1, "a".to_string()), (3, "b".to_string())];
        let exclusive = Task::exclusive("two", vec!["T1".into()], labels);
        [Task::builtin("brats2023").unwrap(), exclusive]
    }

    /// Two samples of 40 voxels, three outputs in either task.
    fn batch() -> (Vec<f32>, Vec<u8>) {
        let mut random = generator(7, Purpose::Patch, 0);
        let logits = (0..240).map(|_| 6.0 * random.random::<f32>() - 3.0).collect();
        let labels = (0..80).map(|_| [0, 0, 1, 3][random.random_range(0..4)]).collect();
        (logits, labels)
    }

    #[test]
    fn gradient_is_that_of_the_loss() {
        for task in tasks() {
            let loss = Loss::new(&task);
            let (logits, labels) = batch();
            let (_, gradient) = loss.of(&logits, &labels, 2);
            for n in (0..240).step_by(7) {
                let moved = |by: f32| {
                    let mut logits = logits.clone();
                    logits[n] += by;
                    loss.of(&logits, &labels, 2).0.loss
                };
                let numeric = (moved(0.01) - moved(-0.01)) / 0.02;
                let difference = (numeric - f64::from(gradient[n])).abs();
                assert!(difference < 2e-5, "{}: {numeric} and {}", task.name, gradient[n]);
            }
        }
    }

    /// ln 3 for three equally likely labels, ln 2 for undecided regions, by hand.
    #[test]
    fn an_undecided_network_has_the_known_loss() {
        let [regions, labels] = tasks();
        let report = Loss::new(&labels).of(&[0.0; 12], &[0, 1, 3, 3], 1).0;
        assert!((report.cross_entropy - 3f64.ln()).abs() < 1e-6);
        // One voxel of the first label, two of the second, a third of the probability on each.
        let dice = [(2.0 / 3.0 + 1.0) / (4.0 / 3.0 + 2.0), (4.0 / 3.0 + 1.0) / (4.0 / 3.0 + 3.0)];
        let expected = 3f64.ln() + 1.0 - (dice[0] + dice[1]) / 2.0;
        assert!((report.loss - expected).abs() < 1e-6, "{report:?}, {expected}");
        let report = Loss::new(&regions).of(&[0.0; 12], &[0, 1, 2, 3], 1).0;
        assert!((report.cross_entropy - 2f64.ln()).abs() < 1e-6);
    }

    #[test]
    fn a_perfect_answer_has_full_dice_and_little_loss() {
        for task in tasks() {
            let loss = Loss::new(&task);
            let (_, labels) = batch();
            let logit = |b: usize, o: usize, v: usize| {
                if loss.members[o][labels[b * 40 + v] as usize] { 20.0 } else { -20.0 }
            };
            let logits: Vec<f32> = (0..240).map(|n| logit(n / 120, n / 40 % 3, n % 40)).collect();
            let report = loss.of(&logits, &labels, 2).0;
            assert!(report.loss < 1e-6 && report.dice == 1.0, "{report:?}");
        }
    }

    #[test]
    fn a_logit_that_is_no_number_shows_in_the_loss() {
        for task in tasks() {
            let (mut logits, labels) = batch();
            logits[100] = f32::NAN;
            assert!(!Loss::new(&task).of(&logits, &labels, 2).0.loss.is_finite());
        }
    }
}
