use super::*;
use crate::augment::{ControlGrid, Elastic};
use crate::patches::tests::{DIMS, case};

fn draw(start: [isize; 3]) -> PatchDraw {
    PatchDraw { start, augmentation: Augmentation::none(2) }
}

#[test]
fn a_patch_copies_the_case_and_is_zero_outside() {
    let case = case();
    assert_eq!(case.input.dims, DIMS);
    let (values, labels) = cut_patch(&case, &draw([-1, 2, 10]), [4, 4, 8]);
    let at = |[i, j, k]: [usize; 3]| i + 4 * (j + 4 * k);
    let scan = |[i, j, k]: [usize; 3], c: usize| {
        case.input.values[c * 1536 + i + DIMS[0] * (j + DIMS[1] * k)]
    };
    assert_eq!(values[at([3, 1, 2])], scan([2, 3, 12], 0));
    assert_eq!(values[128 + at([1, 0, 5])], scan([0, 2, 15], 1));
    assert_eq!((values[at([0, 1, 2])], values[at([3, 1, 6])]), (0.0, 0.0));
    assert!(labels.iter().all(|&label| label == 0));
    assert_eq!(cut_patch(&case, &draw([4, 0, 10]), [4, 4, 8]).1[at([2, 2, 3])], 1);
    let (far, _) = cut_patch(&case, &draw([100, -50, 3]), [4; 3]);
    assert!(far.iter().all(|value| *value == 0.0));
}

#[test]
fn a_flip_mirrors_values_and_labels() {
    let case = case();
    let patch = [4, 3, 5];
    let plain = cut_patch(&case, &draw([4, 0, 10]), patch);
    for flip in [[true, false, false], [false, true, false], [false, false, true], [true; 3]] {
        let mut mirrored = draw([4, 0, 10]);
        mirrored.augmentation.flip = flip;
        let flipped = cut_patch(&case, &mirrored, patch);
        for n in 0..60 {
            let at = [n % 4, n / 4 % 3, n / 12];
            let [i, j, k]: [usize; 3] =
                std::array::from_fn(|a| if flip[a] { patch[a] - 1 - at[a] } else { at[a] });
            let other = i + 4 * (j + 3 * k);
            assert_eq!((plain.1[n], plain.0[60 + n]), (flipped.1[other], flipped.0[60 + other]));
        }
    }
}

/// The identity, and a quarter turn about the third axis, which maps voxels onto voxels.
#[test]
fn rotations_that_map_voxels_onto_voxels_are_exact() {
    let case = case();
    let plain = cut_patch(&case, &draw([2, 3, 8]), [4; 3]);
    let mut turned = draw([2, 3, 8]);
    turned.augmentation.scan_from_patch = Some([[1., 0., 0.], [0., 1., 0.], [0., 0., 1.]]);
    assert_eq!(cut_patch(&case, &turned, [4; 3]), plain);
    turned.augmentation.scan_from_patch = Some([[0., -1., 0.], [1., 0., 0.], [0., 0., 1.]]);
    let (values, labels) = cut_patch(&case, &turned, [4; 3]);
    for n in 0..64 {
        let [i, j, k] = [n % 4, n / 4 % 4, n / 16];
        let from = (3 - j) + 4 * (i + 4 * k);
        assert_eq!((values[n], labels[n]), (plain.0[from], plain.1[from]));
    }
}

/// Halfway between two voxels the value is their mean. Outside the case it is 0.
#[test]
fn values_between_voxels_are_trilinear_and_labels_are_nearest() {
    let case = case();
    let mut halfway = draw([0, 0, 0]);
    let half = ControlGrid { size: [1; 3], values: vec![0.5] };
    halfway.augmentation.elastic = Some(Elastic { displacements: [Some(half), None, None] });
    let (values, labels) = cut_patch(&case, &halfway, DIMS);
    for row in 0..DIMS[1] * DIMS[2] {
        for i in 0..DIMS[0] {
            let at = row * DIMS[0] + i;
            let next = if i + 1 < DIMS[0] { case.input.values[at + 1] } else { 0.0 };
            let expected = (case.input.values[at] + next) / 2.0;
            assert!((values[at] - expected).abs() < 1e-6, "{} {expected}", values[at]);
            let label = if i + 1 < DIMS[0] { case.labels[at + 1] } else { 0 };
            assert_eq!(labels[at], label, "a point halfway belongs to the next voxel");
        }
    }
}

/// Rotation and displacements are applied in one interpolation.
#[test]
fn opposite_displacements_undo_a_rotation() {
    let case = case();
    let plain = cut_patch(&case, &draw([1, 4, 6]), [3; 3]);
    let mut turned = draw([1, 4, 6]);
    turned.augmentation.scan_from_patch = Some([[0., -1., 0.], [1., 0., 0.], [0., 0., 1.]]);
    // At each voxel of the patch: its offset from the center minus the rotated offset.
    let offset = |n: usize| [(n % 3) as f32 - 1.0, (n / 3 % 3) as f32 - 1.0];
    let field = |value: &dyn Fn([f32; 2]) -> f32| {
        Some(ControlGrid { size: [3; 3], values: (0..27).map(|n| value(offset(n))).collect() })
    };
    let displacements = [field(&|[x, y]| x + y), field(&|[x, y]| y - x), None];
    turned.augmentation.elastic = Some(Elastic { displacements });
    assert_eq!(cut_patch(&case, &turned, [3; 3]), plain);
}
