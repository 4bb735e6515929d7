use super::*;
use crate::metrics::{EmptyRule, dice};
use sha2::{Digest, Sha256};

fn labels(case: &Case) -> &[u8] {
    case.labels().unwrap().labels()
}

#[test]
fn every_phantom_has_every_label_inside_its_brain() {
    for seed in 0..50 {
        let case = phantom(seed, 32);
        Case::new("", case.channels().to_vec(), case.labels().cloned(), &task()).unwrap();
        for code in 1..=3 {
            let count = labels(&case).iter().filter(|&&label| label == code).count();
            assert!(count >= MIN_LABEL_VOXELS, "seed {seed}: {count} voxels of label {code}");
        }
        for channel in case.channels() {
            let mut pairs = channel.values().iter().zip(labels(&case));
            assert!(pairs.all(|(v, label)| *v >= 0.0 && (*label == 0 || *v > 0.0)));
            let brain = channel.values().iter().filter(|v| **v > 0.0).count();
            assert!((6_000..16_000).contains(&brain), "seed {seed}: {brain} voxels of brain");
        }
    }
}

#[test]
fn a_phantom_is_a_function_of_its_seed() {
    assert_eq!(phantom(7, 32), phantom(7, 32));
    assert_ne!(phantom(7, 32).labels(), phantom(8, 32).labels());
}

/// The browser computes the same bytes. A change of this number changes the demonstration.
#[test]
fn a_phantoms_bytes_never_change() {
    let case = phantom(1, 32);
    let mut hasher = Sha256::new();
    for channel in case.channels() {
        channel.values().iter().for_each(|voxel| hasher.update(voxel.to_le_bytes()));
    }
    hasher.update(labels(&case));
    let hash = hex::encode(&hasher.finalize()[..8]);
    assert_eq!(hash, "dd8e4ae4b71fc1db");
}

/// Segmentation needs several channels and shapes: even the best of 64 thresholds on a single channel,
/// chosen by the reference labels, segments no region well.
#[test]
fn no_threshold_on_one_channel_segments_a_region() {
    for region in &task().regions {
        let mut mean_best = 0.0;
        for seed in 0..8 {
            let case = phantom(seed, 32);
            let mut best = 0.0f64;
            for channel in case.channels() {
                let highest = channel.values().iter().copied().fold(0.0, f32::max);
                for step in 1..64 {
                    let threshold = highest * step as f32 / 64.0;
                    let above = |v: &f32| if *v > threshold { region.writes } else { 0 };
                    let found: Vec<u8> = channel.values().iter().map(above).collect();
                    let score = dice(&found, labels(&case), &region.labels, EmptyRule::Brats2023);
                    best = best.max(score);
                }
            }
            mean_best += best / 8.0;
        }
        assert!(mean_best < 0.85, "{}: {mean_best}", region.name);
    }
}
