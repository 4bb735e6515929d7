//! `rewind prepare`, `predict --prepare` and `inspect` on a real DICOM examination, and on examinations
//! that are broken. No output holds a name, a number, a date or an identifier of the patient.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use integration_tests::data;
use model_core::{
    Bundle, Card, Foreground, PreprocessConfig, Provenance, UNetConfig, network::layers, phantom,
};

use crate::commands::rewind;

/// Runs the command. Returns whether it succeeded, and all of its output.
fn run(words: &[&str]) -> (bool, String) {
    let output = rewind(words).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn success(words: &[&str]) -> String {
    let (is_success, text) = run(words);
    assert!(is_success, "rewind {words:?}: {text}");
    text
}

fn failure(words: &[&str]) -> String {
    let (is_success, text) = run(words);
    assert!(!is_success, "rewind {words:?} succeeded: {text}");
    text
}

/// Strings of the DICOM files: the patient's name and number, the beginning of all identifiers, the
/// dates of the examination and of the files.
const IDENTITY: [&str; 6] =
    ["PGBM-003", "Dumbledore", "Albus", "14519.5.2.1", "20200121", "1.3.6.1.4.1"];

/// Writes a model for T1, T1Gd, T2 and FLAIR without skull, whose weights are zeros.
fn model(folder: &Path, channel_dropout: f64) -> PathBuf {
    let task = phantom::task();
    let network = UNetConfig::preset("demo", 4, task.num_outputs()).unwrap();
    let weights = layers::parameters(&network).into_iter().map(|parameter| {
        let values = vec![0.0; parameter.shape.iter().product()];
        (parameter.name, model_core::Array { shape: parameter.shape, values })
    });
    let weights = weights.collect();
    let preprocess =
        PreprocessConfig { foreground: Foreground::Nonzero, crop: true, ..Default::default() };
    let provenance = Provenance { channel_dropout, ..Provenance::default() };
    let card = Card::new("Test", task, network, preprocess, provenance);
    let file = folder.join("model.safetensors");
    fs::write(&file, Bundle { card, weights }.to_bytes().unwrap()).unwrap();
    file
}

/// Copies the examination, without the files that `is_left_out` names.
fn copy(to: &Path, is_left_out: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let study = data("dicom/tumor-study")?;
    for series in fs::read_dir(&study).unwrap() {
        let series = series.unwrap().path();
        let folder = to.join("study").join(series.file_name().unwrap());
        fs::create_dir_all(&folder).unwrap();
        for file in fs::read_dir(&series).unwrap() {
            let file = file.unwrap().path();
            if !is_left_out(file.strip_prefix(&study).unwrap()) {
                fs::copy(&file, folder.join(file.file_name().unwrap())).unwrap();
            }
        }
    }
    Some(to.join("study"))
}

/// Checks every file below a folder, decompressed too.
fn check_privacy(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            check_privacy(&path);
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let mut plain = Vec::new();
        if bytes.starts_with(&[0x1f, 0x8b]) {
            MultiGzDecoder::new(&bytes[..]).read_to_end(&mut plain).unwrap();
        }
        for text in IDENTITY {
            let holds = |bytes: &[u8]| bytes.windows(text.len()).any(|w| w == text.as_bytes());
            assert!(!holds(&bytes) && !holds(&plain), "{text} in {}", path.display());
        }
    }
}

#[test]
fn a_real_examination_is_prepared_and_segmented_without_a_trace_of_the_patient() {
    let folder = tempfile::tempdir().unwrap();
    let Some(study) = copy(folder.path(), |_| false) else { return };
    let model = model(folder.path(), 0.0);
    let listing = success(&["inspect", study.to_str().unwrap()]);
    for part in ["T1post", "280 × 320 × 22", "TI 2600 ms", "contrast agent", "22 files"] {
        assert!(listing.contains(part), "{part} in {listing}");
    }
    let out = folder.path().join("prepared");
    let [model, study, out_text] = [&model, &study, &out].map(|path| path.to_str().unwrap());
    let text = success(&["prepare", "--model", model, study, "--out", out_text]);
    assert!(text.contains("The brain (") && text.contains("T1Gd: its description"), "{text}");
    for file in ["T1", "T1Gd", "T2", "FLAIR", "brain-mask"] {
        assert!(out.join(format!("{file}.nii.gz")).is_file(), "{file}");
    }
    let png = fs::read(out.join("montage.png")).unwrap();
    assert!(png.starts_with(b"\x89PNG"));
    let record = fs::read_to_string(out.join("preparation.json")).unwrap();
    assert!(record.contains("Research use only") && record.contains("\"reference\": \"T1\""));
    check_privacy(&out);
    // A second preparation does not replace it by accident.
    let text = failure(&["prepare", "--model", model, study, "--out", out_text]);
    assert!(text.contains("--overwrite"), "{text}");

    let results = folder.path().join("results");
    let results_text = results.to_str().unwrap();
    let options = ["--data", study, "--prepare", "--out", results_text];
    success(&[&["predict", "--model", model][..], &options].concat());
    let record = fs::read_to_string(results.join("study.json")).unwrap();
    assert!(record.contains("\"preparation\"") && record.contains("volume_ml"), "{record}");
    check_privacy(&results);
    let labels = fs::read(results.join("study.nii.gz")).unwrap();
    let (grid, _) = model_core::formats::nifti::read_grid(&labels).unwrap();
    assert_eq!(grid.dims, [280, 320, 22]);
}

#[test]
fn broken_examinations_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let is_flair = |path: &Path| path.starts_with("flair");
    let Some(study) = copy(folder.path(), is_flair) else { return };
    let strict = model(folder.path(), 0.0);
    let out = folder.path().join("out");
    let prepare = |run: fn(&[&str]) -> String, model: &Path, more: &[&str]| {
        let [model, study, out] = [model, &study, &out].map(|path| path.to_str().unwrap());
        run(&[&["prepare", "--model", model, study, "--out", out, "--overwrite"], more].concat())
    };
    let text = prepare(failure, &strict, &[]);
    assert!(text.contains("none for FLAIR") && text.contains("--allow-missing"), "{text}");
    let tolerant = folder.path().join("tolerant");
    fs::create_dir(&tolerant).unwrap();
    let tolerant = model(&tolerant, 0.2);
    let text = prepare(success, &tolerant, &[]);
    assert!(text.contains("FLAIR is missing"), "{text}");

    // Two patients.
    let t2 = study.join("t2/000003.dcm");
    let whole = fs::read(&t2).unwrap();
    let mut other = whole.clone();
    let id = other.windows(8).position(|window| window == b"PGBM-003").unwrap();
    other[id + 7] = b'4';
    fs::write(&t2, other).unwrap();
    let text = prepare(failure, &tolerant, &[]);
    assert!(text.contains("one patient") && !text.contains("PGBM"), "{text}");
    // A missing slice.
    fs::remove_file(&t2).unwrap();
    let text = prepare(failure, &tolerant, &[]);
    assert!(text.contains("1 slice missing"), "{text}");
    fs::write(&t2, whole).unwrap();
    let text = prepare(success, &tolerant, &["--assign", "T2=T1post"]);
    assert!(text.contains("you chose this"), "{text}");
    let text = prepare(failure, &tolerant, &["--assign", "T2=99"]);
    assert!(text.contains("from 1 to 3"), "{text}");
}
