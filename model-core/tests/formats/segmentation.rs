//! A written segmentation has the voxels of the label map, and refers to the series.

use model_core::formats::segmentation::{DicomSegmentation, LocalTime, Segment};
use model_core::formats::study::{SourceFile, Study};
use model_core::{Affine, Error, Grid, LabelMap};

use super::arrangement::multi_frame;
use super::dicom::*;
use super::written_dicom::Read;

const FRAME_OF_REFERENCE: u32 = 0x0020_0052;
const CHARACTER_SET: u32 = 0x0008_0005;
const NUM_SLICES: usize = 4;

/// Nested and separate segments of the codes 1 to 3.
pub fn segmentation() -> DicomSegmentation {
    let segment = |name: &str, color, codes: &[u8]| {
        let (name, codes) = (name.to_string(), codes.to_vec());
        Segment { name, color, codes }
    };
    DicomSegmentation {
        segments: vec![
            segment("whole tumor", [230, 159, 0], &[1, 2]),
            segment("enhancing tumor", [255, 0, 0], &[2]),
            segment("liver", [0, 0, 255], &[3]),
        ],
        algorithm: "a model".to_string(),
        is_edited: false,
        created: LocalTime::new([2026, 3, 7, 8, 5, 0]).unwrap(),
        random_bits: [1, 2, 3, 4],
    }
}

/// Returns labels of 0 to 3; the third slice is background.
fn labels(study: &Study) -> LabelMap {
    let grid = study.series[0].read().unwrap().volumes[0].grid().clone();
    let slice_voxels = ROWS * COLUMNS;
    let label = |n: usize| match n / slice_voxels {
        2 => 0,
        slice => [0, 1, 2, 1, 0, 3, 2][(n + 3 * slice) % 7],
    };
    let labels = (0..grid.num_voxels()).map(|n| label(n) as u8).collect();
    LabelMap::new(grid, labels).unwrap()
}

/// Returns the files of slices in the opposite order, with a frame of reference.
fn files() -> Vec<SourceFile> {
    let file = |n: usize| {
        slice(n).text(FRAME_OF_REFERENCE, "UI", "1.2.3.9").file(&format!("{}", NUM_SLICES - n))
    };
    (0..NUM_SLICES).map(file).collect()
}

fn written(study: &Study, map: &LabelMap) -> Read {
    let bytes = study.series[0].write_segmentation(0, map, &segmentation()).unwrap();
    let [meta, file] = Read::file(&bytes);
    assert_eq!(meta.text(0x0002_0010), "1.2.840.10008.1.2.1");
    assert_eq!(meta.text(0x0002_0002), file.text(CLASS));
    assert_eq!(meta.text(0x0002_0003), file.text(INSTANCE));
    file
}

/// Returns the segment and the position of each frame, its source's identifier, and its voxels.
fn frames(file: &Read) -> Vec<(usize, Vec<f64>, String, Vec<bool>)> {
    let pixels = file.bytes(PIXELS);
    let bit = |n: usize| pixels[n / 8] >> (n % 8) & 1 == 1;
    let slice_voxels = ROWS * COLUMNS;
    let groups = file.items(0x5200_9230).iter().enumerate();
    let frames = groups.map(|(n, groups)| {
        let segment = groups.item(0x0062_000a).numbers(0x0062_000b)[0] as usize;
        let position = groups.item(0x0020_9113).numbers(POSITION);
        let source = groups.item(0x0008_9124).item(0x0008_2112);
        let indices = groups.item(0x0020_9111).numbers(0x0020_9157);
        assert_eq!(indices[0] as usize, segment);
        let voxels = (n * slice_voxels..(n + 1) * slice_voxels).map(bit).collect();
        (segment, position, source.text(0x0008_1155), voxels)
    });
    let frames: Vec<_> = frames.collect();
    assert_eq!(file.text(NUM_FRAMES), frames.len().to_string());
    assert_eq!(pixels.len(), (frames.len() * slice_voxels).div_ceil(16) * 2);
    frames
}

#[test]
fn each_frame_has_the_voxels_and_the_position_of_its_slice() {
    let study = Study::open(files()).unwrap();
    let map = labels(&study);
    let written = written(&study, &map);
    let frames = frames(&written);
    let mut expected = Vec::new();
    for (n, segment) in segmentation().segments.iter().enumerate() {
        for k in [0, 1, 3] {
            let slice_voxels = ROWS * COLUMNS;
            let labels = &map.labels()[k * slice_voxels..(k + 1) * slice_voxels];
            let voxels: Vec<bool> =
                labels.iter().map(|label| segment.codes.contains(label)).collect();
            let position = vec![10.0, 20.0, 30.0 + 2.5 * k as f64];
            expected.push((n + 1, position, format!("1.2.3.1.{}", k + 1), voxels));
        }
    }
    assert_eq!(frames, expected);
    let shared = written.item(0x5200_9229);
    let measures = shared.item(0x0028_9110);
    assert_eq!(measures.numbers(SPACING), [2.0, 0.5]);
    assert_eq!(measures.numbers(0x0018_0088), [2.5]);
    assert_eq!(shared.item(0x0020_9116).numbers(ORIENTATION), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
}

#[test]
fn the_patient_the_study_and_the_slices_are_those_of_the_series() {
    let study = Study::open(files()).unwrap();
    let written = written(&study, &labels(&study));
    for (number, expected) in [
        (CLASS, "1.2.840.10008.5.1.4.1.1.66.4"),
        (INSTANCE, "2.25.302240678275694148452354"),
        (SERIES_UID, "2.25.302240678275694148452353"),
        (NAME, "Roe^Jane"),
        (ID, "4711-08"),
        (BIRTH_DATE, ""),
        (0x0020_000d, "1.2.3"),
        (FRAME_OF_REFERENCE, "1.2.3.9"),
        (0x0008_0023, "20260307"),
        (0x0008_0033, "080500"),
        (0x0070_0081, "Research use only, not a medical device"),
        (0x0062_0001, "BINARY"),
        (0x0062_0013, "YES"),
        (0x0028_2110, "00"),
    ] {
        assert_eq!(written.text(number), expected, "{number:x}");
    }
    let series = written.item(0x0008_1115);
    assert_eq!(series.text(SERIES_UID), "1.2.3.1");
    let instances = series.items(0x0008_114a);
    let instances: Vec<String> = instances.iter().map(|item| item.text(0x0008_1155)).collect();
    assert_eq!(instances, ["1.2.3.1.1", "1.2.3.1.2", "1.2.3.1.3", "1.2.3.1.4"]);
}

#[test]
fn segments_have_names_terms_colors_and_their_algorithm() {
    let study = Study::open(files()).unwrap();
    let written = written(&study, &labels(&study));
    let segments: Vec<[String; 5]> = written
        .items(0x0062_0002)
        .iter()
        .map(|segment| {
            [
                segment.text(0x0062_0005),
                segment.item(0x0062_0003).text(0x0008_0100),
                segment.item(0x0062_000f).text(0x0008_0100),
                segment.text(0x0062_0008),
                segment.text(0x0062_0009),
            ]
        })
        .collect();
    assert_eq!(segments[0], ["whole tumor", "49755003", "108369006", "AUTOMATIC", "a model"]);
    assert_eq!(segments[1], ["enhancing tumor", "49755003", "C113842", "AUTOMATIC", "a model"]);
    assert_eq!(segments[2], ["liver", "91723000", "10200004", "AUTOMATIC", "a model"]);

    let edited = DicomSegmentation { is_edited: true, ..segmentation() };
    let bytes = study.series[0].write_segmentation(0, &labels(&study), &edited).unwrap();
    let [_, edited] = Read::file(&bytes);
    assert_eq!(edited.items(0x0062_0002)[0].text(0x0062_0008), "SEMIAUTOMATIC");
}

#[test]
fn frames_refer_to_the_frames_of_a_multi_frame_file() {
    let file = multi_frame(&[2, 0, 3, 1]).text(INSTANCE, "UI", "1.2.3.7").file("a");
    let study = Study::open(vec![file]).unwrap();
    let written = written(&study, &labels(&study));
    let source = |groups: &Read| groups.item(0x0008_9124).item(0x0008_2112).text(0x0008_1160);
    let sources: Vec<String> = written.items(0x5200_9230).iter().map(source).collect();
    // The slices 0, 1 and 3 of each of three segments.
    assert_eq!(sources, [["2", "4", "3"]; 3].concat());
    assert_eq!(written.item(0x0008_1115).items(0x0008_114a).len(), 1);
    // Without a frame of reference of the source, there is a new one.
    assert_eq!(written.text(FRAME_OF_REFERENCE), "2.25.302240678275694148452356");
}

#[test]
fn an_empty_map_has_all_frames() {
    let study = Study::open(files()).unwrap();
    let map = LabelMap::background(labels(&study).grid().clone());
    let written = written(&study, &map);
    let frames = frames(&written);
    assert_eq!(frames.len(), 3 * NUM_SLICES);
    assert!(frames.iter().all(|(.., voxels)| !voxels.contains(&true)));
}

#[test]
fn a_name_keeps_its_letters_in_every_character_set() {
    // The same name in Latin-1, in UTF-8, and a Japanese one in ISO 2022.
    let japanese = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B";
    for (set, name, expected_set, expected) in [
        ("ISO_IR 100", &b"M\xfcller^J\xf6rg"[..], "ISO_IR 192", "Müller^Jörg".as_bytes()),
        ("ISO_IR 192", "Müller^Jörg".as_bytes(), "ISO_IR 192", "Müller^Jörg".as_bytes()),
        ("\\ISO 2022 IR 87", japanese, "\\ISO 2022 IR 87", japanese),
    ] {
        let file = |n: usize| {
            let slice = slice(n).text(CHARACTER_SET, "CS", set);
            slice.raw(NAME, "PN", name).file(&format!("{n}"))
        };
        let study = Study::open((0..NUM_SLICES).map(file).collect()).unwrap();
        let mut segmentation = segmentation();
        segmentation.segments[0].name = "Ödem".to_string();
        let bytes = study.series[0].write_segmentation(0, &labels(&study), &segmentation).unwrap();
        let contains = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        assert!(contains(expected), "{set}");
        assert!(contains(expected_set.as_bytes()), "{set}");
        let is_utf8 = expected_set == "ISO_IR 192";
        assert!(contains(if is_utf8 { "Ödem".as_bytes() } else { b"?dem" }), "{set}");
    }
}

#[track_caller]
fn assert_refused(files: Vec<SourceFile>, map: Option<LabelMap>, channel: usize, message: &str) {
    let study = Study::open(files).unwrap();
    let map = map.unwrap_or_else(|| labels(&study));
    let error = study.series[0].write_segmentation(channel, &map, &segmentation()).unwrap_err();
    assert!(error.to_string().contains(message), "{error}");
    assert!(!error.to_string().contains("1.2.3"), "{error}");
}

#[test]
fn what_cannot_be_written_is_refused() {
    let grid = |dims, shift| {
        let rows = [[-0.5, 0., 0., -10.], [0., -2., 0., -20.], [0., 0., 2.5, 30. + shift]];
        Some(LabelMap::background(Grid::new(dims, Affine::from_rows(rows))))
    };
    assert_refused(files(), grid([COLUMNS, ROWS, 5], 0.0), 0, "expected 4 × 3 × 4 voxels, found");
    assert_refused(files(), grid([COLUMNS, ROWS, 4], 2.5), 0, "expected the same position");
    assert_refused(files(), None, 1, "expected one of the series' 1 volumes, found volume 2");

    let changed = |change: &dyn Fn(Dicom) -> Dicom| -> Vec<SourceFile> {
        (0..NUM_SLICES).map(|n| change(slice(n)).file(&n.to_string())).collect()
    };
    let without = |tag| changed(&|slice| slice.without(tag));
    let study_uid = 0x0020_000d;
    assert_refused(without(study_uid), None, 0, "an identifier of the study, found none");
    assert_refused(without(INSTANCE), None, 0, "an identifier of every slice, found none");
    let named = changed(&|slice| slice.text(study_uid, "UI", "1.2.3 Jane"));
    assert_refused(named, None, 0, "found a text that is not an identifier");

    let nifti = model_core::formats::nifti::write_labels(&grid([2, 2, 2], 0.0).unwrap());
    let nifti = SourceFile { path: "a.nii.gz".to_string(), bytes: nifti };
    let map = grid([2, 2, 2], 0.0);
    assert_refused(vec![nifti], map, 0, "expected a series in DICOM, found a scan in NIfTI");

    let study = Study::open(files()).unwrap();
    let mut empty = segmentation();
    empty.segments.clear();
    let error = study.series[0].write_segmentation(0, &labels(&study), &empty).unwrap_err();
    assert!(matches!(error, Error::Segmentation { .. }), "{error}");
}
