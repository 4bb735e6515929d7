//! Headers with damaged or missing fields are read as nibabel or SimpleITK read them, with a
//! warning about damaged fields. `tests/nifti/golden.py` writes the expected results.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use model_core::Affine;
use model_core::formats::nifti::{self, Reader};
use serde_json::Value;

fn bytes_of_hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(2);
    digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

/// Returns the file of a golden case: its header, voxels from 0 to 119 in 16 bits, and the bytes
/// that follow.
fn file(case: &Value) -> Vec<u8> {
    let mut file = bytes_of_hex(case["header"].as_str().unwrap());
    file.extend((0i16..120).flat_map(i16::to_le_bytes));
    if case["gzip"].as_bool().unwrap() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&file).unwrap();
        file = encoder.finish().unwrap();
    }
    match &case["behind"] {
        Value::Number(zeros) => file.resize(file.len() + zeros.as_u64().unwrap() as usize, 0),
        hex => file.extend(bytes_of_hex(hex.as_str().unwrap())),
    }
    file
}

#[test]
fn voxels_and_positions_match_nibabel_and_simpleitk() {
    let golden: Vec<Value> = serde_json::from_str(include_str!("nifti/golden.json")).unwrap();
    assert!(golden.len() >= 40);
    for case in &golden {
        let (name, file) = (case["name"].as_str().unwrap(), file(case));
        let volumes = nifti::read(&file).unwrap_or_else(|e| panic!("{name}: {e}"));
        let expected: [[f64; 4]; 3] =
            serde_json::from_value(case["world_from_voxel"].clone()).unwrap();
        let grid = volumes[0].grid();
        let difference = grid.world_from_voxel.max_abs_difference(&Affine::from_rows(expected));
        assert!(difference < 1e-5, "{name}: {:?}, {}", grid.world_from_voxel, case["judge"]);
        let second = case["second_voxel"].as_f64().unwrap();
        assert_eq!(f64::from(volumes[0].values()[1]), second, "{name}");
        // A written file lies at the position that was read.
        let written = nifti::write_volumes(&volumes).unwrap();
        let again = &nifti::read(&written).unwrap()[0];
        assert_eq!(again.values(), volumes[0].values(), "{name}");
        let difference = again.grid().world_from_voxel.max_abs_difference(&grid.world_from_voxel);
        assert!(difference < 1e-5, "{name}: {difference} after writing");
    }
}

#[test]
fn damaged_fields_cause_warnings() {
    let golden: Vec<Value> = serde_json::from_str(include_str!("nifti/golden.json")).unwrap();
    let warnings = |name: &str| {
        let case = golden.iter().find(|case| case["name"] == name).unwrap();
        Reader::open(&file(case)).unwrap().warnings().join(" ")
    };
    for name in ["qform", "sform", "one slice", "meters", "slope 0, intercept 5"] {
        assert_eq!(warnings(name), "", "{name}");
    }
    for (name, text) in [
        ("both codes 0", "does not state how the scan lies in space"),
        ("sform twice as large as the spacing", "two voxel sizes"),
        ("sform of zeros, qform", "qform is used"),
        ("sform, bad qform", "sform is used"),
        ("slope NaN", "scl_slope is NaN"),
        ("slope 2, intercept infinite", "scl_inter is inf"),
        ("bitpix 8", "8 bits a voxel"),
    ] {
        assert!(warnings(name).contains(text), "{name}: {}", warnings(name));
    }
}
