//! Last shared step of training and viewing: makes labels on the source grid from logits.

use crate::{Head, LabelMap, Placement, Task};

/// Returns the labels on the source grid for a network's logits. If the network's spacing differs
/// from the source's, the logits are interpolated linearly at the source's voxels first, so that
/// borders stay smooth.
///
/// # Shapes
/// `logits`: `[output][k][j][i]` on the placement's network grid.
///
/// # Panics
/// If the logits have another size.
pub fn postprocess(logits: &[f32], task: &Task, placement: &Placement) -> LabelMap {
    let num_voxels: usize = placement.dims().iter().product();
    if !placement.is_resampled() {
        return placement.restore(&labels_from_logits(logits, num_voxels, task));
    }
    assert_eq!(
        logits.len(),
        num_voxels * task.num_outputs(),
        "one logit for each output and voxel"
    );
    let crop_dims = placement.crop().dims();
    let mut labels = LabelAccumulator::new(crop_dims.iter().product(), task, 0.0);
    for output in logits.chunks_exact(num_voxels) {
        labels.add(&placement.scale_back(output));
    }
    placement.restore_crop(&labels.labels)
}

/// Returns the labels for logits, voxel by voxel.
///
/// With regions (sigmoid) a voxel takes the code of the last region, in the task's order, whose logit
/// is positive, else background. With labels (softmax) it takes the code of the largest logit, or
/// of the first of several.
///
/// # Shapes
/// `logits`: `[output][voxel]`.
///
/// # Panics
/// If the logits have another size.
pub fn labels_from_logits(logits: &[f32], num_voxels: usize, task: &Task) -> Vec<u8> {
    labels_from_outputs(0.0, logits, num_voxels, task)
}

/// Returns the labels as [`labels_from_logits`] does, for outputs with another threshold of regions.
pub(super) fn labels_from_outputs(
    threshold: f32,
    outputs: &[f32],
    num_voxels: usize,
    task: &Task,
) -> Vec<u8> {
    assert_eq!(
        outputs.len(),
        num_voxels * task.num_outputs(),
        "one logit for each output and voxel"
    );
    let mut labels = LabelAccumulator::new(num_voxels, task, threshold);
    outputs.chunks_exact(num_voxels.max(1)).for_each(|output| labels.add(output));
    labels.labels
}

/// Computes labels from one output after the other.
struct LabelAccumulator {
    labels: Vec<u8>,
    /// The largest logit of each voxel so far; empty for regions.
    largest: Vec<f32>,
    /// The codes of the outputs that follow.
    codes: std::vec::IntoIter<u8>,
    head: Head,
    /// A region is present above this output.
    threshold: f32,
}

impl LabelAccumulator {
    fn new(num_voxels: usize, task: &Task, threshold: f32) -> Self {
        let largest = match task.head {
            Head::Sigmoid => Vec::new(),
            Head::Softmax => vec![f32::NEG_INFINITY; num_voxels],
        };
        let codes = task.output_codes().into_iter();
        let labels = vec![0; num_voxels];
        LabelAccumulator { labels, largest, codes, head: task.head, threshold }
    }

    /// Adds the next output.
    fn add(&mut self, logits: &[f32]) {
        let code = self.codes.next().expect("as many outputs as the task has");
        let voxels = self.labels.iter_mut().zip(logits);
        match self.head {
            Head::Sigmoid => {
                let present = voxels.filter(|(_, logit)| **logit > self.threshold);
                present.for_each(|(label, _)| *label = code);
            }
            Head::Softmax => {
                for ((label, &logit), largest) in voxels.zip(&mut self.largest) {
                    if logit > *largest {
                        (*label, *largest) = (code, logit);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_positive_region_wins() {
        let task = Task::builtin("brats2021").unwrap();
        #[rustfmt::skip]
        let logits = [
            -1., 1., 1., 1., 0., f32::NAN, // whole tumor
            -1., -1., 1., 1., -1., -1., // core
            -1., -1., -1., 1., -1., 2., // enhancing
        ];
        assert_eq!(labels_from_logits(&logits, 6, &task), [0, 2, 1, 4, 0, 4]);
    }

    #[test]
    fn the_first_of_the_largest_logits_wins() {
        let labels = vec![(3, "a".to_string()), (7, "b".to_string())];
        let task = Task::exclusive("two", vec!["x".to_string()], labels).unwrap();
        let logits = [1., 0., 5., 0., 1., 2., 5., 2., 1., 2., 5., 3.];
        assert_eq!(labels_from_logits(&logits, 4, &task), [0, 3, 0, 7]);
    }
}
