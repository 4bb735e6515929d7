//! A real examination: four series of a patient with a tumor, in DICOM.

use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use model_core::Affine;
use model_core::formats::study::{SourceFile, Study};

/// Returns the folder of a real examination, or prints that the test is skipped.
fn folder() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = env::var_os("REWIND_DATA").map_or(root, PathBuf::from).join("dicom/tumor-study");
    if !folder.exists() {
        // The test harness hides the output of passing tests.
        let _ = writeln!(std::io::stderr(), "skipped: no dicom/tumor-study in $REWIND_DATA");
        return None;
    }
    Some(folder)
}

fn read(folder: &Path, files: &mut Vec<SourceFile>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => read(&path, files),
            false => {
                let bytes = fs::read(&path).unwrap();
                files.push(SourceFile { path: path.display().to_string(), bytes });
            }
        }
    }
}

/// A series' folder, its size, the sum of its voxels, their sum weighted by index modulo 1009, and
/// its affine.
type Golden = (&'static str, [usize; 3], i64, i64, [[f64; 4]; 3]);

/// The numbers of `real_data.py`.
const SERIES: [Golden; 4] = [
    (
        "flair",
        [280, 320, 22],
        478118949,
        240914239842,
        [
            [-0.6875, 0.0, -0.001672, 97.178176],
            [3.3e-05, -0.675324, -1.217916, 83.173486],
            [-0.000174, -0.128818, 6.384879, -11.422343],
        ],
    ),
    (
        "t1",
        [280, 320, 22],
        537663947,
        270946101780,
        [
            [-0.6875, 0.0, -0.001672, 97.178176],
            [3.3e-05, -0.675324, -1.217916, 83.173486],
            [-0.000174, -0.128818, 6.384879, -11.422343],
        ],
    ),
    (
        "t1post",
        [280, 320, 22],
        601532147,
        303129584768,
        [
            [-0.6875, 0.0, -0.001672, 97.178176],
            [3.3e-05, -0.675324, -1.217916, 83.173486],
            [-0.000174, -0.128818, 6.384879, -11.422343],
        ],
    ),
    (
        "t2",
        [280, 320, 22],
        473725195,
        238745693231,
        [
            [-0.6875, 0.0, -0.001672, 97.178176],
            [3.3e-05, -0.675324, -1.217916, 83.173486],
            [-0.000174, -0.128818, 6.384879, -11.422343],
        ],
    ),
];

fn files() -> Option<Vec<SourceFile>> {
    let mut files = Vec::new();
    read(&folder()?, &mut files);
    Some(files)
}

#[test]
fn a_real_examination_is_read_as_by_simpleitk() {
    let Some(files) = files() else { return };
    let study = Study::open(files).unwrap();
    assert_eq!((study.series.len(), study.refused.len(), study.notes.len()), (4, 0, 0));
    for (folder, dims, sum, placed, rows) in SERIES {
        let is_in = |path: &str| path.contains(&format!("/{folder}/"));
        let series = study.series.iter().find(|series| is_in(&series.summary().path)).unwrap();
        assert_eq!(series.summary().dims, dims);
        let difference =
            series.summary().world_from_voxel.max_abs_difference(&Affine::from_rows(rows));
        assert!(difference < 1e-4, "{folder}: {difference}");
        let scan = series.read().unwrap();
        let voxels = scan.volumes[0].values().iter().map(|&value| value as i64);
        assert_eq!(voxels.clone().sum::<i64>(), sum, "{folder}");
        let weighted = voxels.enumerate().map(|(n, value)| value * (n % 1009) as i64);
        assert_eq!(weighted.sum::<i64>(), placed, "{folder}");
    }
}

#[test]
fn slices_missing_from_a_real_series_are_told() {
    let Some(mut files) = files() else { return };
    let mut of_t2: Vec<String> = files.iter().map(|file| file.path.clone()).collect();
    of_t2.retain(|path| path.contains("/t2/"));
    of_t2.sort();
    files.retain(|file| !of_t2[7..9].contains(&file.path));
    let study = Study::open(files).unwrap();
    let problems: Vec<(&str, &str)> = study
        .series
        .iter()
        .filter_map(|series| {
            Some((series.summary().name.as_str(), series.summary().problem.as_deref()?))
        })
        .collect();
    let [(name, problem)] = problems[..] else { panic!("{problems:?}") };
    assert_eq!(name, "T2_reg");
    assert!(problem.contains("2 slices missing"), "{problem}");
}
