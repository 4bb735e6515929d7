//! Broken, mixed and incomplete files are refused with the reason.

use model_core::formats::study::{SourceFile, Study};

use super::arrangement::multi_frame;
use super::dicom::*;
use super::zip::archive;

fn file(path: &str, bytes: impl Into<Vec<u8>>) -> SourceFile {
    SourceFile { path: path.to_string(), bytes: bytes.into() }
}

/// Returns the sentence of the only refused file.
fn refusal(files: Vec<SourceFile>) -> String {
    let study = Study::open(files).unwrap();
    assert_eq!(study.refused.len(), 1, "{:?} {:?}", study.refused, study.notes);
    study.refused[0].1.to_string()
}

#[track_caller]
fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

#[test]
fn files_of_two_patients_are_refused_without_their_names() {
    for (tag, vr, other, what) in [
        (ID, "LO", "4712-08", "identifiers"),
        (NAME, "PN", "Doe^John", "names"),
        (BIRTH_DATE, "DA", "19510203", "dates of birth"),
    ] {
        let mut files = slices(3);
        files[0] = slice(0).text(BIRTH_DATE, "DA", "19500101").file("s/0");
        // Even if all else is equal, and if the file holds no image.
        files.push(slice(3).text(tag, vr, other).without(PIXELS).file("t/3"));
        let error = Study::open(files).unwrap_err().to_string();
        assert_has(&error, &["files of one patient", what]);
        assert!(!error.contains(other) && !error.contains("4711"), "{error}");
    }
    let zipped = |name: &str| slice(1).text(NAME, "PN", name).bytes();
    let (a, b) = (zipped("Roe^Jane"), zipped("Doe^John"));
    let error = Study::open(vec![file("a.zip", archive(&[("1", &a), ("2", &b)], 0, None))]);
    assert_has(&error.unwrap_err().to_string(), &["files of one patient"]);
}

#[test]
fn one_patient_may_be_written_in_several_ways() {
    let mut files = slices(3);
    files[1] = slice(1).text(NAME, "PN", "ROE^JANE^").file("s/1");
    files[2] = slice(2).without(NAME).without(ID).file("s/2");
    assert_eq!(Study::open(files).unwrap().series.len(), 1);
}

#[test]
fn missing_slices_are_told_with_their_places_and_not_read_over() {
    let mut files = slices(9);
    files.drain(3..5);
    let study = Study::open(files).unwrap();
    let problem = study.series[0].summary().problem.clone().unwrap();
    assert_has(&problem, &["2 slices missing: 2 after slice 3 of 7"]);
    let error = study.series[0].read().unwrap_err().to_string();
    assert_eq!(error, problem);
    // The thumbnail shows which series it is.
    assert!(study.series[0].thumbnail(16).is_ok());
}

#[test]
fn uneven_distances_are_told() {
    let at = |index: usize, z: f64| slice(index).text(POSITION, "DS", &format!("10\\20\\{z}"));
    let heights = [30.0, 32.5, 35.9, 37.5];
    let files = heights.iter().enumerate().map(|(n, z)| at(n, *z).file(&n.to_string())).collect();
    let study = Study::open(files).unwrap();
    let problem = study.series[0].summary().problem.clone().unwrap();
    assert_has(&problem, &["slices at equal distances", "1.60 to 3.40 mm"]);
}

#[test]
fn a_truncated_file_is_told_and_its_series_called_incomplete() {
    let whole = slice(2).bytes();
    for kept in [whole.len() - 1, whole.len() - 20, whole.len() / 2] {
        let mut files = slices(4);
        files[2].bytes.truncate(kept);
        let study = Study::open(files).unwrap();
        assert_eq!(study.refused[0].0, "s/2");
        assert_has(&study.refused[0].1.to_string(), &["s/2", "found"]);
        assert!(study.series[0].read().is_err(), "{kept}");
    }
    let mut files = slices(4);
    files[2].bytes.truncate(whole.len() - 4);
    let study = Study::open(files).unwrap();
    assert_has(&study.refused[0].1.to_string(), &["only 20 of 24 bytes of its pixels"]);
    let warnings = study.series[0].summary().warnings.join(" ");
    assert_has(&warnings, &["The series is incomplete: 1 file of it cannot be read."]);
}

#[test]
fn a_file_with_fewer_frames_than_it_states_is_told() {
    let multi = multi_frame(&[0, 1, 2]).text(NUM_FRAMES, "IS", "4").file("multi");
    assert_has(&refusal(vec![multi]), &["96 bytes for 4 frames", "found 72"]);
}

#[test]
fn an_unknown_compression_is_named() {
    let mut bytes = slice(0).bytes();
    let at = bytes.windows(19).position(|bytes| bytes == b"1.2.840.10008.1.2.1").unwrap();
    // The length of the UID grows with it.
    bytes[at - 2..at].copy_from_slice(&24u16.to_le_bytes());
    bytes.splice(at..at + 20, *b"1.2.840.10008.1.2.4.102\0");
    let study = Study::open(vec![file("a", bytes)]).unwrap();
    assert_has(study.series[0].summary().problem.as_deref().unwrap(), &["MPEG-4 video"]);
    assert_has(&study.series[0].read().unwrap_err().to_string(), &["MPEG-4 video"]);
}

#[test]
fn files_that_are_no_images_are_noted() {
    let report = common().text(CLASS, "UI", "1.2.840.10008.5.1.4.1.1.88.11").without(0x0028_0010);
    let mut files = slices(3);
    files.push(report.file("report"));
    files.push(file("readme.txt", b"how to open these".as_slice()));
    files.push(file("__MACOSX/x", b"\0\x05\x16\x07".as_slice()));
    let study = Study::open(files).unwrap();
    assert_eq!(study.series.len(), 1);
    let expected =
        ["1 file was set aside: structured reports.", "Not a scan, ignored: readme.txt (text)."];
    assert_eq!(study.notes, expected);
}

#[test]
fn a_directory_without_its_files_is_told() {
    let mut bytes = slice(0).bytes();
    let meta = [b"\x02\0\x02\0UI\x14\0".as_slice(), b"1.2.840.10008.1.3.10"].concat();
    bytes.splice(132..132, meta);
    let error = Study::open(vec![file("DICOMDIR", bytes)]).unwrap_err().to_string();
    assert_has(&error, &["A directory (DICOMDIR) was given without its files."]);
}

#[test]
fn an_archive_is_opened_as_a_folder_is() {
    let slices = [slice(0).bytes(), slice(1).bytes(), slice(2).bytes()];
    let names = ["a/0", "a/1", "a/2"];
    let files: Vec<(&str, &[u8])> =
        names.into_iter().zip(slices.iter().map(Vec::as_slice)).collect();
    let inner = archive(&files, 0, None);
    for bytes in [archive(&[("inner.zip", &inner)], 0, None), inner.clone()] {
        let study = Study::open(vec![file("x.zip", bytes)]).unwrap();
        assert_eq!(study.series[0].summary().dims, [COLUMNS, ROWS, 3]);
    }
}

#[test]
fn archives_that_cannot_be_unpacked_are_told() {
    let bytes = slice(0).bytes();
    let files = [("a", bytes.as_slice())];
    let told = refusal(vec![file("x.zip", archive(&files, 1, None))]);
    assert_has(&told, &["x.zip/a", "without a password", "an encrypted file"]);
    let bomb = archive(&[("a", &bytes), ("b", &bytes)], 0, Some(3 << 30));
    assert_has(&refusal(vec![file("x.zip", bomb)]), &["the unpacked archive", "x.zip"]);
    let mut cut = archive(&files, 0, None);
    cut.truncate(cut.len() - 30);
    assert_has(&refusal(vec![file("x.zip", cut)]), &["its directory"]);
    let mut damaged = archive(&files, 0, None);
    damaged[200] ^= 1;
    assert_has(&refusal(vec![file("x.zip", damaged)]), &["undamaged"]);
    let nested = (0..4).fold(bytes.clone(), |inner, _| archive(&[("in", &inner)], 0, None));
    assert_has(&refusal(vec![file("x.zip", nested)]), &["two archives within each other"]);
}

/// Returns an NRRD file of 2 x 2 x 2 bytes.
fn nrrd(changed: &[(&str, &str)], voxels: &[u8]) -> Vec<u8> {
    let fields = [
        ("type", "uchar"),
        ("dimension", "3"),
        ("sizes", "2 2 2"),
        ("space", "right-anterior-superior"),
        ("space directions", "(1,0,0) (0,1,0) (0,0,1)"),
        ("space origin", "(0,0,0)"),
        ("encoding", "raw"),
    ];
    let mut header = "NRRD0004\n".to_string();
    for (name, value) in fields {
        let value = changed.iter().find(|(n, _)| *n == name).map_or(value, |(_, value)| value);
        header += &format!("{name}: {value}\n");
    }
    for (name, value) in changed.iter().filter(|(n, _)| !fields.iter().any(|(f, _)| f == n)) {
        header += &format!("{name}: {value}\n");
    }
    [header.as_bytes(), b"\n", voxels].concat()
}

#[test]
fn nrrd_that_cannot_be_read_is_told() {
    let whole = Study::open(vec![file("a.nrrd", nrrd(&[], &[7; 8]))]).unwrap();
    assert_eq!(whole.series[0].read().unwrap().volumes[0].values(), [7.0; 8]);
    let detached = nrrd(&[("data file", "scan.raw")], b"");
    let told = refusal(vec![file("a.nhdr", detached)]);
    assert_has(&told, &["header and voxels in one file", "scan.raw", "a.nhdr"]);
    for (changed, part) in [
        (("encoding", "bzip2"), "bzip2"),
        (("type", "block"), "block"),
        (("sizes", "2 2 3"), "12 bytes"),
        (("sizes", "32767 32767 32767"), "the scan"),
        (("space directions", "(1,0,0) (2,0,0) (0,0,1)"), "geometry"),
        (("space directions", "(1,0,0) (nan,1,0) (0,0,1)"), "geometry"),
        (("space", "left-up"), "left-up"),
        (("byte skip", "-1"), "skipped"),
    ] {
        let told = refusal(vec![file("a.nrrd", nrrd(&[changed], &[7; 8]))]);
        assert_has(&told, &[part, "a.nrrd"]);
    }
}

#[test]
fn voxels_without_a_header_and_other_scans_are_told() {
    let told = refusal(vec![file("a/scan.img", b"BZh and more".as_slice())]);
    assert_has(&told, &["without their header (.hdr)", "a/scan.img"]);
    let told = refusal(vec![file("scan.mha", b"ObjectType = Image\nNDims = 3\n".as_slice())]);
    assert_has(&told, &["DICOM, NIfTI, NRRD, MGH or Analyze", "MetaImage", "scan.mha"]);
    let cut = golden_mgh();
    // The header, 24 voxels of two bytes, and what FreeSurfer writes behind them.
    assert!(cut.len() > 284 + 48);
    for length in [100, 284, 284 + 47] {
        assert_has(&refusal(vec![file("a.mgh", &cut[..length])]), &["a.mgh", "found"]);
    }
}

/// Returns an MGH file.
fn golden_mgh() -> Vec<u8> {
    let golden = super::golden::golden();
    let cases = golden["scans"].as_array().unwrap();
    let case = cases.iter().find(|case| case["name"] == "MGH of i2").unwrap();
    super::golden::bytes(&case["file"])
}
