//! Measures how often `are_aligned` errs: on scans of one case, and on the same after a motion.
//!
//! ```text
//! cargo run -p model-core --example alignment_rates -- FOLDER... (each of one case, NIfTI files)
//! ```
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use glam::DVec3;
use model_core::formats::nifti;
use model_core::registration::are_aligned;
use model_core::{Affine, Volume};

#[path = "../tests/registration/pairs.rs"]
#[allow(dead_code)]
mod pairs;

fn read(folder: &Path) -> Vec<(String, Volume)> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    paths
        .iter()
        .filter(|path| {
            name(path).ends_with(".nii.gz")
                && !name(path).contains("seg")
                && !name(path).contains("pred")
        })
        .map(|path| (name(path), nifti::read(&std::fs::read(path).unwrap()).unwrap().remove(0)))
        .collect()
}

fn main() {
    let (mut still, mut moved_by) = (Vec::new(), Vec::new());
    let mut seconds = 0.0;
    for folder in std::env::args().skip(1) {
        let scans = read(Path::new(&folder));
        for (a, (reference_name, reference)) in scans.iter().enumerate() {
            for (_, (moving_name, moving)) in scans.iter().enumerate().filter(|(b, _)| *b != a) {
                let mut check = |map: &Affine| {
                    let start = user_secs();
                    let found =
                        are_aligned(reference, moving, map, &mut |_| ControlFlow::Continue(()));
                    seconds += user_secs() - start;
                    found.unwrap().unwrap()
                };
                let found = check(&Affine::IDENTITY);
                println!(
                    "{folder} {reference_name} {moving_name} still {:.2} mm, overlap {:.2}, {}",
                    found.displacement_mm, found.overlap, found.is_aligned
                );
                still.push(found);
                let seed = 7000 + (still.len() as u64);
                for (kind, map) in motions(seed, pairs::center(reference)) {
                    let found = check(&map);
                    println!(
                        "{folder} {reference_name} {moving_name} {kind} {:.2} mm, {}",
                        found.displacement_mm, found.is_aligned
                    );
                    moved_by.push((kind, found));
                }
            }
        }
    }
    if still.is_empty() {
        eprintln!("expected folders of cases with at least two scans (NIfTI), found none");
        std::process::exit(2);
    }
    let alarms = still.iter().filter(|found| !found.is_aligned).count();
    let mut distances: Vec<f64> = still.iter().map(|found| found.displacement_mm).collect();
    distances.sort_by(f64::total_cmp);
    println!(
        "still: {alarms} false alarms of {}; {:.2} s a check",
        still.len(),
        seconds / (still.len() + moved_by.len()) as f64
    );
    println!(
        "  median {:.2}, 95 % {:.2}, worst {:.2?}",
        distances[distances.len() / 2],
        distances[distances.len() * 95 / 100],
        &distances[distances.len().saturating_sub(8)..]
    );
    for kind in ["3 mm", "3 deg", "3 mm and 3 deg"] {
        let of: Vec<_> = moved_by.iter().filter(|(k, _)| *k == kind).collect();
        let mut d: Vec<f64> = of.iter().map(|(_, f)| f.displacement_mm).collect();
        d.sort_by(f64::total_cmp);
        let missed = of.iter().filter(|(_, f)| f.is_aligned).count();
        println!("{kind}: {missed} missed of {}; least {:.2?}", of.len(), &d[..d.len().min(8)]);
    }
}

/// A translation of 3 mm, a rotation by 3 degrees about the head's center, and both. The map that is
/// checked is the motion, so the scans themselves need no interpolation.
fn motions(seed: u64, center: DVec3) -> [(&'static str, Affine); 3] {
    use glam::{DAffine3, DMat3, DQuat};
    let random = pairs::random_motion(seed, center);
    let axis = DQuat::from_mat3(&random.0.matrix3).to_scaled_axis().normalize_or(DVec3::Z);
    let way = (random.0.transform_point3(center) - center).normalize_or(DVec3::X);
    let turn = DMat3::from_quat(DQuat::from_axis_angle(axis, 3f64.to_radians()));
    let map = |turn: DMat3, shift: DVec3| {
        Affine(DAffine3 { matrix3: turn, translation: center + shift - turn * center })
    };
    [
        ("3 mm", map(DMat3::IDENTITY, way * 3.0)),
        ("3 deg", map(turn, DVec3::ZERO)),
        ("3 mm and 3 deg", map(turn, way * 3.0)),
    ]
}

fn user_secs() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux's /proc");
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name.split_whitespace().nth(11).and_then(|t| t.parse::<f64>().ok()).unwrap() / 100.0
}
