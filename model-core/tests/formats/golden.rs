//! Files that other libraries wrote, and what they read in them.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use model_core::formats::study::{ScanFormat, Series, SourceFile, Study};
use model_core::{Affine, Volume};
use serde_json::Value;

pub fn golden() -> Value {
    let text = match std::env::var("GOLDEN") {
        Ok(path) => std::fs::read_to_string(path).unwrap(),
        Err(_) => include_str!("golden.json").to_string(),
    };
    serde_json::from_str(&text).unwrap()
}

/// Returns bytes that are stored packed, in base64.
pub fn bytes(value: &Value) -> Vec<u8> {
    let packed = STANDARD.decode(value.as_str().unwrap()).unwrap();
    let mut out = Vec::new();
    ZlibDecoder::new(packed.as_slice()).read_to_end(&mut out).unwrap();
    out
}

fn only_series(files: Vec<SourceFile>) -> Series {
    let mut study = Study::open(files).unwrap();
    assert!(study.refused.is_empty(), "{:?}", study.refused);
    assert_eq!(study.series.len(), 1);
    study.series.remove(0)
}

fn file(path: &str, bytes: Vec<u8>) -> SourceFile {
    SourceFile { path: path.to_string(), bytes }
}

fn assert_affine(name: &str, found: &Affine, rows: [[f64; 4]; 3]) {
    let difference = found.max_abs_difference(&Affine::from_rows(rows));
    assert!(difference < 1e-4, "{name}: {difference}, {found:?} instead of {rows:?}");
}

/// Asserts that voxels differ by at most `tolerance`, and prints where they differ most.
fn assert_voxels(name: &str, volume: &Volume, expected: &[f64], tolerance: f64) {
    assert_eq!(volume.values().len(), expected.len(), "{name}");
    let differences = volume.values().iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs());
    let (at, most) = differences.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    let (found, expected) = (volume.values()[at], expected[at]);
    assert!(most <= tolerance, "{name}: voxel {at} is {found} instead of {expected}");
}

#[test]
fn every_encoding_of_dicom_gives_the_same_voxels() {
    let golden = golden();
    let extent = |name: &str| golden[name].as_u64().unwrap() as usize;
    let cases = golden["dicom"].as_array().unwrap();
    assert!(cases.len() >= 25);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let series = only_series(vec![file("slice", bytes(&case["file"]))]);
        assert_eq!(series.summary().format, ScanFormat::Dicom);
        assert_eq!(series.summary().dims, [extent("columns"), extent("rows"), 1], "{name}");
        let rows = [[-0.75, 0., 0., 10.], [0., -0.5, 0., 20.], [0., 0., 4., 30.]];
        assert_affine(name, &series.summary().world_from_voxel, rows);
        let scan = series.read().unwrap_or_else(|error| panic!("{name}: {error}"));
        let pixels = bytes(&golden["pixels"][case["pixels"].as_u64().unwrap() as usize]);
        let stored = pixels.chunks_exact(4).map(|b| i32::from_le_bytes(b.try_into().unwrap()));
        // The file's rescale slope and intercept.
        let expected: Vec<f64> = stored.map(|value| f64::from(value) * 0.5 - 3.0).collect();
        let tolerance = case["tolerance"].as_f64().unwrap() * 0.5;
        assert_voxels(name, &scan.volumes[0], &expected, tolerance);
    }
}

#[test]
fn scans_of_other_formats_are_read_as_by_their_own_libraries() {
    let golden = golden();
    let cases = golden["scans"].as_array().unwrap();
    assert!(cases.len() >= 15);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let mut files = vec![file("a/scan.hdr", bytes(&case["file"]))];
        if let Some(voxels) = case.get("voxels_file") {
            files.push(file("a/scan.img", bytes(voxels)));
        }
        let series = only_series(files);
        let scan = series.read().unwrap_or_else(|error| panic!("{name}: {error}"));
        let rows: [[f64; 4]; 3] = serde_json::from_value(case["affine"].clone()).unwrap();
        assert_affine(name, &series.summary().world_from_voxel, rows);
        let [channels, k, j, i]: [usize; 4] =
            serde_json::from_value(case["shape"].clone()).unwrap();
        assert_eq!((series.summary().dims, series.summary().num_channels), ([i, j, k], channels));
        assert_eq!(scan.volumes.len(), channels, "{name}");
        let voxels = bytes(&case["voxels"]);
        let voxels: Vec<f64> =
            voxels.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect();
        for (volume, expected) in scan.volumes.iter().zip(voxels.chunks_exact(i * j * k)) {
            assert_eq!(volume.grid().dims, [i, j, k]);
            assert_affine(name, &volume.grid().world_from_voxel, rows);
            assert_voxels(name, volume, expected, 0.0);
        }
    }
}
