//! Brain extraction on whole heads: synthetic ones, and real scans where the machine has them.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;

use model_core::brain::{BRAIN_NETWORK, HeadBox, extract_brain, is_stripped};
use model_core::metrics::dice;
use model_core::phantom::phantom;
use model_core::phantom::whole_head::{BrainContrast, RealBrain, WholeHead, whole_head};
use model_core::{Affine, Bundle, EmptyRule, Grid, LabelMap, Volume, formats::nifti};

fn model() -> Bundle {
    Bundle::from_bytes(BRAIN_NETWORK).unwrap()
}

fn extract(volumes: &[&Volume]) -> LabelMap {
    extract_brain(&model(), volumes, &mut |_| ControlFlow::Continue(())).unwrap().unwrap()
}

fn dice_of(found: &LabelMap, reference: &LabelMap) -> f64 {
    dice(found.labels(), reference.labels(), &[1], EmptyRule::Brats2023)
}

/// Returns a real scan, or prints "skipped: …" and returns `None`.
fn real_scan(path: &str) -> Option<Volume> {
    let folder = std::env::var_os("REWIND_DATA").map(PathBuf::from);
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    match std::fs::read(folder.unwrap_or(beside).join(path)) {
        Ok(bytes) => Some(nifti::read(&bytes).unwrap().remove(0)),
        Err(_) => {
            let mut stderr = std::io::stderr(); // the harness hides what `eprintln` prints
            let _ = writeln!(stderr, "skipped: no {path} in $REWIND_DATA or ../shared/data");
            None
        }
    }
}

/// Returns the channels of a case whose brain no head of the training was built around.
fn unseen_brain() -> Option<Vec<Volume>> {
    let case = "BraTS2021_01659";
    let channels = ["t1", "t1ce", "t2", "flair"];
    channels
        .map(|channel| real_scan(&format!("glioma2mm/{case}/{case}_{channel}.nii.gz")))
        .into_iter()
        .collect()
}

fn synthetic(seed: u64) -> WholeHead {
    let brain = RealBrain::new(phantom(7, 96).channels()).unwrap();
    whole_head(&brain, BrainContrast::Channel(0), seed)
}

#[test]
fn the_brain_of_a_synthetic_head_is_found() {
    for seed in [1, 2, 3] {
        let head = synthetic(seed);
        let found = dice_of(&extract(&[&head.volume]), &head.mask);
        assert!(found > 0.9, "seed {seed}: Dice {found}");
    }
}

/// The mask is on the scan's own grid, whatever its axis order.
#[test]
fn the_axis_order_of_a_scan_does_not_change_its_brain() {
    let head = synthetic(1);
    let mask = extract(&[&head.volume]);
    let [ni, nj, nk] = head.volume.grid().dims;
    let rows = head.volume.grid().world_from_voxel.rows();
    // Axes top, right, back.
    let turned = rows.map(|[x, y, z, t]| [z, x, -y, t + y * (nj as f64 - 1.0)]);
    let grid = Grid::new([nk, ni, nj], Affine::from_rows(turned));
    let source = |n: usize| {
        let (k, i, j) = (n % nk, n / nk % ni, nj - 1 - n / (nk * ni));
        i + ni * (j + nj * k)
    };
    let values = (0..ni * nj * nk).map(|n| head.volume.values()[source(n)]).collect();
    let found = extract(&[&Volume::new(grid.clone(), values).unwrap()]);
    let expected = (0..ni * nj * nk).map(|n| mask.labels()[source(n)]).collect();
    assert!(found == LabelMap::new(grid, expected).unwrap());
}

#[test]
fn extraction_can_be_canceled_and_refuses_scans_without_a_head() {
    let head = synthetic(1);
    let canceled = extract_brain(&model(), &[&head.volume], &mut |_| ControlFlow::Break(()));
    assert_eq!(canceled, Ok(None));
    let on = &mut |_: f32| ControlFlow::Continue(());
    assert!(extract_brain(&model(), &[], on).is_err());
    let grid = Grid::new([4; 3], Affine::from_spacing([9.0; 3]));
    let constant = Volume::new(grid, vec![3.0; 64]).unwrap();
    assert!(extract_brain(&model(), &[&constant], on).is_err());
    assert!(extract_brain(&model(), &[&head.volume, &constant], on).is_err());
    // A scan of one plane, or with a spacing that no head has, must not panic.
    for spacing in [0.01, 1.0, 1e6] {
        let grid = Grid::new([5, 4, 1], Affine::from_spacing([spacing; 3]));
        let values = (0..20).map(|n| n as f32).collect();
        let _ = extract_brain(&model(), &[&Volume::new(grid, values).unwrap()], on);
    }
}

#[test]
fn labels_survive_the_box() {
    let head = synthetic(2);
    let head_box = HeadBox::find(&head.volume).unwrap();
    let placed = head_box.place_labels(&head.mask);
    let values: Vec<f32> = placed.labels().iter().map(|label| f32::from(*label)).collect();
    let restored = head_box.restore(&values, 0.0);
    let restored = restored.into_iter().map(|value| u8::from(value > 0.5)).collect();
    let restored = LabelMap::new(head.mask.grid().clone(), restored).unwrap();
    assert_eq!(dice_of(&restored, &head.mask), 1.0);
}

/// Two adult volunteers. A mask with eyes, neck or scalp would be larger.
#[test]
fn real_heads_are_not_stripped_and_their_brains_have_a_plausible_volume() {
    for path in ["brain/chris_t1.nii.gz", "brain/t1_crop.nii.gz"] {
        let Some(scan) = real_scan(path) else { return };
        assert!(!is_stripped(&scan), "{path}");
        let ml = extract(&[&scan]).volume_ml(&[1]);
        assert!((1200.0..1800.0).contains(&ml), "{path}: {ml} ml");
    }
}

#[test]
fn a_stripped_scan_is_recognized_and_keeps_its_brain() {
    let Some(channels) = unseen_brain() else { return };
    for channel in &channels {
        assert!(is_stripped(channel));
        let brain = channel.values().iter().map(|value| u8::from(*value != 0.0)).collect();
        let brain = LabelMap::new(channel.grid().clone(), brain).unwrap();
        let found = dice_of(&extract(&[channel]), &brain);
        assert!(found > 0.93, "Dice {found}");
    }
}

#[test]
fn the_brain_of_a_head_around_an_unseen_brain_is_found() {
    let Some(channels) = unseen_brain() else { return };
    let brain = RealBrain::new(&channels).unwrap();
    let found = [0, 1, 2, 3].map(|channel| {
        let head = whole_head(&brain, BrainContrast::Channel(channel), 500 + channel as u64);
        dice_of(&extract(&[&head.volume]), &head.mask)
    });
    // Some fields of view are cut, and the brain with them.
    assert!(found.iter().all(|dice| *dice > 0.9), "{found:?}");
    assert!(found.iter().sum::<f64>() > 4.0 * 0.935, "{found:?}");
}
