//! Rewind replaces only files that Rewind wrote, and reports an output that cannot be written
//! before the work begins.

use std::fs;
use std::path::{Path, PathBuf};

use model_core::{formats::nifti, phantom};
use trainer_predict::record::Record;
use trainer_predict::settings::{LargestComponent, Settings};
use trainer_run::files::lock::FolderLock;
use trainer_run::reporter::Silent;

use crate::commands::{rewind, status_and_stderr};
use crate::inference::{find, models, predictor};

/// Returns the path and the bytes of every file below a folder.
fn all_files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(all_files(&path)),
            false => files.push((path.clone(), fs::read(path).unwrap())),
        }
    }
    files.sort();
    files
}

/// Writes the folder of a case in the BraTS layout.
fn write_case_folder(folder: &Path) {
    let case = phantom::phantom(20, 32);
    fs::create_dir_all(folder).unwrap();
    for (volume, name) in case.channels().iter().zip(["t1n", "t1c", "t2w", "t2f"]) {
        let bytes = nifti::write_volumes(std::slice::from_ref(volume)).unwrap();
        fs::write(folder.join(format!("x-{name}.nii.gz")), bytes).unwrap();
    }
}

/// The files are a scan's sidecar, a label map or probabilities of another program under the
/// result's name, and files that only look like a record.
#[test]
fn a_result_never_replaces_files_of_other_programs() {
    let record = br#"{"disclaimer": "Research use only, not a medical device", "case": "x"}"#;
    for (name, bytes) in [
        ("x.json", &br#"{"RepetitionTime": 2.3, "MagneticFieldStrength": 3}"#[..]),
        ("x.json", record),
        ("x.json", b""),
        ("x.nii.gz", b"a label map of another program"),
        ("probabilities/x.nii.gz", b"another program's"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("x");
        write_case_folder(&data);
        let cases = find(std::slice::from_ref(&data));
        fs::create_dir_all(data.join(name).parent().unwrap()).unwrap();
        fs::write(data.join(name), bytes).unwrap();
        let before = all_files(&data);
        for overwrite in [false, true] {
            for probabilities in [false, true] {
                let predictor = predictor(Settings { probabilities, ..Settings::default() });
                let outcome = predictor.write_all(&cases, &data, None, overwrite, &Silent).unwrap();
                assert_eq!((outcome.num_segmented, outcome.faults.len()), (0, 1), "{name}");
                let fault = &outcome.faults[0];
                assert!(fault.contains("which is kept") && fault.contains(name), "{fault}");
                assert!(all_files(&data) == before, "{name}");
            }
        }
    }
}

#[test]
fn a_blocked_result_of_one_scan_does_not_affect_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    trainer_data::phantom::write(&path("data"), 2, 40, 32, &Silent).unwrap();
    fs::create_dir(path("out")).unwrap();
    fs::write(path("out/phantom_00040.json"), "{}").unwrap();
    let predictor = predictor(Settings::default());
    let outcome =
        predictor.write_all(&find(&[path("data")]), &path("out"), None, true, &Silent).unwrap();
    assert_eq!((outcome.num_segmented, outcome.faults.len()), (1, 1), "{:?}", outcome.faults);
    assert!(
        path("out/phantom_00041.nii.gz").exists() && !path("out/phantom_00040.nii.gz").exists()
    );
    assert_eq!(fs::read(path("out/phantom_00040.json")).unwrap(), b"{}");
}

/// An expert has edited a label map in the output folder.
#[test]
fn a_corrected_result_is_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    trainer_data::phantom::write(&path("data"), 1, 40, 32, &Silent).unwrap();
    let (cases, out) = (find(&[path("data")]), path("out"));
    let run = |overwrite| {
        let predictor = predictor(Settings { probabilities: true, ..Settings::default() });
        let outcome = predictor.write_all(&cases, &out, None, overwrite, &Silent).unwrap();
        (outcome.num_segmented, outcome.num_kept, outcome.faults)
    };
    assert_eq!(run(false), (1, 0, Vec::new()));
    assert_eq!(run(true), (1, 0, Vec::new()), "an unchanged result may be replaced");
    let file = path("out/phantom_00040.nii.gz");
    let mut labels = nifti::read_labels(&fs::read(&file).unwrap()).unwrap();
    labels.labels_mut()[0] = 1;
    fs::write(&file, nifti::write_labels(&labels)).unwrap();
    let before = all_files(&out);
    assert_eq!(run(false), (0, 1, Vec::new()));
    let (segmented, _, faults) = run(true);
    assert!(segmented == 0 && faults[0].contains("changed since"), "{faults:?}");
    assert!(all_files(&out) == before);
    // After the file was removed, the result is written again.
    fs::remove_file(&file).unwrap();
    assert_eq!(run(false), (1, 0, Vec::new()));
}

/// The record identifies results of versions that stored no digests.
#[test]
fn a_result_of_an_earlier_version_can_be_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    trainer_data::phantom::write(&path("data"), 1, 40, 32, &Silent).unwrap();
    let (cases, out) = (find(&[path("data")]), path("out"));
    let predictor = predictor(Settings::default());
    predictor.write_all(&cases, &out, None, false, &Silent).unwrap();
    let file = path("out/phantom_00040.json");
    let record = Record::find(&file).unwrap();
    assert_eq!(record.sha256_by_file.len(), 1);
    Record { sha256_by_file: Default::default(), ..record }.write(&file).unwrap();
    let outcome = predictor.write_all(&cases, &out, None, true, &Silent).unwrap();
    assert_eq!((outcome.num_segmented, outcome.faults), (1, Vec::new()));
}

#[test]
fn only_processes_with_the_same_prediction_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    trainer_data::phantom::write(&path("data"), 2, 40, 32, &Silent).unwrap();
    let (cases, out) = (find(&[path("data")]), path("out"));
    std::thread::scope(|scope| {
        let run = || {
            let outcome =
                predictor(Settings::default()).write_all(&cases, &out, None, false, &Silent);
            let outcome = outcome.unwrap();
            assert_eq!(outcome.num_segmented + outcome.num_kept, 2, "{:?}", outcome.faults);
        };
        let both = [scope.spawn(run), scope.spawn(run)];
        both.into_iter().for_each(|thread| thread.join().unwrap());
    });
    let lock = FolderLock::shared(&out, "other models").unwrap();
    let other =
        Settings { largest_component: Some(LargestComponent::Regions), ..Settings::default() };
    let error = predictor(other).write_all(&cases, &out, None, true, &Silent).unwrap_err();
    assert!(format!("{error:#}").contains("in use by process"), "{error:#}");
    drop(lock);
    assert_eq!(
        all_files(&out).len(),
        4,
        "{:?}",
        all_files(&out).iter().map(|f| &f.0).collect::<Vec<_>>()
    );
}

/// The inputs do not exist, so an error about the output shows that the output was checked first.
#[test]
fn output_options_are_checked_before_the_work_and_replace_no_file_of_other_programs() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let content = "a file of another program";
    for name in ["a.csv", "a.json", "a.onnx", "a.md", "a.html", "a.safetensors"] {
        fs::write(path(name), content).unwrap();
    }
    let missing = path("missing");
    let commands: [&[&str]; 8] = [
        &["evaluate", &missing, &missing, "--task", "brats2023", "--csv", "a.csv"],
        &["evaluate", &missing, &missing, "--task", "brats2023", "--json", "a.json"],
        &["inspect", &missing, "--csv", "a.csv"],
        &["report", &missing, "--out", "a.html"],
        &["export", "--run", &missing, "--out", "a.safetensors"],
        &["export", "--run", &missing, "--onnx", "a.onnx"],
        &["export", "--run", &missing, "--out", "b.safetensors", "--card", "a.md"],
        &["export", "--run", &missing, "--out", "b.safetensors", "--onnx", "a.onnx"],
    ];
    for words in commands {
        let (last, first) = words.split_last().unwrap();
        for (file, part) in
            [(path(last), "which is kept"), (path(&format!("none/{last}")), "cannot write")]
        {
            let words: Vec<String> = first
                .iter()
                .map(|word| if *word == "b.safetensors" { path(word) } else { word.to_string() })
                .chain([file.clone()])
                .collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let (code, stderr) = status_and_stderr(rewind(&words));
            assert!(
                code == Some(1) && stderr.contains(part) && stderr.contains(&file),
                "{words:?}: {stderr}"
            );
        }
        assert_eq!(fs::read_to_string(path(last)).unwrap(), content);
    }
    assert!(!Path::new(&path("b.safetensors")).exists());
}

#[test]
fn every_kind_of_output_file_can_be_replaced_by_rewind() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    fs::write(path("model"), models()[0].to_bytes().unwrap()).unwrap();
    trainer_data::phantom::write(Path::new(&path("data")), 1, 40, 32, &Silent).unwrap();
    let (data, labels) = (path("data"), path("data/labelsTr"));
    let (csv, json, cases, model) = (path("s.csv"), path("s.json"), path("c.csv"), path("model"));
    let (out, onnx, sample, card) =
        (path("m.safetensors"), path("m.onnx"), path("sample"), path("m.md"));
    let commands: [&[&str]; 3] = [
        &["evaluate", &labels, &labels, "--lesion-wise", "--csv", &csv, "--json", &json],
        &["inspect", &data, "--csv", &cases],
        &[
            "export",
            "--model",
            &model,
            "--out",
            &out,
            "--onnx",
            &onnx,
            "--onnx-sample",
            &sample,
            "--card",
            &card,
            "--f16",
        ],
    ];
    for words in commands {
        for _ in 0..2 {
            let (code, stderr) = status_and_stderr(rewind(words));
            assert_eq!(code, Some(0), "{words:?}: {stderr}");
        }
    }
    // An export must not replace its own model.
    let (code, stderr) =
        status_and_stderr(rewind(&["export", "--model", &model, "--out", &model, "--f16"]));
    assert!(code == Some(1) && stderr.contains("the model itself"), "{stderr}");
    assert_eq!(fs::read(&model).unwrap(), models()[0].to_bytes().unwrap());
}
