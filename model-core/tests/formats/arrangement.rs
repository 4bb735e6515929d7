//! The slices of a DICOM study become series with the right geometry.

use model_core::Affine;
use model_core::formats::study::{Plane, Series, SourceFile, Study};

use super::dicom::*;

fn open(files: Vec<SourceFile>) -> Study {
    let study = Study::open(files).unwrap();
    assert!(study.refused.is_empty(), "{:?}", study.refused);
    study
}

fn only(files: Vec<SourceFile>) -> Series {
    let mut study = open(files);
    assert_eq!(study.series.len(), 1, "{:?}", study.notes);
    study.series.remove(0)
}

/// Returns the voxels of the only channel.
fn voxels(series: &Series) -> Vec<f32> {
    let scan = series.read().unwrap();
    assert_eq!(scan.volumes.len(), 1);
    scan.volumes[0].values().to_vec()
}

fn ramp(indices: impl IntoIterator<Item = usize>) -> Vec<f32> {
    indices.into_iter().flat_map(values).map(f32::from).collect()
}

#[test]
fn slices_are_sorted_by_their_positions_not_by_names_or_numbers() {
    let order = [3, 0, 4, 1, 2];
    let files = order.iter().enumerate().map(|(n, &index)| {
        slice(index).text(0x0020_0013, "IS", &(90 - n).to_string()).file(&format!("{n}.dcm"))
    });
    let series = only(files.collect());
    assert_eq!(voxels(&series), ramp(0..5));
    let rows = [[-0.5, 0., 0., -10.], [0., -2., 0., -20.], [0., 0., 2.5, 30.]];
    let affine = series.summary().world_from_voxel;
    assert!(affine.max_abs_difference(&Affine::from_rows(rows)) < 1e-6, "{affine:?}");
    assert_eq!((series.summary().dims, series.summary().plane), ([4, 3, 5], Plane::Axial));
    assert_eq!(series.summary().num_files, 5);
}

#[test]
fn oblique_slices_keep_their_directions() {
    // Rows along x, columns between back and feet; the normal is (0, 0.6, 0.8).
    let oblique = |index: usize| {
        let at = 3.0 * index as f64;
        let position = format!("1\\{}\\{}", 2.0 + 0.6 * at, 3.0 + 0.8 * at);
        slice(index)
            .text(ORIENTATION, "DS", "1\\0\\0\\0\\0.8\\-0.6")
            .text(POSITION, "DS", &position)
    };
    let series = only((0..4).map(|index| oblique(index).file(&index.to_string())).collect());
    let rows = [[-0.5, 0., 0., -1.], [0., -1.6, -1.8, -2.], [0., -1.2, 2.4, 3.]];
    let affine = series.summary().world_from_voxel;
    assert!(affine.max_abs_difference(&Affine::from_rows(rows)) < 1e-6, "{affine:?}");
    assert!((series.summary().spacing_mm[2] - 3.0).abs() < 1e-6);
    assert_eq!(voxels(&series), ramp(0..4));
}

#[test]
fn copies_of_a_slice_are_left_out_and_told() {
    let mut files = slices(4);
    files.push(slice(2).file("copy/2"));
    let series = only(files);
    assert_eq!(voxels(&series), ramp(0..4));
    assert_eq!(series.summary().warnings, ["1 duplicate slice was left out."]);
}

#[test]
fn echoes_and_diffusion_weightings_are_separate_series() {
    let echo = |index: usize, n: usize, ms: &str| {
        slice(index)
            .text(ECHO_TIME, "DS", ms)
            .text(INSTANCE, "UI", &format!("1.2.3.1.{index}.{n}"))
            .file(&format!("{n}/{index}"))
    };
    let files = (0..3).flat_map(|n| [echo(n, 1, "12"), echo(n, 2, "90.5")]).collect();
    let study = open(files);
    let names: Vec<&str> = study.series.iter().map(|s| s.summary().name.as_str()).collect();
    assert_eq!(names, ["t2 tse (TE 12 ms)", "t2 tse (TE 90.5 ms)"]);
    assert_eq!(study.series[1].summary().hints.echo_time_ms, Some(90.5));
    let weighted = |n: usize, b: f64| {
        let uid = format!("1.2.3.1.{n}.{b}");
        slice(n).f64(0x0018_9087, b).text(INSTANCE, "UI", &uid).file(&uid)
    };
    let study = open((0..3).flat_map(|n| [weighted(n, 0.0), weighted(n, 1000.0)]).collect());
    let names: Vec<&str> = study.series.iter().map(|s| s.summary().name.as_str()).collect();
    assert_eq!(names, ["t2 tse (b 0)", "t2 tse (b 1000)"]);
}

#[test]
fn repeated_volumes_are_channels() {
    let files = (0..6).map(|n| {
        let uid = format!("1.2.3.1.{n}");
        let time = (n / 3 + 1).to_string();
        let slice = slice(n % 3).pixels(values(n)).text(INSTANCE, "UI", &uid);
        slice.text(0x0020_0100, "IS", &time).file(&uid)
    });
    let scan = only(files.collect()).read().unwrap();
    let found: Vec<&[f32]> = scan.volumes.iter().map(|volume| volume.values()).collect();
    assert_eq!(found, [ramp(0..3), ramp(3..6)]);
}

#[test]
fn localizers_are_set_aside_and_told() {
    let sagittal = |n: usize| {
        let place = format!("{}\\1\\2", 10 * n);
        let slice =
            slice(n).text(ORIENTATION, "DS", "0\\1\\0\\0\\0\\-1").text(POSITION, "DS", &place);
        let slice = slice.text(SERIES_UID, "UI", "1.2.3.9").text(DESCRIPTION, "LO", "three planes");
        slice.text(INSTANCE, "UI", &format!("1.2.3.9.{n}")).file(&format!("loc/{n}"))
    };
    let axial = slice(0).text(SERIES_UID, "UI", "1.2.3.9").text(DESCRIPTION, "LO", "three planes");
    let mut files = slices(4);
    files.extend([sagittal(0), sagittal(1), axial.file("loc/axial")]);
    let study = open(files);
    assert_eq!(study.series.len(), 1);
    assert_eq!(study.notes, ["three planes was set aside: a localizer of 3 slices."]);
}

#[test]
fn intensities_are_rescaled_and_inverted() {
    let scaled = slice(1).text(SLOPE, "DS", "0.5").text(INTERCEPT, "DS", "-7");
    let expected: Vec<f32> = ramp([1]).iter().map(|value| value * 0.5 - 7.0).collect();
    assert_eq!(voxels(&only(vec![scaled.file("a")])), expected);
    // Twelve bits are stored.
    let inverted = slice(1).text(PHOTOMETRIC, "CS", "MONOCHROME1").file("a");
    let expected: Vec<f32> = ramp([1]).iter().map(|value| 4095.0 - value).collect();
    assert_eq!(voxels(&only(vec![inverted])), expected);
}

/// Returns slices as one file of the enhanced form, in another order than along the normal.
pub fn multi_frame(order: &[usize]) -> Dicom {
    let groups = order.iter().map(|&index| {
        let position = format!("10\\20\\{}", 30.0 + 2.5 * index as f64);
        let position = Dicom::default().text(POSITION, "DS", &position);
        Dicom::default().items(0x0020_9113, vec![position])
    });
    let directions = Dicom::default().text(ORIENTATION, "DS", "1\\0\\0\\0\\1\\0");
    let measures = Dicom::default().text(SPACING, "DS", "2\\0.5");
    let shared =
        Dicom::default().items(0x0020_9116, vec![directions]).items(0x0028_9110, vec![measures]);
    common()
        .without(SPACING)
        .text(CLASS, "UI", "1.2.840.10008.5.1.4.1.1.4.1")
        .text(NUM_FRAMES, "IS", &order.len().to_string())
        .items(0x5200_9229, vec![shared])
        .items(0x5200_9230, groups.collect())
        .pixels(order.iter().flat_map(|&index| values(index)))
}

#[test]
fn a_multi_frame_file_equals_its_single_slices() {
    let multi = only(vec![multi_frame(&[2, 0, 3, 1]).file("multi")]);
    let single = only(slices(4));
    assert_eq!(voxels(&multi), voxels(&single));
    assert_eq!(multi.summary().world_from_voxel, single.summary().world_from_voxel);
    assert_eq!(multi.summary().num_files, 1);
}

#[test]
fn several_series_are_listed_by_their_numbers() {
    let series = |number: usize, name: &str| {
        let uid = format!("1.2.3.{number}");
        let name = name.to_string();
        (0..3).map(move |n| {
            let slice = slice(n).text(SERIES_UID, "UI", &uid).text(DESCRIPTION, "LO", &name);
            let slice = slice.text(0x0020_0011, "IS", &number.to_string());
            slice.text(INSTANCE, "UI", &format!("{uid}.{n}")).file(&format!("{number}/{n}"))
        })
    };
    let study = open(series(12, "flair").chain(series(4, "t1 gd")).collect());
    let names: Vec<&str> = study.series.iter().map(|s| s.summary().name.as_str()).collect();
    assert_eq!(names, ["t1 gd", "flair"]);
    assert!(study.series.iter().all(|series| series.summary().study == 1));
    assert_eq!(study.series[0].thumbnail(8).unwrap().pixels.len(), 3 * 8);
}
