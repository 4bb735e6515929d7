//! Images and labels of a case stay aligned in different axis orders, with different headers and
//! after resampling.

use std::fs;
use std::path::{Path, PathBuf};

use model_core::metrics::{EmptyRule, dice};
use model_core::{
    Affine, Foreground, Grid, LabelMap, Orientation, PreprocessConfig, Task, UNetConfig, Volume,
    formats::nifti, preprocess,
};
use trainer_data::data_set::{CaseFiles, DataSet, LoadedCase};
use trainer_data::inspect::Inspection;
use trainer_evaluate::{Options, evaluate};
use trainer_run::reporter::Silent;

/// Returns a grid of 6 × 5 × 4 voxels of 1 × 2 × 3 mm, along right, anterior and superior.
fn grid() -> Grid {
    Grid::new([6, 5, 4], Affine::from_rows([[1., 0., 0., 5.], [0., 2., 0., 6.], [0., 0., 3., 7.]]))
}

fn image(grid: &Grid) -> Vec<u8> {
    let voxels = (0..grid.num_voxels()).map(|n| n as f32).collect();
    nifti::write_volumes(&[Volume::new(grid.clone(), voxels).unwrap()]).unwrap()
}

fn labels(grid: &Grid) -> LabelMap {
    let labels = (0..grid.num_voxels()).map(|n| (n % 7 % 3) as u8).collect();
    LabelMap::new(grid.clone(), labels).unwrap()
}

/// Returns the same map in another axis order, with `axes` and `flips` as in [`Orientation`].
fn reoriented(map: &LabelMap, axes: [usize; 3], flips: [bool; 3]) -> LabelMap {
    let order = Orientation { axes, flips };
    let old_from_new = order.source_from_canonical(map.grid().dims);
    let grid = Grid::new(
        order.canonical_dims(map.grid().dims),
        map.grid().world_from_voxel.compose(&old_from_new),
    );
    LabelMap::new(grid, order.to_canonical(map.grid().dims, map.labels())).unwrap()
}

/// Removes the codes of the sform and the qform from a file.
fn without_codes(bytes: &[u8]) -> Vec<u8> {
    let without_codes = |volume: Volume| {
        let mut grid = volume.grid().clone();
        (grid.transforms.sform_code, grid.transforms.qform_code) = (0, 0);
        Volume::new(grid, volume.into_values()).unwrap()
    };
    let volumes: Vec<_> = nifti::read(bytes).unwrap().into_iter().map(without_codes).collect();
    nifti::write_volumes(&volumes).unwrap()
}

fn task() -> Task {
    let labels = vec![(1, "one".to_string()), (2, "two".to_string())];
    Task::exclusive("test", vec!["MRI".into()], labels).unwrap()
}

/// Writes the files of a case.
fn files(folder: &Path, image: &[u8], labels: &LabelMap) -> CaseFiles {
    let write = |name: &str, bytes: &[u8]| -> PathBuf {
        let file = folder.join(name);
        fs::write(&file, bytes).unwrap();
        file
    };
    CaseFiles {
        name: "case".into(),
        images: vec![write("image.nii.gz", image)],
        label: Some(write("labels.nii.gz", &nifti::write_labels(labels))),
    }
}

/// Writes the files of a case to a temporary folder and reads the case.
fn read(image: &[u8], labels: &LabelMap, tolerance_voxels: f64) -> Result<LoadedCase, String> {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path(), image, labels);
    files.read(&task(), tolerance_voxels).map_err(|error| error.to_string())
}

#[test]
fn labels_in_any_axis_order_are_aligned_with_their_scan() {
    let map = labels(&grid());
    for axes in [[0, 1, 2], [1, 0, 2], [2, 0, 1], [2, 1, 0]] {
        for bits in 0..8 {
            let flips = [0, 1, 2].map(|bit| bits >> bit & 1 == 1);
            let loaded = read(&image(&grid()), &reoriented(&map, axes, flips), 0.1).unwrap();
            let aligned = loaded.case.labels().unwrap();
            assert_eq!(aligned.labels(), map.labels(), "{axes:?} {flips:?}");
            assert_eq!(*aligned.grid(), nifti::read_grid(&image(&grid())).unwrap().0);
            assert_eq!(loaded.warnings, []);
        }
    }
}

#[test]
fn a_prediction_in_another_axis_order_has_the_same_scores() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, map: &LabelMap| {
        let file = folder.path().join(name);
        fs::write(&file, nifti::write_labels(map)).unwrap();
        file
    };
    let map = labels(&grid());
    let reference = write("reference.nii.gz", &map);
    let prediction = write("prediction.nii.gz", &reoriented(&map, [2, 0, 1], [true, false, true]));
    let result = evaluate(&prediction, &reference, &Options::default(), &Silent).unwrap();
    assert!(result.cases[0].scores.iter().all(|scores| scores.dice == 1.0));
}

#[test]
fn a_shift_below_a_tenth_of_a_voxel_is_a_warning_and_a_larger_one_an_error() {
    let shifted = |mm: f64| {
        let mut world_from_voxel = grid().world_from_voxel;
        world_from_voxel.0.translation.y += mm;
        labels(&Grid::new(grid().dims, world_from_voxel))
    };
    let image = image(&grid());
    assert_eq!(read(&image, &shifted(0.002), 0.1).unwrap().warnings, []);
    let warnings = read(&image, &shifted(0.1), 0.1).unwrap().warnings;
    assert!(warnings[0].0.contains("0.050 voxels off"), "{warnings:?}");
    let error = read(&image, &shifted(1.0), 0.1).unwrap_err();
    assert!(error.contains("0.500 voxels apart") && error.contains("labels.nii.gz"), "{error}");
    assert!(read(&image, &shifted(1.0), 0.6).is_ok());
}

/// nibabel and SimpleITK write labels with an orientation for a scan without one.
#[test]
fn a_scan_without_orientation_accepts_labels_with_one() {
    let image = without_codes(&image(&grid()));
    let by_nibabel = [[-1., 0., 0., 2.5], [0., 2., 0., -4.], [0., 0., 3., -4.5]];
    let by_itk = [[-1., 0., 0., 0.], [0., -2., 0., 0.], [0., 0., 3., 0.]];
    for rows in [by_nibabel, by_itk] {
        let map = labels(&Grid::new([6, 5, 4], Affine::from_rows(rows)));
        let loaded = read(&image, &map, 0.1).unwrap();
        assert_eq!(loaded.case.labels().unwrap().labels(), map.labels());
        assert!(loaded.warnings[0].0.contains("does not state how the scan lies"));
    }
    // `rewind inspect` reports the warnings.
    let folder = tempfile::tempdir().unwrap();
    let map = labels(&Grid::new([6, 5, 4], Affine::from_rows(by_itk)));
    let case = files(folder.path(), &image, &map);
    let report = Inspection::new(DataSet::new("test", task(), vec![case]), &Silent).report();
    assert!(report.contains("no faults") && report.contains("may be swapped"), "{report}");
}

/// Returns an image and the labels of two nested ellipsoids. `shift` is a fraction of the extent.
fn ellipsoids(dims: [usize; 3], spacing_mm: [f64; 3], shift: [f64; 3]) -> (Volume, LabelMap) {
    let grid = Grid::new(dims, Affine::from_spacing(spacing_mm));
    let shape = |n: usize, scale: f64| {
        let voxel = [n % dims[0], n / dims[0] % dims[1], n / dims[0] / dims[1]];
        let squares = (0..3).map(|a| {
            let at = (voxel[a] as f64 + 0.5) / dims[a] as f64 - 0.45 - shift[a];
            (at / (scale * [0.36, 0.3, 0.33][a])).powi(2)
        });
        squares.sum::<f64>() < 1.0
    };
    let label = |n: usize| u8::from(shape(n, 1.0)) + u8::from(shape(n, 0.6));
    let labels: Vec<u8> = (0..grid.num_voxels()).map(label).collect();
    let voxels = labels.iter().map(|&label| f32::from(label)).collect();
    (Volume::new(grid.clone(), voxels).unwrap(), LabelMap::new(grid, labels).unwrap())
}

/// Returns the center of mass of a weight in voxels.
fn centroid(dims: [usize; 3], weight: impl Fn(usize) -> f64) -> [f64; 3] {
    let (mut sum, mut moments) = (0.0, [0.0; 3]);
    for n in 0..dims.iter().product() {
        let voxel = [n % dims[0], n / dims[0] % dims[1], n / dims[0] / dims[1]];
        sum += weight(n);
        (0..3).for_each(|a| moments[a] += weight(n) * voxel[a] as f64);
    }
    moments.map(|moment| moment / sum)
}

/// Takes the mean over many shifts, because a layer of voxels that is half inside a single
/// ellipsoid moves the center of its labels.
#[test]
fn resampled_labels_are_aligned_with_the_resampled_image_and_can_be_restored() {
    let demo = UNetConfig::preset("demo", 1, 3).unwrap();
    let network = demo.with(|demo| demo.widths.truncate(1)).unwrap();
    let cases = [
        ([1.0; 3], [2.0; 3], 0.93),
        ([1.0; 3], [4.0; 3], 0.85),
        ([1.0; 3], [1.6; 3], 0.93),
        ([1.0; 3], [1.5; 3], 0.93),
        ([1.0; 3], [0.5; 3], 0.97),
        ([0.8, 1.0, 3.0], [1.2, 0.9, 1.0], 0.93),
    ];
    const NUM_SHIFTS: usize = 24;
    for (source_mm, target_mm, min_dice) in cases {
        let name = format!("{source_mm:?} to {target_mm:?}");
        let dims = source_mm.map(|spacing: f64| (48.0 / spacing).round() as usize);
        let config = PreprocessConfig {
            spacing_mm: Some(target_mm.try_into().unwrap()),
            foreground: Foreground::Whole,
            ..PreprocessConfig::default()
        };
        let (mut misalignment, mut displacement) = ([0.0; 3], [0.0; 3]);
        for n in 0..NUM_SHIFTS {
            // Covers a voxel of 4 mm, a twelfth of the extent, in another order along each axis.
            let shift = [1, 5, 7].map(|step| (n * step % NUM_SHIFTS) as f64 / 12.0 / 24.0);
            let (volume, map) = ellipsoids(dims, source_mm, shift);
            let (input, placement) = preprocess(&[volume], &config, &network).unwrap();
            let resampled = placement.place_labels(&map);
            // Padding has the value 0, the image's background the smallest value.
            let darkest = input.values.iter().copied().fold(f32::INFINITY, f32::min);
            let [si, sj, sk] = placement.scaled_dims();
            let pad = |a: usize| (input.dims[a] - placement.scaled_dims()[a]) / 2;
            let is_inside = |n: usize| {
                let k = n / input.dims[0] / input.dims[1];
                (pad(0)..pad(0) + si).contains(&(n % input.dims[0]))
                    && (pad(1)..pad(1) + sj).contains(&(n / input.dims[0] % input.dims[1]))
                    && (pad(2)..pad(2) + sk).contains(&k)
            };
            let weight =
                |n: usize| if is_inside(n) { f64::from(input.values[n] - darkest) } else { 0.0 };
            let of_image = centroid(input.dims, weight);
            let of_labels = centroid(input.dims, |n| f64::from(resampled[n]));
            let restored = placement.restore(&resampled);
            let back = centroid(dims, |n| f64::from(restored.labels()[n]));
            let original = centroid(dims, |n| f64::from(map.labels()[n]));
            for a in 0..3 {
                misalignment[a] += (of_image[a] - of_labels[a]) / NUM_SHIFTS as f64;
                displacement[a] += (back[a] - original[a]) / NUM_SHIFTS as f64;
            }
            for codes in [&[1u8, 2][..], &[2]] {
                let score = dice(restored.labels(), map.labels(), codes, EmptyRule::Brats2023);
                assert!(score > min_dice, "{name}, {codes:?}: {score}");
            }
        }
        assert!(misalignment.iter().all(|a| a.abs() < 0.02), "{name}: {misalignment:?}");
        assert!(displacement.iter().all(|a| a.abs() < 0.02), "{name} and back: {displacement:?}");
    }
}
