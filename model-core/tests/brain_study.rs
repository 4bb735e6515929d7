//! Brain extraction on a real examination with skull: four series of a glioblastoma after resection,
//! 22 slices of 5 mm.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;

use model_core::brain::{BRAIN_NETWORK, extract_brain, is_stripped};
use model_core::formats::study::{SourceFile, Study};
use model_core::metrics::dice;
use model_core::{Bundle, EmptyRule, LabelMap, Volume};

/// The centers of the eyes in world coordinates, read from the T2 series by eye.
const EYES: [[f64; 3]; 2] = [[38.7, 40.7, 16.9], [-30.0, 48.8, 18.4]];

/// Returns T1, T1 after gadolinium, T2 and FLAIR, or prints "skipped: …" and returns `None`.
fn examination() -> Option<Vec<Volume>> {
    let folder = std::env::var_os("REWIND_DATA").map(PathBuf::from);
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = folder.unwrap_or(beside).join("dicom/tumor-study");
    let read = |series: &str| -> Option<Volume> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder.join(series)).ok()? {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            files.push(SourceFile { path: path.to_string_lossy().into_owned(), bytes });
        }
        Some(Study::open(files).unwrap().series[0].read().unwrap().volumes.remove(0))
    };
    let scans = ["t1", "t1post", "t2", "flair"].into_iter().map(read).collect();
    if Option::is_none(&scans) {
        let mut stderr = std::io::stderr(); // the harness hides what `eprintln` prints
        let _ = writeln!(stderr, "skipped: no dicom/tumor-study in $REWIND_DATA or ../shared/data");
    }
    scans
}

fn extract(volumes: &[&Volume]) -> LabelMap {
    let model = Bundle::from_bytes(BRAIN_NETWORK).unwrap();
    extract_brain(&model, volumes, &mut |_| ControlFlow::Continue(())).unwrap().unwrap()
}

/// Returns the volume of the mask in the globe of an eye, in ml.
fn ml_in_eye(mask: &LabelMap, center: [f64; 3]) -> f64 {
    let [ni, nj, _] = mask.grid().dims;
    let is_inside = |n: &usize| {
        let voxel = [n % ni, n / ni % nj, n / (ni * nj)].map(|i| i as f64);
        let point = mask.grid().world_from_voxel.apply(voxel);
        (0..3).map(|a| (point[a] - center[a]).powi(2)).sum::<f64>() < 11.0 * 11.0
    };
    let voxel_ml = mask.volume_ml(&[0, 1]) / mask.labels().len() as f64;
    let labels = mask.labels();
    (0..labels.len()).filter(|n| labels[*n] == 1 && is_inside(n)).count() as f64 * voxel_ml
}

#[test]
fn the_series_of_an_examination_have_one_brain_without_eyes() {
    let Some(scans) = examination() else { return };
    let all = extract(&scans.iter().collect::<Vec<_>>());
    let ml = all.volume_ml(&[1]);
    assert!((1400.0..1650.0).contains(&ml), "{ml} ml");
    for (scan, name) in scans.iter().zip(["T1", "T1 post", "T2", "FLAIR"]) {
        assert!(!is_stripped(scan), "{name}");
        let alone = extract(&[scan]);
        let agreement = dice(alone.labels(), all.labels(), &[1], EmptyRule::Brats2023);
        assert!(agreement > 0.95, "{name}: Dice {agreement} with the mask of all");
        for eye in EYES {
            let ml = ml_in_eye(&alone, eye) + ml_in_eye(&all, eye);
            assert!(ml < 0.05, "{name}: {ml} ml of an eye");
        }
    }
}
