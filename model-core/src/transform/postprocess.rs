//! Last shared step of training and viewing: from logits to labels on the source grid.

use crate::{Head, LabelMap, Placement, Task};

/// The labels that logits say, on the source grid. Where the network saw another spacing, logits
/// are interpolated linearly at the source's voxels before deciding, so that borders stay smooth.
///
/// # Shapes
/// `logits`: `[output][k][j][i]` on the placement's network grid.
///
/// # Panics
/// When the logits are not of that size.
pub fn postprocess(logits: &[f32], task: &Task, placement: &Placement) -> LabelMap {
    let num_voxels: usize = placement.dims().iter().product();
    if !placement.is_resampled() {
        return placement.restore(&decide(logits, num_voxels, task));
    }
    assert_eq!(logits.len(), num_voxels * task.num_outputs(), "one logit an output and voxel");
    let (_, crop_dims) = placement.crop();
    let mut decision = Decision::new(crop_dims.iter().product(), task, 0.0);
    for output in logits.chunks_exact(num_voxels) {
        decision.add(&placement.scale_back(output));
    }
    placement.restore_crop(&decision.labels)
}

/// The labels that logits say, voxel by voxel. Regions (sigmoid): the code of the last region, in
/// the task's order, whose logit is positive, else background. Labels (softmax): the code of the
/// first of the largest logits.
///
/// # Shapes
/// `logits`: `[output][voxel]`.
///
/// # Panics
/// When the logits are not of that size.
pub fn decide(logits: &[f32], num_voxels: usize, task: &Task) -> Vec<u8> {
    decide_above(0.0, logits, num_voxels, task)
}

/// The same where a region is present above this threshold.
pub(crate) fn decide_above(
    threshold: f32,
    outputs: &[f32],
    num_voxels: usize,
    task: &Task,
) -> Vec<u8> {
    assert_eq!(outputs.len(), num_voxels * task.num_outputs(), "one logit an output and voxel");
    let mut decision = Decision::new(num_voxels, task, threshold);
    outputs.chunks_exact(num_voxels.max(1)).for_each(|output| decision.add(output));
    decision.labels
}

/// Labels decided so far, from one output after the other.
struct Decision {
    labels: Vec<u8>,
    /// The largest logit so far; only for exclusive labels.
    largest: Vec<f32>,
    codes: std::vec::IntoIter<u8>,
    head: Head,
    /// Above it a region is present.
    threshold: f32,
}

impl Decision {
    fn new(num_voxels: usize, task: &Task, threshold: f32) -> Self {
        let largest = match task.head {
            Head::Sigmoid => Vec::new(),
            Head::Softmax => vec![f32::NEG_INFINITY; num_voxels],
        };
        let codes = task.output_codes().into_iter();
        let labels = vec![0; num_voxels];
        Decision { labels, largest, codes, head: task.head, threshold }
    }

    fn add(&mut self, logits: &[f32]) {
        let code = self.codes.next().expect("no more outputs than the task has");
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
        assert_eq!(decide(&logits, 6, &task), [0, 2, 1, 4, 0, 4]);
    }

    #[test]
    fn the_first_of_the_largest_labels_wins() {
        let labels = vec![(3, "a".to_string()), (7, "b".to_string())];
        let task = Task::exclusive("two", vec!["x".to_string()], labels);
        let logits = [1., 0., 5., 0., 1., 2., 5., 2., 1., 2., 5., 3.];
        assert_eq!(decide(&logits, 4, &task), [0, 3, 0, 7]);
    }
}
