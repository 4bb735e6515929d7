//! Unused files of a data set are counted and named, and a data set without cases is a fault.

use std::fs;
use std::path::Path;

use trainer_data::data_set::DataSet;
use trainer_data::inspect::Inspection;
use trainer_evaluate::{Options, evaluate};
use trainer_run::reporter::Silent;

use super::trees::{self, Source};

fn edit(folder: &Path, from: &str, to: &str) {
    let file = folder.join("dataset.json");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    fs::write(&file, text.replacen(from, to, 1)).unwrap();
}

/// Asserts that inspection and training report a fault with the given text.
fn expect_fault(path: &Path, task: Option<&str>, part: &str) {
    let inspection = Inspection::new(DataSet::open(path, task, &Silent).unwrap(), &Silent);
    let faults = inspection.faults();
    assert!(faults.iter().any(|fault| fault.to_string().contains(part)), "{part} in {faults:?}");
    let error =
        DataSet::open_for_training(path, task, false, 0.1, &Silent).unwrap_err().to_string();
    assert!(error.contains(part), "{part} in {error}");
}

#[test]
fn a_data_set_without_cases_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let source = Source::new(2);
    source.write_nnunet(&path("ending"), false);
    edit(&path("ending"), ".nii.gz", ".nii");
    edit(&path("ending"), "\"numTraining\": 2,", "");
    expect_fault(&path("ending"), None, "do not end in .nii, as file_ending says");

    source.write_nnunet(&path("none"), true);
    edit(&path("none"), "\"training\": [{", "\"training\": [], \"x\": [{");
    expect_fault(&path("none"), None, "expected at least one case, found none");
    let predicted = path("none/labelsTr");
    let error =
        evaluate(&predicted, &path("none"), &Options::default(), &Silent).unwrap_err().to_string();
    assert!(error.contains("expected label files, found none"), "{error}");

    fs::write(path("cases.csv"), "case,T1,T1Gd,T2,FLAIR,label\n").unwrap();
    expect_fault(&path("cases.csv"), Some("brats2023"), "expected at least one case, found none");
}

#[test]
fn labels_with_unknown_names_are_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    for case in ["a", "b"] {
        for part in ["t1", "t1ce", "t2", "flair", "annotated"] {
            trees::write_named(folder.path(), &[&format!("{case}/{case}_{part}.nii.gz")]);
        }
    }
    expect_fault(folder.path(), Some("brats2021"), "expected labels (seg), found none");
}

#[test]
fn a_wrong_number_of_cases_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    for is_first in [true, false] {
        let path = folder.path().join(is_first.to_string());
        Source::new(2).write_nnunet(&path, is_first);
        assert_eq!(DataSet::open(&path, None, &Silent).unwrap().faults, []);
        match is_first {
            true => edit(&path, "\"modality\"", "\"numTraining\": 3, \"modality\""),
            false => edit(&path, "\"numTraining\": 2", "\"numTraining\": 3"),
        }
        expect_fault(&path, None, "expected 3 cases with labels, as numTraining says, found 2");
        let error =
            evaluate(&path.join("labelsTr"), &path, &Options::default(), &Silent).unwrap_err();
        assert!(error.to_string().contains("numTraining"), "{error}");
        assert_eq!(
            DataSet::open_for_training(&path, None, true, 0.1, &Silent).unwrap().cases.len(),
            2
        );
    }
}

#[test]
fn unused_files_are_counted_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    Source::new(2).write_brats_2018(folder.path());
    trees::write_named(folder.path(), &["template.nii.gz", "a/b/c/d/e/deep_t1.nii"]);
    for name in ["HGG/case-0/aseg.mgz", "x.nrrd", "y.dcm", "z.zip", "notes.txt", "single.img"] {
        fs::write(path(name), b"x").unwrap();
    }
    let data_set = DataSet::open(folder.path(), Some("brats2023"), &Silent).unwrap();
    assert_eq!((data_set.cases.len(), &data_set.faults[..]), (2, &[][..]));
    let unused = data_set.unused_files.lines().join("\n");
    for part in [
        "1 × scans with names that state neither a channel nor labels: ",
        "template.nii.gz",
        "folders more than 4 deep",
        "FreeSurfer",
        "NRRD",
        "DICOM",
        "archives",
        "without their header",
        "2 × other files",
    ] {
        assert!(unused.contains(part), "{part} in {unused}");
    }
    // The error of a folder without scans names its files.
    let other = path("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("a.mgz"), b"x").unwrap();
    let error = DataSet::open(&other, None, &Silent).unwrap_err().to_string();
    assert!(error.contains("a.mgz") && error.contains("no scans"), "{error}");
}

#[test]
fn all_cases_in_lists_of_monai_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = ["a", "b", "c", "d"]
        .iter()
        .flat_map(|case| ["t1", "flair", "seg"].map(|part| format!("{case}/{case}_{part}.nii.gz")))
        .collect();
    names.iter().for_each(|name| trees::write_named(folder.path(), &[name]));
    let scan = |case: &str| {
        format!(r#""image": ["{case}/{case}_t1.nii.gz", "{case}/{case}_flair.nii.gz"]"#)
    };
    let json = format!(
        r#"{{"name": "M", "modality": {{"0": "T1", "1": "FLAIR"}}, "numTraining": 1,
        "labels": {{"0": "b", "1": "x", "2": "y", "3": "z"}},
        "training": [{{"fold": 0, {}, "label": "a/a_seg.nii.gz"}}],
        "validation": [{{{}, "label": "b/b_seg.nii.gz"}}, {{{}}}], "test": [{{{}}}]}}"#,
        scan("a"),
        scan("b"),
        scan("c"),
        scan("d")
    );
    // A byte order mark, as from an editor on Windows.
    fs::write(folder.path().join("dataset.json"), format!("\u{feff}{json}")).unwrap();
    let data_set = DataSet::open(folder.path(), None, &Silent).unwrap();
    let names = |cases: &[trainer_data::data_set::CaseFiles]| {
        cases.iter().map(|case| case.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        (names(&data_set.cases), names(&data_set.unlabeled)),
        (vec!["a".into(), "b".into()], vec!["c".into(), "d".into()])
    );
    assert!(data_set.check(&Silent).iter().all(|checked| !checked.is_bad()));
    assert!(data_set.notes[0].contains("validation"), "{:?}", data_set.notes);
}

#[test]
fn the_error_of_a_file_of_another_kind_names_the_kind() {
    let folder = tempfile::tempdir().unwrap();
    Source::new(1).write_nnunet(folder.path(), true);
    let json = folder.path().join("dataset.json");
    let text = fs::read_to_string(&json).unwrap();
    let error = |bytes: &[u8]| {
        fs::write(&json, bytes).unwrap();
        DataSet::open(folder.path(), None, &Silent).unwrap_err().to_string()
    };
    let utf16: Vec<u8> =
        format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, part) in [
        (&utf16[..], "UTF-16"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"<!doctype html><html>", "web page"),
    ] {
        let error = error(bytes);
        assert!(error.contains(part) && error.ends_with("dataset.json)"), "{error}");
    }
    let table = folder.path().join("cases.csv");
    fs::write(&table, b"PK\x03\x04").unwrap();
    let error = DataSet::open(&table, Some("brats2023"), &Silent).unwrap_err().to_string();
    assert!(error.contains(".xlsx"), "{error}");
    fs::write(&table, "\u{feff}case;T1;T1Gd;T2;FLAIR;patient\na;1;2;3;4;p\n").unwrap();
    let data_set = DataSet::open(&table, Some("brats2023"), &Silent).unwrap();
    assert_eq!((data_set.unlabeled.len(), &data_set.patients["a"][..]), (1, "p"));
}

#[cfg(unix)]
#[test]
fn a_dangling_link_of_git_annex_is_an_error_with_the_command_to_get_it() {
    let folder = tempfile::tempdir().unwrap();
    Source::new(1).write_brats_2023(folder.path());
    let file = folder.path().join("case-0/case-0-t1c.nii.gz");
    fs::remove_file(&file).unwrap();
    let target = "../../.git/annex/objects/0q/Xx/MD5E-s9--1.nii.gz/MD5E-s9--1.nii.gz";
    std::os::unix::fs::symlink(target, &file).unwrap();
    let data_set = DataSet::open(folder.path(), Some("brats2023"), &Silent).unwrap();
    let checked = data_set.check(&Silent);
    let fault = checked[0].faults[0].to_string();
    assert!(fault.contains("git annex get") && fault.contains("case-0-t1c"), "{fault}");
}
