use super::*;
use crate::adam::numbers;
use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use trainer_run::rng::{RngStream, generator};

const KINDS: [LossKind; 4] =
    [LossKind::DiceCe, LossKind::Dice, LossKind::Focal, LossKind::DiceFocal];

fn tasks() -> [Task; 2] {
    let labels = vec![(1, "a".to_string()), (3, "b".to_string())];
    let exclusive = Task::exclusive("two", vec!["T1".into()], labels).unwrap();
    [Task::builtin("brats2023").unwrap(), exclusive]
}

/// Every loss of both tasks, with its name.
fn losses() -> Vec<(String, Loss)> {
    let of = |task: Task| {
        KINDS.map(|kind| (format!("{kind:?} of {}", task.name), Loss::new(&task, kind)))
    };
    tasks().into_iter().flat_map(of).collect()
}

/// Two samples of 40 voxels, three outputs in either task.
fn batch() -> (Vec<f32>, Vec<u8>) {
    let mut random = generator(7, RngStream::Patch, 0);
    let logits = (0..240).map(|_| 6.0 * random.random::<f32>() - 3.0).collect();
    let labels = (0..80).map(|_| [0, 0, 1, 3][random.random_range(0..4)]).collect();
    (logits, labels)
}

/// The logits that say what the reference says, this surely.
fn answers(loss: &Loss, labels: &[u8], logit: f32) -> Vec<f32> {
    let there = |b: usize, o: usize, v: usize| loss.members[o][labels[b * 40 + v] as usize];
    let logit = |n: usize| if there(n / 120, n / 40 % 3, n % 40) { logit } else { -logit };
    (0..240).map(logit).collect()
}

#[test]
fn gradient_is_that_of_the_loss() {
    for (name, loss) in losses() {
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
            assert!(difference < 1e-6, "{name}: {numeric} and {}", gradient[n]);
        }
    }
}

/// All probabilities are 1/3 (labels) or 1/2 (regions).
#[test]
fn an_undecided_network_has_the_known_loss() {
    let [regions, labels] = tasks();
    // One voxel of the first label, two of the second.
    let dice = [(2.0 / 3.0 + 1.0) / (4.0 / 3.0 + 2.0), (4.0 / 3.0 + 1.0) / (4.0 / 3.0 + 3.0)];
    let sum = 2.0 - dice[0] - dice[1];
    let focal = 4.0 / 9.0 * 3f64.ln();
    let expected = [3f64.ln() + sum / 2.0, sum, focal, focal + sum / 2.0];
    for (kind, expected) in KINDS.into_iter().zip(expected) {
        let report = Loss::new(&labels, kind).of(&[0.0; 12], &[0, 1, 3, 3], 1).0;
        assert!((report.loss - expected).abs() < 1e-6, "{kind:?}: {report:?}, {expected}");
        assert!((report.cross_entropy - 3f64.ln()).abs() < 1e-6, "{kind:?}: {report:?}");
    }
    // Two voxels of whole tumor, one of the core, none enhancing: 3 of 12 answers are of
    // foreground.
    let sum = 3.0 - 3.0 / 5.0 - 2.0 / 4.0 - 1.0 / 3.0;
    let focal = (3.0 * 0.25 + 9.0 * 0.75) / 12.0 * 0.25 * 2f64.ln();
    let expected = [2f64.ln() + sum / 3.0, sum, focal, focal + sum / 3.0];
    for (kind, expected) in KINDS.into_iter().zip(expected) {
        let report = Loss::new(&regions, kind).of(&[0.0; 12], &[0, 1, 2, 0], 1).0;
        assert!((report.loss - expected).abs() < 1e-6, "{kind:?}: {report:?}, {expected}");
        assert!((report.cross_entropy - 2f64.ln()).abs() < 1e-6, "{kind:?}: {report:?}");
    }
}

#[test]
fn a_perfect_answer_has_full_dice_and_little_loss() {
    for (name, loss) in losses() {
        let (_, labels) = batch();
        let report = loss.of(&answers(&loss, &labels, 20.0), &labels, 2).0;
        assert!(report.loss < 1e-6 && report.dice == 1.0, "{name}: {report:?}");
    }
}

#[test]
fn answers_that_are_sure_have_finite_gradients() {
    for (name, loss) in losses() {
        let (_, labels) = batch();
        for logit in [50.0, -50.0, 1e4, -1e4] {
            let (report, gradient) = loss.of(&answers(&loss, &labels, logit), &labels, 2);
            let is_finite = report.loss.is_finite() && gradient.iter().all(|g| g.is_finite());
            assert!(is_finite, "{name}, {logit}: {report:?}");
        }
    }
}

#[test]
fn a_logit_that_is_no_number_shows_in_the_loss() {
    for (name, loss) in losses() {
        for n in [100, 200] {
            let (mut logits, labels) = batch();
            logits[n] = f32::NAN;
            assert!(!loss.of(&logits, &labels, 2).0.loss.is_finite(), "{name}");
        }
    }
}

#[test]
fn any_number_of_threads_finds_the_same() {
    let (logits, labels) = batch();
    let logits: Vec<f32> = logits.iter().cycle().take(3 * 40_000).copied().collect();
    let labels: Vec<u8> = labels.iter().cycle().take(40_000).copied().collect();
    for (name, loss) in losses() {
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| loss.of(&logits, &labels, 2))
        };
        assert_eq!(with(1), with(4), "{name}");
    }
}

/// The tensor's way on the CPU is the host's way, to the last bit.
#[test]
fn a_tensor_on_the_cpu_has_the_same_loss() {
    for (name, loss) in losses() {
        let (logits, labels) = batch();
        let found = tensor_way(&loss, &logits, &labels, &Device::flex());
        assert_eq!(found, loss.of(&logits, &labels, 2), "{name}");
    }
}

/// The logits as tensors of two samples on a device.
fn tensor_way(loss: &Loss, logits: &[f32], labels: &[u8], device: &Device) -> (Report, Vec<f32>) {
    let shape = [2, 3, 1, 1, labels.len() / 2];
    let logits = Tensor::from_data(TensorData::new(logits.to_vec(), shape), device);
    let (report, gradient) = loss.of_tensor(logits, labels, |_| Ok(())).unwrap();
    (report, numbers(gradient))
}

/// More than one part of a sample, and a sample that fills no last word of codes.
#[test]
fn a_gpu_finds_what_the_host_finds() {
    let found = ["cuda", "wgpu"].map(|name| crate::device::device(Some(name)).ok());
    let Some(device) = found.into_iter().flatten().next() else {
        println!("skipped: no GPU, or none whose driver this build has");
        return;
    };
    for (name, loss) in losses() {
        for num_voxels in [40, 33_001] {
            let (logits, labels) = batch();
            let logits: Vec<f32> = logits.iter().cycle().take(6 * num_voxels).copied().collect();
            let labels: Vec<u8> = labels.iter().cycle().take(2 * num_voxels).copied().collect();
            let (expected, host) = loss.of(&logits, &labels, 2);
            let (found, gpu) = tensor_way(&loss, &logits, &labels, &device);
            let near = |a: f64, b: f64| (a - b).abs() < 2e-6 * (1.0 + b.abs());
            let same = near(found.loss, expected.loss)
                && near(found.cross_entropy, expected.cross_entropy)
                && found.dice == expected.dice;
            assert!(same, "{name}: {found:?}, {expected:?}");
            let largest = host.iter().fold(0f32, |m, v| m.max(v.abs()));
            let worst = gpu.iter().zip(&host).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
            assert!(worst < 2e-5 * largest, "{name}: {worst} of {largest}");
        }
        let (_, labels) = batch();
        for logit in [50.0, -50.0, 1e4, -1e4] {
            let logits = answers(&loss, &labels, logit);
            let (found, gradient) = tensor_way(&loss, &logits, &labels, &device);
            let is_finite = found.loss.is_finite() && gradient.iter().all(|g| g.is_finite());
            assert!(is_finite, "{name}, {logit}: {found:?}");
        }
        for n in [100, 200] {
            let (mut logits, labels) = batch();
            logits[n] = f32::NAN;
            let found = tensor_way(&loss, &logits, &labels, &device).0;
            assert!(!found.loss.is_finite(), "{name}: {found:?}");
        }
    }
}
