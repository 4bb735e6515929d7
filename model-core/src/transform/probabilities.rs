//! Makes probabilities on the source grid from logits, so that predictions can be averaged.

use crate::metrics::Calibration;
use crate::transform::postprocess::labels_from_outputs;
use crate::{Head, Placement, Task};

/// Restores logits to the source grid. If the network's spacing differs from the source's, they are
/// interpolated linearly at the source's voxels, as in [`postprocess`](fn@crate::postprocess). Outside
/// the crop the logits mean background.
///
/// # Shapes
/// - logits: `[output][k][j][i]` on the placement's network grid
/// - output: `[output][voxel]` in the source's own order
///
/// # Panics
/// If the logits have another size.
pub fn restore_logits(logits: &[f32], task: &Task, placement: &Placement) -> Vec<f32> {
    let num_voxels: usize = placement.dims().iter().product();
    assert_eq!(
        logits.len(),
        num_voxels * task.num_outputs(),
        "one logit for each output and voxel"
    );
    let mut out = Vec::with_capacity(task.num_outputs() * placement.source().num_voxels());
    for (n, output) in logits.chunks_exact(num_voxels).enumerate() {
        let is_background = task.head == Head::Softmax && n == 0;
        let outside = if is_background { 0.0 } else { f32::NEG_INFINITY };
        out.extend(placement.restore_image(output, outside));
    }
    out
}

/// Replaces logits by probabilities: of each region independently (sigmoid), or of each label among
/// all labels (softmax).
///
/// # Shapes
/// `logits`: `[output][voxel]`.
///
/// # Panics
/// If the logits have another size.
pub fn probabilities(logits: &mut [f32], num_voxels: usize, task: &Task) {
    assert_eq!(
        logits.len(),
        num_voxels * task.num_outputs(),
        "one logit for each output and voxel"
    );
    match task.head {
        Head::Sigmoid => logits.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp())),
        Head::Softmax => (0..num_voxels).for_each(|voxel| {
            let indices = || (0..task.num_outputs()).map(|n| voxel + n * num_voxels);
            let largest = indices().map(|at| logits[at]).fold(f32::NEG_INFINITY, f32::max);
            indices().for_each(|at| logits[at] = (logits[at] - largest).exp());
            let sum: f32 = indices().map(|at| logits[at]).sum();
            indices().for_each(|at| logits[at] /= sum);
        }),
    }
}

/// Returns the labels for probabilities, as [`crate::labels_from_logits`] does for logits. A region is
/// present above one half.
///
/// # Shapes
/// `probabilities`: `[output][voxel]`.
///
/// # Panics
/// If the probabilities have another size.
pub fn labels_from_probabilities(probabilities: &[f32], num_voxels: usize, task: &Task) -> Vec<u8> {
    labels_from_outputs(0.5, probabilities, num_voxels, task)
}

/// Returns each region's probability: its output's own with a sigmoid head, or the sum of its labels'
/// probabilities with a softmax head.
///
/// # Shapes
/// - probabilities: `[output][voxel]`
/// - output: for each region of the task `[voxel]`
///
/// # Panics
/// If the probabilities have another size.
pub fn region_probabilities(
    probabilities: &[f32],
    num_voxels: usize,
    task: &Task,
) -> Vec<Vec<f32>> {
    let expected = num_voxels * task.num_outputs();
    assert_eq!(probabilities.len(), expected, "one probability for each output and voxel");
    let output = |n: usize| &probabilities[n * num_voxels..(n + 1) * num_voxels];
    let codes = task.output_codes();
    let regions = task.regions.iter().enumerate();
    let region = |(n, region): (usize, &crate::Region)| match task.head {
        Head::Sigmoid => output(n).to_vec(),
        Head::Softmax => {
            let mut sum = vec![0.0; num_voxels];
            let members = (0..codes.len()).filter(|&n| region.labels.contains(&codes[n]));
            members.for_each(|n| sum.iter_mut().zip(output(n)).for_each(|(sum, p)| *sum += p));
            sum
        }
    };
    regions.map(region).collect()
}

/// Returns each region's probability on the source grid in steps of 1/255: 0 outside the crop. A
/// calibration brings the probabilities to frequencies. The log-odds are interpolated, as in
/// [`postprocess`](fn@crate::postprocess), so that a half is where a region's label begins.
///
/// # Shapes
/// - logits: `[output][k][j][i]` on the placement's network grid
/// - output: for each region of the task `[voxel]` in the source's own order
///
/// # Panics
/// If the logits have another size.
pub fn region_probability_bytes(
    mut logits: Vec<f32>,
    task: &Task,
    placement: &Placement,
    calibration: Option<&Calibration>,
) -> Vec<Vec<u8>> {
    let num_voxels: usize = placement.dims().iter().product();
    let expected = num_voxels * task.num_outputs();
    assert_eq!(logits.len(), expected, "one logit for each output and voxel");
    let log_odds: Vec<Vec<f32>> = match task.head {
        Head::Sigmoid => logits.chunks_exact(num_voxels).map(<[f32]>::to_vec).collect(),
        Head::Softmax => {
            probabilities(&mut logits, num_voxels, task);
            let mut regions = region_probabilities(&logits, num_voxels, task);
            // Rounding can bring a sum of labels beyond 1, whose log-odds would not be a number.
            let log_odds = |p: &mut f32| *p = (p.min(1.0) / (1.0 - p.min(1.0))).ln();
            regions.iter_mut().flatten().for_each(log_odds);
            regions
        }
    };
    drop(logits);
    let of_region = |(region, log_odds): (usize, Vec<f32>)| {
        let temperature = calibration.map_or(1.0, |c| c.regions[region].temperature) as f32;
        // The interpolation of an infinite value would be infinite far around.
        let log_odds: Vec<f32> = log_odds.into_iter().map(|x| x.clamp(-30.0, 30.0)).collect();
        let restored = placement.restore_image(&log_odds, f32::NEG_INFINITY);
        let byte = |x: f32| (255.0 / (1.0 + (-x / temperature).exp())).round() as u8;
        restored.into_iter().map(byte).collect()
    };
    log_odds.into_iter().enumerate().map(of_region).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::RegionCalibration;
    use crate::{PreprocessConfig, UNetConfig, phantom, postprocess, preprocess};

    fn two_labels() -> Task {
        let labels = vec![(3, "a".to_string()), (7, "b".to_string())];
        Task::exclusive("two", vec!["x".to_string()], labels).unwrap()
    }

    /// Returns a task, a placement whose network input is cropped and at half the resolution, and the
    /// number of its logits.
    fn half_resolution() -> (Task, Placement, usize) {
        let task = phantom::task();
        let config = PreprocessConfig {
            spacing_mm: Some([12.0; 3].try_into().unwrap()),
            foreground: crate::Foreground::Nonzero,
            crop: true,
            ..PreprocessConfig::default()
        };
        let network = UNetConfig::preset("demo", 4, task.num_outputs()).unwrap();
        let case = phantom::phantom(1, 32);
        let (_, placement) = preprocess(case.channels(), &config, &network).unwrap();
        let num_logits = task.num_outputs() * placement.dims().iter().product::<usize>();
        (task, placement, num_logits)
    }

    #[test]
    fn probabilities_match_their_definition() {
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
    fn bytes_exceed_a_half_where_the_labels_are() {
        let (task, placement, num_logits) = half_resolution();
        let logits: Vec<f32> = (0..num_logits).map(|n| (n as f32 * 0.7).sin() * 9.0).collect();
        let labels = postprocess(&logits, &task, &placement).into_labels();
        let region = RegionCalibration { temperature: 3.0, error_before: 0.2, error: 0.1 };
        let calibration = Calibration { regions: vec![region; task.regions.len()], cases: 1 };
        let plain = region_probability_bytes(logits.clone(), &task, &placement, None);
        let calibrated = region_probability_bytes(logits, &task, &placement, Some(&calibration));
        // The last region covers the others.
        let last = task.regions.len() - 1;
        let writes = task.regions[last].writes;
        for (n, label) in labels.iter().enumerate() {
            let byte = plain[last][n];
            assert!(
                byte == 127 || byte == 128 || (byte > 127) == (*label == writes),
                "{n}: {byte}"
            );
        }
        assert!(plain[0].contains(&0) && plain[0].iter().any(|byte| *byte > 250));
        let odds = |byte: u8| (f32::from(byte) / (255.0 - f32::from(byte))).ln();
        let n = plain[0].iter().position(|byte| (200..240).contains(byte)).unwrap();
        let ratio = odds(plain[0][n]) / odds(calibrated[0][n]);
        assert!((ratio - 3.0).abs() < 0.15, "{ratio}");
    }

    /// The softmax of these logits sums to more than 1 in f32 for some of the voxels.
    #[test]
    fn a_region_of_all_labels_is_certain() {
        let task = two_labels().with(|task| task.regions[1].labels = vec![3, 7]).unwrap();
        let network = UNetConfig::preset("demo", 1, task.num_outputs()).unwrap();
        let scan = crate::Volume::new(
            crate::Grid::new([16; 3], crate::Affine::IDENTITY),
            (0..4096).map(|n| (n % 97) as f32).collect(),
        );
        let scans = [scan.unwrap()];
        let (_, placement) = preprocess(&scans, &PreprocessConfig::default(), &network).unwrap();
        let voxels: usize = placement.dims().iter().product();
        let labels = (0..2 * voxels).map(|n| (n as f32 * 0.37).sin());
        let logits: Vec<f32> = std::iter::repeat_n(-40.0, voxels).chain(labels).collect();
        let mut sums = logits.clone();
        probabilities(&mut sums, voxels, &task);
        let sums = region_probabilities(&sums, voxels, &task).remove(1);
        assert!(sums.iter().any(|sum| *sum > 1.0), "the case that this test is for");
        let bytes = region_probability_bytes(logits, &task, &placement, None).remove(1);
        assert!(bytes.iter().all(|byte| *byte == 255));
    }

    #[test]
    fn a_region_has_the_sum_of_its_labels() {
        let task = two_labels().with(|task| task.regions[1].labels = vec![3, 7]).unwrap();
        let found = region_probabilities(&[0.5, 0.25, 0.25], 1, &task);
        assert_eq!(found, [[0.25], [0.5]]);
    }

    #[test]
    fn restored_probabilities_and_logits_give_the_same_labels() {
        let (task, placement, num_logits) = half_resolution();
        let logits: Vec<f32> = (0..num_logits).map(|n| (n as f32 * 0.7).sin() + 0.2).collect();
        let mut restored = restore_logits(&logits, &task, &placement);
        let num_voxels = placement.source().num_voxels();
        probabilities(&mut restored, num_voxels, &task);
        let expected = postprocess(&logits, &task, &placement).into_labels();
        assert!(labels_from_probabilities(&restored, num_voxels, &task) == expected);
        assert!(expected.contains(&0) && expected.iter().any(|label| *label != 0));
    }
}
