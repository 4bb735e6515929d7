//! Thousands of randomly changed files of every kind cause no panic and need no more memory than
//! their size justifies.

use std::panic::{AssertUnwindSafe, catch_unwind};

use model_core::LabelMap;
use model_core::formats::study::{SourceFile, Study};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::arrangement::multi_frame;
use super::counting::peak_bytes;
use super::dicom::slice;
use super::golden;
use super::segmentation::segmentation;
use super::zip::archive;

/// The changed files of each kind.
const NUM_CHANGED: usize = 400;

/// Memory for each byte of a file and beside it: a codec may expand a megapixel from few bytes, to
/// integers and floats, and keeps coefficients of its own.
const BYTES_PER_BYTE: usize = 64;
const EXTRA_BYTES: usize = 48 << 20;

/// Changes a few bytes, or removes, repeats or cuts some.
fn change(bytes: &mut Vec<u8>, random: &mut ChaCha8Rng) {
    for _ in 0..random.random_range(1..4) {
        let length = bytes.len().max(1);
        let at = random.random_range(0..length);
        let count = random.random_range(1..=8).min(length - at);
        match random.random_range(0..8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..(at + count).min(bytes.len()))),
            2 => {
                let part = bytes[at.min(bytes.len())..(at + count).min(bytes.len())].to_vec();
                bytes.splice(at..at, part);
            }
            3 => {
                let value: u8 = [0, 1, 0x7f, 0x80, 0xff][random.random_range(0..5)];
                bytes.iter_mut().skip(at).take(count).for_each(|byte| *byte = value);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.random_range(0..8);
                }
            }
        }
        if bytes.is_empty() {
            return;
        }
    }
}

/// Opens files, reads all that can be read, and writes segmentations of it.
fn read(files: Vec<SourceFile>) -> bool {
    let Ok(study) = Study::open(files) else { return false };
    let mut is_read = false;
    let segmentation = segmentation();
    for series in &study.series {
        if let Ok(scan) = series.read() {
            is_read = true;
            let map = LabelMap::background(scan.volumes[0].grid().clone());
            let _ = series.write_segmentation(0, &map, &segmentation);
        }
        let _ = series.thumbnail(24);
    }
    is_read
}

#[test]
fn changed_files_cause_no_panic_and_no_large_allocation() {
    let golden = golden::golden();
    let mut seeds: Vec<(String, Vec<u8>, Option<Vec<u8>>)> = Vec::new();
    for kind in ["dicom", "scans"] {
        for case in golden[kind].as_array().unwrap() {
            let voxels = case.get("voxels_file").map(golden::bytes);
            let name = case["name"].as_str().unwrap().to_string();
            seeds.push((name, golden::bytes(&case["file"]), voxels));
        }
    }
    let single = [slice(0).bytes(), slice(1).bytes()];
    seeds.push(("multi-frame".to_string(), multi_frame(&[0, 1]).bytes(), None));
    seeds.push((
        "ZIP".to_string(),
        archive(&[("a", &single[0]), ("b", &single[1])], 0, None),
        None,
    ));
    let (mut num_read, mut num_all) = (0, 0);
    for (seed, (name, bytes, voxels)) in seeds.iter().enumerate() {
        for number in 0..NUM_CHANGED {
            let mut random = ChaCha8Rng::seed_from_u64((seed << 32 | number) as u64);
            let mut changed = bytes.clone();
            change(&mut changed, &mut random);
            let length = changed.len() + voxels.as_ref().map_or(0, Vec::len);
            let file = |path: &str, bytes| SourceFile { path: path.to_string(), bytes };
            let mut files = vec![file("scan.hdr", changed)];
            files.extend(voxels.clone().map(|voxels| file("scan.img", voxels)));
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let mut is_read = false;
                let peak = peak_bytes(|| is_read = read(files));
                (peak, is_read)
            }));
            let Ok((peak, is_read)) = outcome else { panic!("{name}, change {number}") };
            let limit = BYTES_PER_BYTE * length + EXTRA_BYTES;
            assert!(peak <= limit, "{name}, change {number}: {peak} bytes for {length}");
            num_read += usize::from(is_read);
            num_all += 1;
        }
    }
    // Most changes are small, so that they reach the decoders.
    assert!(num_all >= 10_000 && 4 * num_read > num_all, "{num_read} of {num_all}");
}
