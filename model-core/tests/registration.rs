//! Registration on real scans. This test lies here and not in `tests/`, so that it is built without
//! burn.

use std::ops::ControlFlow;

use model_core::{Affine, Error, Grid, Motion, Volume, are_aligned, register};

#[path = "registration/pairs.rs"]
mod pairs;
use pairs::{FieldOfView, Pair};

fn go(_: f32) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// 40 random motions up to 15° and 20 mm. The example `registration_error` measures 40 of each kind,
/// and writes them for `model-core/tests/registration/simpleitk.py`.
#[test]
fn random_motions_are_undone() {
    let tumor = (0..32).map_while(pairs::tumor_pair);
    let skull = (0..4).map_while(|n| pairs::skull_pair(n, FieldOfView::Whole));
    let slices = (0..2).map_while(|n| pairs::skull_pair(n, FieldOfView::ThickSlices));
    let slab = (0..2).map_while(|n| pairs::skull_pair(n, FieldOfView::Slab));
    let mut errors: Vec<(f64, String)> = Vec::new();
    for pair in tumor.chain(skull).chain(slices).chain(slab) {
        let found =
            register(&pair.reference, &pair.moving, Motion::Rigid, Affine::IDENTITY, &mut go);
        let found = found.unwrap().expect("not canceled");
        assert!(found.mutual_information_after > found.mutual_information_before, "{}", pair.name);
        errors.push((pairs::mean_error_mm(&pair, &found.moving_from_reference), pair.name));
    }
    // Without data, the pairs have printed why.
    let num_good = errors.iter().filter(|(error, _)| *error < 0.5).count();
    assert!(num_good * 40 >= errors.len() * 38, "{num_good} of {}: {errors:?}", errors.len());
}

#[test]
fn aligned_scans_are_told_from_moved_ones() {
    let Some(Pair { reference, moving, moving_from_reference, .. }) = pairs::tumor_pair(6) else {
        return;
    };
    let check = |map: &Affine| are_aligned(&reference, &moving, map, &mut go).unwrap().unwrap();
    assert!(check(&moving_from_reference).is_aligned, "{:?}", check(&moving_from_reference));
    let mut shifted = moving_from_reference;
    shifted.0.translation.y += 4.0;
    assert!(!check(&shifted).is_aligned, "{:?}", check(&shifted));
    shifted.0.translation.z += 500.0;
    let apart = check(&shifted);
    assert!(!apart.is_aligned && apart.overlap == 0.0, "{apart:?}");
}

/// An ellipsoid with two smaller ones in it, of `intensities`, on an anisotropic grid.
fn head(intensities: [f32; 3]) -> Volume {
    let grid = Grid::new([48, 40, 20], Affine::from_spacing([4.0, 5.0, 8.0]));
    let mut values = vec![0.0; grid.num_voxels()];
    for (n, value) in values.iter_mut().enumerate() {
        let [x, y, z] = [n % 48, n / 48 % 40, n / 48 / 40].map(|v| v as f64);
        let inside = |[a, b, c]: [f64; 3], [p, q, r]: [f64; 3]| {
            ((x - a) / p).powi(2) + ((y - b) / q).powi(2) + ((z - c) / r).powi(2) < 1.0
        };
        for (ellipsoid, intensity) in [
            ([24.0, 20.0, 10.0], [17.0, 15.0, 8.0]),
            ([19.0, 23.0, 12.0], [5.0, 6.0, 3.0]),
            ([30.0, 14.0, 8.0], [4.0, 3.0, 3.0]),
        ]
        .into_iter()
        .zip(intensities)
        {
            if inside(ellipsoid.0, ellipsoid.1) {
                *value = intensity;
            }
        }
    }
    Volume::new(grid, values).unwrap()
}

#[test]
fn heads_that_do_not_overlap_are_brought_together() {
    let (reference, other) = (head([100.0, 40.0, 160.0]), head([0.2, 0.9, 0.5]));
    let mut grid = other.grid().clone();
    let away = Affine::from_rows([
        [1.0, 0.0, 0.0, 400.0],
        [0.0, 0.995, -0.0998, -300.0],
        [0.0, 0.0998, 0.995, 900.0],
    ]);
    grid.world_from_voxel = away.compose(&grid.world_from_voxel);
    let moving = Volume::new(grid, other.into_values()).unwrap();
    for motion in [Motion::Rigid, Motion::Affine] {
        let found = register(&reference, &moving, motion, Affine::IDENTITY, &mut go);
        let found = found.unwrap().unwrap();
        let center = [96.0, 100.0, 80.0];
        let (at, expected) = (found.moving_from_reference.apply(center), away.apply(center));
        let distance = (0..3).map(|a| (at[a] - expected[a]).powi(2)).sum::<f64>().sqrt();
        assert!(distance < 1.0, "{motion:?}: {distance} mm");
        assert!((found.rotation_deg - 5.73).abs() < 1.0, "{motion:?}: {}°", found.rotation_deg);
        let again = register(&reference, &moving, motion, Affine::IDENTITY, &mut go);
        assert_eq!(again.unwrap().unwrap(), found, "the same to the bit");
    }
}

#[test]
fn registration_can_be_canceled_and_refuses_empty_scans() {
    let scan = head([100.0, 40.0, 160.0]);
    let mut num_calls = 0;
    let mut stop = |fraction: f32| {
        assert!((0.0..=1.0).contains(&fraction));
        num_calls += 1;
        if num_calls == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let canceled = register(&scan, &scan, Motion::Rigid, Affine::IDENTITY, &mut stop);
    assert_eq!(canceled.unwrap(), None);
    let constant = head([0.0; 3]);
    for (reference, moving) in [(&constant, &scan), (&scan, &constant)] {
        let refused = register(reference, moving, Motion::Rigid, Affine::IDENTITY, &mut go);
        assert!(matches!(refused, Err(Error::Scan { .. })), "{refused:?}");
    }
}
