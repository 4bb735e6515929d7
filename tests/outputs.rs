//! No file is replaced that Rewind did not write, whatever its name, and what cannot be written is
//! told before the work.

use std::fs;
use std::path::{Path, PathBuf};

use model_core::{formats::nifti, phantom};
use trainer_predict::record::Record;
use trainer_predict::settings::{Largest, Settings};
use trainer_run::files::lock::FolderLock;

use crate::commands::{ended, rewind};
use crate::inference::{find, models, predictor};

/// Every file below a folder, with its bytes.
fn all_files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(all_files(&path)),
            false => found.push((path.clone(), fs::read(path).unwrap())),
        }
    }
    found.sort();
    found
}

/// A case's folder in BraTS's form.
fn case_folder(folder: &Path) {
    let case = phantom::phantom(20, 32);
    fs::create_dir_all(folder).unwrap();
    for (volume, name) in case.channels.iter().zip(["t1n", "t1c", "t2w", "t2f"]) {
        let bytes = nifti::write_volumes(std::slice::from_ref(volume)).unwrap();
        fs::write(folder.join(format!("x-{name}.nii.gz")), bytes).unwrap();
    }
}

/// The sidecar of a scan, another program's label map or probabilities under the result's name, and
/// what only looks like a record.
#[test]
fn a_result_takes_no_place_that_is_not_its_own() {
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
        case_folder(&data);
        let found = find(std::slice::from_ref(&data));
        fs::create_dir_all(data.join(name).parent().unwrap()).unwrap();
        fs::write(data.join(name), bytes).unwrap();
        let before = all_files(&data);
        for overwrite in [false, true] {
            for probabilities in [false, true] {
                let predictor = predictor(Settings { probabilities, ..Settings::default() });
                let outcome = predictor.write_all(&found, &data, None, overwrite).unwrap();
                assert_eq!((outcome.segmented, outcome.faults.len()), (0, 1), "{name}");
                let fault = &outcome.faults[0];
                assert!(fault.contains("which is kept") && fault.contains(name), "{fault}");
                assert!(all_files(&data) == before, "{name}");
            }
        }
    }
}

#[test]
fn what_is_in_the_way_of_one_scan_costs_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    trainer_data::phantom::write(&path("data"), 2, 40, 32).unwrap();
    fs::create_dir(path("out")).unwrap();
    fs::write(path("out/phantom_00040.json"), "{}").unwrap();
    let predictor = predictor(Settings::default());
    let outcome = predictor.write_all(&find(&[path("data")]), &path("out"), None, true).unwrap();
    assert_eq!((outcome.segmented, outcome.faults.len()), (1, 1), "{:?}", outcome.faults);
    assert!(
        path("out/phantom_00041.nii.gz").exists() && !path("out/phantom_00040.nii.gz").exists()
    );
    assert_eq!(fs::read(path("out/phantom_00040.json")).unwrap(), b"{}");
}

/// An expert has corrected a label map where it lies.
#[test]
fn a_corrected_result_is_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    trainer_data::phantom::write(&path("data"), 1, 40, 32).unwrap();
    let (found, out) = (find(&[path("data")]), path("out"));
    let run = |overwrite| {
        let predictor = predictor(Settings { probabilities: true, ..Settings::default() });
        let outcome = predictor.write_all(&found, &out, None, overwrite).unwrap();
        (outcome.segmented, outcome.kept, outcome.faults)
    };
    assert_eq!(run(false), (1, 0, Vec::new()));
    assert_eq!(run(true), (1, 0, Vec::new()), "what is as it was written may be made again");
    let file = path("out/phantom_00040.nii.gz");
    let mut labels = nifti::read_labels(&fs::read(&file).unwrap()).unwrap();
    labels.labels_mut()[0] = 1;
    fs::write(&file, nifti::write_labels(&labels)).unwrap();
    let before = all_files(&out);
    assert_eq!(run(false), (0, 1, Vec::new()));
    let (segmented, _, faults) = run(true);
    assert!(segmented == 0 && faults[0].contains("changed since"), "{faults:?}");
    assert!(all_files(&out) == before);
    // Removed by whoever made it, there is nothing to keep.
    fs::remove_file(&file).unwrap();
    assert_eq!(run(false), (1, 0, Vec::new()));
}

/// Results of versions that kept no digests are told by their record alone.
#[test]
fn a_result_of_an_earlier_version_may_be_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    trainer_data::phantom::write(&path("data"), 1, 40, 32).unwrap();
    let (found, out) = (find(&[path("data")]), path("out"));
    let predictor = predictor(Settings::default());
    predictor.write_all(&found, &out, None, false).unwrap();
    let file = path("out/phantom_00040.json");
    let record = Record::find(&file).unwrap();
    assert_eq!(record.written.len(), 1);
    Record { written: Default::default(), ..record }.write(&file).unwrap();
    let outcome = predictor.write_all(&found, &out, None, true).unwrap();
    assert_eq!((outcome.segmented, outcome.faults), (1, Vec::new()));
}

#[test]
fn processes_that_predict_the_same_share_a_folder_and_others_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    trainer_data::phantom::write(&path("data"), 2, 40, 32).unwrap();
    let (found, out) = (find(&[path("data")]), path("out"));
    std::thread::scope(|scope| {
        let run = || {
            let outcome = predictor(Settings::default()).write_all(&found, &out, None, false);
            let outcome = outcome.unwrap();
            assert_eq!(outcome.segmented + outcome.kept, 2, "{:?}", outcome.faults);
        };
        let both = [scope.spawn(run), scope.spawn(run)];
        both.into_iter().for_each(|thread| thread.join().unwrap());
    });
    let held = FolderLock::shared(&out, "other models").unwrap();
    let other = Settings { largest: Some(Largest::Regions), ..Settings::default() };
    let error = predictor(other).write_all(&found, &out, None, true).unwrap_err();
    assert!(format!("{error:#}").contains("in use by process"), "{error:#}");
    drop(held);
    assert_eq!(
        all_files(&out).len(),
        4,
        "{:?}",
        all_files(&out).iter().map(|f| &f.0).collect::<Vec<_>>()
    );
}

/// Every option that names a file: another's file there is kept, a folder that is missing is told, and
/// both before the work, which here cannot be done.
#[test]
fn options_that_name_a_file_are_tried_first_and_replace_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let own = "somebody's own work";
    for name in ["a.csv", "a.json", "a.onnx", "a.md", "a.html", "a.safetensors"] {
        fs::write(path(name), own).unwrap();
    }
    let nothing = path("nothing");
    let commands: [&[&str]; 8] = [
        &["evaluate", &nothing, &nothing, "--task", "brats2023", "--csv", "a.csv"],
        &["evaluate", &nothing, &nothing, "--task", "brats2023", "--json", "a.json"],
        &["inspect", &nothing, "--csv", "a.csv"],
        &["report", &nothing, "--out", "a.html"],
        &["export", "--run", &nothing, "--out", "a.safetensors"],
        &["export", "--run", &nothing, "--onnx", "a.onnx"],
        &["export", "--run", &nothing, "--out", "b.safetensors", "--card", "a.md"],
        &["export", "--run", &nothing, "--out", "b.safetensors", "--onnx", "a.onnx"],
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
            let (code, said) = ended(rewind(&words));
            assert!(
                code == Some(1) && said.contains(part) && said.contains(&file),
                "{words:?}: {said}"
            );
        }
        assert_eq!(fs::read_to_string(path(last)).unwrap(), own);
    }
    assert!(!Path::new(&path("b.safetensors")).exists());
}

/// What Rewind wrote there is written again.
#[test]
fn every_kind_of_file_is_known_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    fs::write(path("model"), models()[0].to_bytes().unwrap()).unwrap();
    trainer_data::phantom::write(Path::new(&path("data")), 1, 40, 32).unwrap();
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
            let (code, said) = ended(rewind(words));
            assert_eq!(code, Some(0), "{words:?}: {said}");
        }
    }
    // A model is no place for what is made of it.
    let (code, said) = ended(rewind(&["export", "--model", &model, "--out", &model, "--f16"]));
    assert!(code == Some(1) && said.contains("the model itself"), "{said}");
    assert_eq!(fs::read(&model).unwrap(), models()[0].to_bytes().unwrap());
}
