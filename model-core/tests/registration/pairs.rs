//! Pairs of scans with a known motion between them, for the test and for the example that measures
//! all of them.

use std::path::{Path, PathBuf};

use glam::{DAffine3, DMat3, DQuat, DVec3};
use model_core::{Affine, Grid, Volume, formats::nifti, resample_onto};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The largest motion.
const MAX_ROTATION_DEG: f64 = 15.0;
const MAX_TRANSLATION_MM: f64 = 20.0;

/// A reference and a scan of another contrast that has moved.
pub struct Pair {
    pub name: String,
    pub reference: Volume,
    pub moving: Volume,
    /// The motion: world millimeters of the reference to those of the moving scan.
    pub moving_from_reference: Affine,
}

/// Returns pair `n` of the contrasts of a tumor case, without skulls, at 2 mm.
///
/// The reference is FLAIR. The published T1 lies up to 1 mm off the other contrasts: SimpleITK moves
/// T2 by 1.1 mm, FLAIR and T1 with contrast agent by 0.6 mm to lie on it.
pub fn tumor_pair(n: u64) -> Option<Pair> {
    let contrast = ["t1n", "t1c", "t2w"][n as usize % 3];
    let read = |name: &str| read(&format!("brats_2mm/brats_gli_00000_000/{name}.nii.gz"));
    let (reference, scan) = (read("t2f")?, read(contrast)?);
    let motion = random_motion(n, center(&reference));
    let moving = moved(&scan, scan.grid(), &motion);
    Some(Pair { name: format!("{contrast} {n}"), reference, moving, moving_from_reference: motion })
}

/// The grid of the moving scan of [`skull_pair`].
#[derive(Clone, Copy)]
pub enum FieldOfView {
    /// The reference's own.
    Whole,
    /// Axial slices of 6 mm through the whole head.
    ThickSlices,
    /// Ten axial slices of 6 mm through the middle of the head.
    Slab,
}

/// Returns pair `n` of two T1 scans with skulls, each with itself in an artificial contrast.
pub fn skull_pair(n: u64, field_of_view: FieldOfView) -> Option<Pair> {
    let name = ["chris_t1", "t1_crop"][n as usize % 2];
    let reference = read(&format!("brain/{name}.nii.gz"))?;
    let other = artificial_contrast(&reference);
    let center = center(&reference);
    let motion = random_motion(1000 + n, center);
    let slices = |num_slices: usize| {
        let (dims, spacing) = ([240, 240, num_slices], DVec3::new(1.0, 1.0, 6.0));
        let middle = dims.map(|dim| (dim as f64 - 1.0) * 0.5);
        let mut world_from_voxel = Affine::from_spacing(spacing.to_array());
        world_from_voxel.0.translation = center - spacing * DVec3::from_array(middle);
        Grid::new(dims, world_from_voxel)
    };
    let grid = match field_of_view {
        FieldOfView::Whole => reference.grid().clone(),
        FieldOfView::ThickSlices => slices(30),
        FieldOfView::Slab => slices(10),
    };
    let mut moving = moved(&other, &grid, &motion);
    add_noise(&mut moving, n);
    Some(Pair { name: format!("{name} {n}"), reference, moving, moving_from_reference: motion })
}

/// Returns the scan after a motion, as a scanner with this grid would see it: parts may leave the
/// field of view.
pub fn moved(scan: &Volume, grid: &Grid, motion: &Affine) -> Volume {
    resample_onto(scan, grid, &motion.inverse().unwrap()).unwrap().volume
}

/// Returns the center of the head.
pub fn center(scan: &Volume) -> DVec3 {
    let places = head(scan);
    places.iter().sum::<DVec3>() / places.len() as f64
}

/// Returns a motion with random axis, angle, direction and length.
pub fn random_motion(seed: u64, center: DVec3) -> Affine {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut direction = || loop {
        let point: DVec3 = std::array::from_fn::<f64, 3, _>(|_| rng.random_range(-1.0..1.0)).into();
        if (0.01..1.0).contains(&point.length_squared()) {
            return point.normalize();
        }
    };
    let (axis, way) = (direction(), direction());
    let angle = rng.random_range(0.0..MAX_ROTATION_DEG).to_radians();
    let translation = way * rng.random_range(0.0..MAX_TRANSLATION_MM);
    let turn = DMat3::from_quat(DQuat::from_axis_angle(axis, angle));
    Affine(DAffine3 { matrix3: turn, translation: center + translation - turn * center })
}

/// Returns the scan in a contrast in which air stays dark, and what was dark in the head is bright,
/// as fluid is in T2; under a bias field of ±30 %.
fn artificial_contrast(scan: &Volume) -> Volume {
    let [ni, nj, nk] = scan.grid().dims;
    let mut other = scan.clone();
    let bright = robust_maximum(scan);
    for (n, value) in other.values_mut().iter_mut().enumerate() {
        let [x, y, z] = [
            (n % ni) as f32 / ni as f32 - 0.5,
            (n / ni % nj) as f32 / nj as f32 - 0.5,
            (n / ni / nj) as f32 / nk as f32 - 0.5,
        ];
        let bias = (0.6 * x - 0.4 * y + 0.8 * z * z).exp();
        let intensity = (*value / bright).clamp(0.0, 1.0);
        let inside = (intensity / 0.15).min(1.0);
        *value = 1000.0 * bias * inside * (1.0 - 0.85 * intensity.powf(0.8));
    }
    other
}

/// Adds noise of 3 % of the brightest tissue, as in the magnitude of a complex signal.
fn add_noise(scan: &mut Volume, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for value in scan.values_mut() {
        let mut noise = || 30.0 * (0..4).map(|_| rng.random_range(-0.87f32..0.87)).sum::<f32>();
        *value = (*value + noise()).hypot(noise());
    }
}

/// Returns the 99th percentile of the intensities that are not background.
pub fn robust_maximum(scan: &Volume) -> f32 {
    let mut sorted: Vec<f32> = scan.values().iter().copied().filter(|&value| value > 0.0).collect();
    sorted.sort_unstable_by(f32::total_cmp);
    sorted[sorted.len() * 99 / 100]
}

/// Returns places inside the head, in world millimeters: every other voxel along each axis that is
/// brighter than a tenth of the robust maximum.
pub fn head(scan: &Volume) -> Vec<DVec3> {
    let ([ni, nj, _], threshold) = (scan.grid().dims, 0.1 * robust_maximum(scan));
    let mut places = Vec::new();
    for (n, &value) in scan.values().iter().enumerate() {
        let voxel = [n % ni, n / ni % nj, n / ni / nj];
        if value > threshold && voxel.iter().all(|&v| v % 2 == 0) {
            places.push(scan.grid().world_from_voxel.apply(voxel.map(|v| v as f64)).into());
        }
    }
    places
}

/// Returns the mean distance between two maps of the head.
pub fn mean_error_mm(pair: &Pair, found: &Affine) -> f64 {
    let places = head(&pair.reference);
    let distance = |place: &DVec3| {
        found
            .0
            .transform_point3(*place)
            .distance(pair.moving_from_reference.0.transform_point3(*place))
    };
    places.iter().map(distance).sum::<f64>() / places.len() as f64
}

fn read(path: &str) -> Option<Volume> {
    let bytes = std::fs::read(data(path)?).unwrap();
    nifti::read(&bytes).unwrap().into_iter().next()
}

/// Returns the path of a file of the real data, in `$REWIND_DATA` or beside the workspace; prints
/// "skipped: …" if it does not exist.
pub fn data(path: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("REWIND_DATA").map_or_else(beside, PathBuf::from);
    let found = folder.join(path);
    if !found.exists() {
        eprintln!("skipped: no {path} in $REWIND_DATA or ../shared/data");
        return None;
    }
    Some(found)
}
