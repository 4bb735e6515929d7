//! From logits to probabilities on the source grid, where several predictions can be averaged.

use crate::transform::postprocess::decide_above;
use crate::{Head, Placement, Task};

/// Logits on the source grid: where the network saw another spacing, interpolated linearly at the
/// source's voxels, as [`postprocess`](fn@crate::postprocess) does. Outside the crop the logits say background.
///
/// # Shapes
/// - logits: `[output][k][j][i]` on the placement's network grid
/// - output: `[output][voxel]` in the source's own order
///
/// # Panics
/// When the logits are not of that size.
pub fn restore_logits(logits: &[f32], task: &Task, placement: &Placement) -> Vec<f32> {
    let num_voxels: usize = placement.dims().iter().product();
    assert_eq!(logits.len(), num_voxels * task.num_outputs(), "one logit an output and voxel");
    let mut out = Vec::with_capacity(task.num_outputs() * placement.source().num_voxels());
    for (n, output) in logits.chunks_exact(num_voxels).enumerate() {
        let is_background = task.head == Head::Softmax && n == 0;
        let outside = if is_background { 0.0 } else { f32::NEG_INFINITY };
        out.extend(placement.restore_image(output, outside));
    }
    out
}

/// Turns logits into probabilities: of each region by itself (sigmoid), or of each label among all
/// of them (softmax).
///
/// # Shapes
/// `logits`: `[output][voxel]`.
///
/// # Panics
/// When the logits are not of that size.
pub fn probabilities(logits: &mut [f32], num_voxels: usize, task: &Task) {
    assert_eq!(logits.len(), num_voxels * task.num_outputs(), "one logit an output and voxel");
    match task.head {
        Head::Sigmoid => logits.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp())),
        Head::Softmax => (0..num_voxels).for_each(|voxel| {
            let places = || (0..task.num_outputs()).map(|n| voxel + n * num_voxels);
            let largest = places().map(|at| logits[at]).fold(f32::NEG_INFINITY, f32::max);
            places().for_each(|at| logits[at] = (logits[at] - largest).exp());
            let sum: f32 = places().map(|at| logits[at]).sum();
            places().for_each(|at| logits[at] /= sum);
        }),
    }
}

/// The labels that probabilities say, as [`crate::decide`] does for logits: a region is present
/// above one half.
///
/// # Panics
/// When the probabilities are not `[output][voxel]`.
pub fn decide_probabilities(probabilities: &[f32], num_voxels: usize, task: &Task) -> Vec<u8> {
    decide_above(0.5, probabilities, num_voxels, task)
}

/// Each region's probability: the output's own, or for exclusive labels the sum over those that the
/// region unites.
///
/// # Shapes
/// - probabilities: `[output][voxel]`
/// - output: for each region of the task, a number a voxel
///
/// # Panics
/// When the probabilities are not of that size.
pub fn region_probabilities(
    probabilities: &[f32],
    num_voxels: usize,
    task: &Task,
) -> Vec<Vec<f32>> {
    let expected = num_voxels * task.num_outputs();
    assert_eq!(probabilities.len(), expected, "one probability an output and voxel");
    let output = |n: usize| &probabilities[n * num_voxels..(n + 1) * num_voxels];
    let codes = task.output_codes();
    let regions = task.regions.iter().enumerate();
    let region = |(n, region): (usize, &crate::Region)| match task.head {
        Head::Sigmoid => output(n).to_vec(),
        Head::Softmax => {
            let mut sum = vec![0.0; num_voxels];
            let united = (0..codes.len()).filter(|&n| region.labels.contains(&codes[n]));
            united.for_each(|n| sum.iter_mut().zip(output(n)).for_each(|(sum, p)| *sum += p));
            sum
        }
    };
    regions.map(region).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PreprocessConfig, UNetConfig, phantom, postprocess, preprocess};

    fn two_labels() -> Task {
        let labels = vec![(3, "a".to_string()), (7, "b".to_string())];
        Task::exclusive("two", vec!["x".to_string()], labels)
    }

    #[test]
    fn probabilities_are_those_of_the_definition() {
        let mut regions = [0.0, 3f32.ln(), f32::NEG_INFINITY, 0.0, 0.0, 100.0];
        probabilities(&mut regions, 2, &Task::builtin("brats2023").unwrap());
        assert!((regions[1] - 0.75).abs() < 1e-6, "{regions:?}");
        assert_eq!((regions[0], regions[2], regions[5]), (0.5, 0.0, 1.0));
        // 1 : 2 : 1, and numbers whose exponential no f32 holds.
        let mut labels = [0.0, 1000.0, 2f32.ln(), 0.0, 0.0, 1000.0];
        probabilities(&mut labels, 2, &two_labels());
        let expected = [0.25, 0.5, 0.5, 0.0, 0.25, 0.5];
        assert!(labels.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{labels:?}");
    }

    #[test]
    fn a_region_has_the_sum_of_its_labels() {
        let mut task = two_labels();
        task.regions[1].labels = vec![3, 7];
        let found = region_probabilities(&[0.5, 0.25, 0.25], 1, &task);
        assert_eq!(found, [[0.25], [0.5]]);
    }

    /// Cropped and at half the resolution: the labels of probabilities on the source grid are
    /// those of the logits.
    #[test]
    fn probabilities_on_the_source_grid_decide_as_logits_do() {
        let case = phantom::phantom(1, 32);
        let task = phantom::task();
        let config = PreprocessConfig {
            spacing_mm: Some([12.0; 3]),
            foreground: crate::Foreground::Nonzero,
            crop: true,
            size: None,
        };
        let network = UNetConfig::preset("demo", 4, task.num_outputs()).unwrap();
        let (_, placement) = preprocess(&case.channels, &config, &network).unwrap();
        let num_logits = task.num_outputs() * placement.dims().iter().product::<usize>();
        let logits: Vec<f32> = (0..num_logits).map(|n| (n as f32 * 0.7).sin() + 0.2).collect();
        let mut restored = restore_logits(&logits, &task, &placement);
        let num_voxels = placement.source().num_voxels();
        probabilities(&mut restored, num_voxels, &task);
        let expected = postprocess(&logits, &task, &placement).into_labels();
        assert!(decide_probabilities(&restored, num_voxels, &task) == expected);
        assert!(expected.contains(&0) && expected.iter().any(|label| *label != 0));
    }
}
