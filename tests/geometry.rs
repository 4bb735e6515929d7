//! Voxels keep their position in the patient for every axis order of a file, and written files lie
//! at the source's position.

use std::fs;
use std::io::Read;

use ::nifti::{InMemNiftiObject, NiftiObject, NiftiVolume, RandomAccessNiftiVolume};
use flate2::read::MultiGzDecoder;
use integration_tests::data;
use model_core::metrics::{EmptyRule, dice};
use model_core::task::dataset::Manifest;
use model_core::{
    Affine, Case, Foreground, Grid, Head, LabelMap, NiftiTransforms, PreprocessConfig, Task,
    UNetConfig, Volume, formats::nifti, phantom, postprocess, preprocess,
};

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return bytes.to_vec();
    }
    let mut plain = Vec::new();
    MultiGzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain
}

fn config(foreground: Foreground, crop: bool) -> PreprocessConfig {
    PreprocessConfig { foreground, crop, ..PreprocessConfig::default() }
}

/// Returns logits of exactly these labels.
fn logits_of(labels: &[u8], task: &Task) -> Vec<f32> {
    let logit = |is_present: bool| if is_present { 4.0 } else { -4.0 };
    let outputs: Vec<Vec<u8>> = match task.head {
        Head::Sigmoid => task.regions.iter().map(|region| region.labels.clone()).collect(),
        Head::Softmax => task.output_codes().into_iter().map(|code| vec![code]).collect(),
    };
    outputs.iter().flat_map(|codes| labels.iter().map(|l| logit(codes.contains(l)))).collect()
}

/// The scan is stored in 24 axis orders.
#[test]
fn all_axis_orders_of_a_scan_give_the_same_input() {
    let Some(folder) = data("orient") else { return };
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    assert_eq!(paths.len(), 24);
    let network = UNetConfig::preset("demo", 1, 1).unwrap();
    let config = config(Foreground::Otsu, true);
    let mut first: Option<(Volume, Vec<f32>)> = None;
    for path in paths {
        let name = path.file_name().unwrap().to_str().unwrap()[..3].to_string();
        let volume = nifti::read(&fs::read(&path).unwrap()).unwrap().remove(0);
        let orientation = volume.grid().orientation();
        assert_eq!(String::from_iter(orientation.letters()), name);
        let (input, placement) =
            preprocess(std::slice::from_ref(&volume), &config, &network).unwrap();
        let canonical = orientation.to_canonical(volume.grid().dims, volume.values());
        let canonical = Volume::new(volume.grid().canonical(), canonical).unwrap();
        let back = orientation.from_canonical(volume.grid().dims, canonical.values());
        assert!(back == volume.values(), "{name}: from_canonical inverts to_canonical");
        assert_eq!(placement.source(), volume.grid());
        let Some((reference, values)) = &first else {
            first = Some((canonical, input.values));
            continue;
        };
        reference.grid().check_same(canonical.grid()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(reference.values() == canonical.values(), "{name}: voxels differ");
        // The inputs are equal to the bit, since statistics are taken in canonical order.
        assert!(*values == input.values, "{name}: inputs differ");
    }
}

/// Returns a grid whose sform and qform differ, with distinct fields.
fn sform_and_qform() -> Grid {
    let rows = [[-1.5, 0.0, 0.25, 30.0], [0.0, -2.0, 0.0, 40.0], [0.25, 0.0, 3.0, -50.0]];
    let mut grid = Grid::new([4, 3, 2], Affine::from_rows(rows));
    grid.transforms = NiftiTransforms {
        qform_code: 1,
        quaternion: [0.0, 0.0, 1.0],
        offset_mm: [7.0, 8.0, 9.0],
        qfac: -1.0,
        spacing_mm: [1.5, 2.0, 3.0],
        sform_code: 4,
        rows: rows.map(|row| row.map(|x| x as f32)),
        units: 10,
    };
    grid
}

#[test]
fn written_files_keep_sform_and_qform_and_have_no_personal_data() {
    let grid = sform_and_qform();
    let map = LabelMap::new(grid.clone(), (0..24).collect()).unwrap();
    let volume = (0..24).map(|n| n as f32 - 5.5).collect();
    let volume = Volume::new(grid.clone(), volume).unwrap();
    let labels = nifti::write_labels(&map);
    assert_eq!(nifti::read_labels(&labels).unwrap(), map);
    let one = nifti::write_volumes(std::slice::from_ref(&volume)).unwrap();
    assert_eq!(nifti::read(&one).unwrap(), std::slice::from_ref(&volume));
    let two = nifti::write_volumes(&[volume.clone(), volume.clone()]).unwrap();
    assert_eq!(nifti::read(&two).unwrap(), [volume.clone(), volume]);
    for file in [&labels, &one, &two] {
        assert_eq!(file[3], 0, "the gzip header has no file name, no comment");
        assert_eq!(file[4..8], [0; 4], "nor a time");
        let plain = unpacked(file);
        // data_type, db_name, extents, session_error, regular, dim_info; descrip, aux_file;
        // intent_name; no extension.
        for field in [4..40, 148..252, 328..344, 348..352] {
            assert!(plain[field.clone()].iter().all(|&byte| byte == 0), "bytes {field:?}");
        }
    }
    let plain = unpacked(&labels);
    let f32_at = |at: usize| f32::from_le_bytes(plain[at..at + 4].try_into().unwrap());
    let i16_at = |at: usize| i16::from_le_bytes(plain[at..at + 2].try_into().unwrap());
    assert_eq!([40, 42, 44, 46, 48].map(i16_at), [3, 4, 3, 2, 1]);
    assert_eq!([70, 72, 252, 254].map(i16_at), [2, 8, 1, 4]);
    assert_eq!([76, 80, 84, 88].map(f32_at), [-1.0, 1.5, 2.0, 3.0]);
    assert_eq!([256, 260, 264, 268, 272, 276].map(f32_at), [0., 0., 1., 7., 8., 9.]);
    assert_eq!([280, 288, 292, 312, 324].map(f32_at), [-1.5, 0.25, 30.0, 0.25, -50.0]);
    assert_eq!((plain[123], f32_at(112), f32_at(116)), (10, 1.0, 0.0));
    assert_eq!(plain.len(), 352 + 24);
}

#[test]
fn the_sform_takes_precedence_over_the_qform_and_the_qform_over_the_spacing() {
    let read = |change: fn(&mut Grid)| {
        let mut grid = sform_and_qform();
        change(&mut grid);
        let map = LabelMap::background(grid);
        let grid = nifti::read_labels(&nifti::write_labels(&map)).unwrap().grid().clone();
        assert_eq!(grid.transforms, map.grid().transforms, "both transforms are kept");
        (grid.world_from_voxel.rows(), nifti::warnings(&grid.transforms).len())
    };
    let sform = sform_and_qform().world_from_voxel.rows();
    assert_eq!(read(|_| ()), (sform, 1));
    let (qform, num_warnings) = read(|grid| grid.transforms.sform_code = 0);
    let expected = [[-1.5, 0., 0., 7.], [0., -2., 0., 8.], [0., 0., -3., 9.]];
    assert!(Affine::from_rows(qform).max_abs_difference(&Affine::from_rows(expected)) < 1e-6);
    assert_eq!(num_warnings, 0);
    let (spacing, num_warnings) =
        read(|grid| (grid.transforms.sform_code, grid.transforms.qform_code) = (0, 0));
    // 4 × 3 × 2 voxels: i to the left, the center at 0.
    assert_eq!(spacing, [[-1.5, 0., 0., 2.25], [0., 2., 0., -2.], [0., 0., 3., -1.5]]);
    assert_eq!(num_warnings, 1);
    // Meters are scaled on reading, and stay meters in the file.
    let (meters, _) = read(|grid| grid.transforms.units = 1);
    assert_eq!(meters, sform.map(|row| row.map(|x| x * 1000.0)));
}

/// BraTS stores left, back, top. The label file is float32 and has only a qform.
#[test]
fn the_labels_of_a_brats_case_survive_preprocessing_and_postprocessing() {
    let Some(folder) = data("brats/BraTS-GLI-00000-000") else { return };
    let file =
        |part: &str| fs::read(folder.join(format!("BraTS-GLI-00000-000-{part}.nii.gz"))).unwrap();
    let task = Task::builtin("brats2023").unwrap();
    let channels: Vec<Volume> = ["t1n", "t1c", "t2w", "t2f"]
        .iter()
        .flat_map(|part| nifti::read(&file(part)).unwrap())
        .collect();
    let labels = nifti::read_labels(&file("seg")).unwrap();
    assert_eq!(
        (labels.grid().transforms.sform_code, labels.grid().transforms.qform_code > 0),
        (0, true)
    );
    assert_eq!(labels.grid().orientation().letters(), ['L', 'P', 'S']);
    let case = Case::new("BraTS-GLI-00000-000", channels, Some(labels), &task).unwrap();
    let labels = case.labels().unwrap();
    assert!(
        Case::new("", case.channels().to_vec(), Some(labels.clone()), &{
            Task::builtin("brats2021").unwrap()
        })
        .is_err()
    );

    let network = UNetConfig::preset("mbconv-base", 4, 3).unwrap();
    let (input, placement) =
        preprocess(case.channels(), &config(Foreground::Nonzero, true), &network).unwrap();
    network.check_size(input.dims).unwrap();
    assert!(input.values.iter().all(|v| v.is_finite()));
    let logits = logits_of(&placement.place_labels(labels), &task);
    let restored = postprocess(&logits, &task, &placement);
    assert!(restored.labels() == labels.labels(), "the labels are restored");
    assert_eq!(restored.grid(), case.channels()[0].grid(), "on the images' grid");
    let written = nifti::read_labels(&nifti::write_labels(&restored)).unwrap();
    assert!(written == restored);
    assert!(written.volume_ml(&[1, 2, 3]) > 1.0);
}

/// The data sets have 3-D and 4-D files, images of uint8 and float32, and labels of float32.
#[test]
fn labels_of_real_data_sets_survive_placement_and_restoration() {
    for (folder, foreground) in [("hippocampus", Foreground::Whole), ("lgg64", Foreground::Otsu)] {
        let Some(folder) = data(folder) else { return };
        let manifest = Manifest::parse(&fs::read(folder.join("dataset.json")).unwrap()).unwrap();
        let task = &manifest.task;
        let network = UNetConfig::preset("demo", task.channels.len(), task.num_outputs()).unwrap();
        for pair in &manifest.training {
            let channels = nifti::read(&fs::read(folder.join(&pair.image)).unwrap()).unwrap();
            let labels = nifti::read_labels(&fs::read(folder.join(&pair.label)).unwrap()).unwrap();
            let case = Case::new(pair.name(), channels, Some(labels), task).unwrap();
            let config = config(foreground, false);
            let (input, placement) = preprocess(case.channels(), &config, &network).unwrap();
            assert!(input.values.iter().all(|v| v.is_finite()), "{}", case.name());
            let labels = case.labels().unwrap();
            let restored = placement.restore(&placement.place_labels(labels));
            assert!(restored.labels() == labels.labels(), "{}", case.name());
        }
    }
}

/// The spacings are finer, coarser and uneven.
#[test]
fn resampled_labels_are_nearly_restored() {
    let case = phantom::phantom(4, 48); // 4 mm
    let (task, labels) = (phantom::task(), case.labels().unwrap());
    let network = UNetConfig::preset("demo", 4, 3).unwrap();
    for (spacing_mm, least_dice) in [([2.0; 3], 0.99), ([3.0, 4.0, 2.5], 0.96), ([5.0; 3], 0.8)] {
        let config = PreprocessConfig {
            spacing_mm: Some(spacing_mm.try_into().unwrap()),
            ..config(Foreground::Nonzero, true)
        };
        let (input, placement) = preprocess(case.channels(), &config, &network).unwrap();
        assert!(placement.is_resampled());
        network.check_size(input.dims).unwrap();
        let logits = logits_of(&placement.place_labels(labels), &task);
        let restored = postprocess(&logits, &task, &placement);
        assert_eq!(restored.grid(), labels.grid());
        for region in &task.regions {
            let score =
                dice(restored.labels(), labels.labels(), &region.labels, EmptyRule::Brats2023);
            assert!(score >= least_dice, "{} at {spacing_mm:?}: {score}", region.name);
        }
    }
}

/// The `nifti` crate is another implementation.
#[test]
fn another_nifti_reader_reads_the_same_voxels() {
    let files = [
        "edge/nifti-rs/27/int8.nii",
        "edge/nifti-rs/27/uint8.nii",
        "edge/nifti-rs/27/int16.nii",
        "edge/nifti-rs/27/uint16.nii",
        "edge/nifti-rs/27/int32.nii",
        "edge/nifti-rs/27/uint32.nii",
        "edge/nifti-rs/27/int64.nii",
        "edge/nifti-rs/27/uint64.nii",
        "edge/nifti-rs/27/float32.nii",
        "edge/nifti-rs/27/float64.nii",
        "edge/nifti-rs/f32.nii.gz",
        "edge/nifti-rs/minimal.nii.gz",
        "edge/rii_big.nii.gz",
        "edge/rii_little.nii.gz",
        "edge/dmri_oeslle.nii.gz",
        "orient/RPI.nii.gz",
    ];
    for file in files {
        let Some(path) = data(file) else { return };
        let bytes = fs::read(path).unwrap();
        let ours = nifti::read(&bytes).unwrap();
        let theirs = InMemNiftiObject::from_reader(&unpacked(&bytes)[..]).unwrap();
        let volume = theirs.volume();
        let [di, dj, dk] = ours[0].grid().dims;
        assert_eq!(volume.dim()[..3], [di as u16, dj as u16, dk as u16], "{file}");
        let mut max_error = 0.0f64;
        for (channel, mine) in ours.iter().enumerate() {
            for (n, &voxel) in mine.values().iter().enumerate() {
                let place = [n % di, n / di % dj, n / di / dj, channel].map(|x| x as u16);
                let expected = volume.get_f64(&place[..volume.dimensionality()]).unwrap();
                max_error =
                    max_error.max((f64::from(voxel) - expected).abs() / expected.abs().max(1.0));
            }
        }
        assert!(max_error < 1e-6, "{file}: {max_error}");
    }
}
