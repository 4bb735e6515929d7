//! Data sets in the usual layouts open unchanged, and all their faults are reported together.

mod names;
mod patients;
pub(crate) mod trees;
mod unused_files;

use std::fs;
use std::path::Path;

use integration_tests::data;
use model_core::{Head, Task, formats::nifti};
use trainer_data::data_set::{DataSet, Layout};
use trainer_data::inspect::Inspection;
use trainer_evaluate::{Options, evaluate};
use trainer_predict::inputs::{self, Split};
use trainer_run::reporter::Silent;

use trees::Source;

/// Opens a data set and compares the voxels and labels of every case with the source.
fn open_and_compare(path: &Path, task: Option<&str>, layout: Layout, source: &Source) -> DataSet {
    let data_set = DataSet::open(path, task, &Silent).unwrap();
    assert_eq!(data_set.layout, layout);
    assert_eq!(data_set.faults, [], "{layout:?}");
    let names: Vec<&str> = data_set.cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names, source.names(), "{layout:?}");
    for (n, expected) in source.cases.iter().enumerate() {
        let case = data_set.read(n).unwrap().case;
        assert!(case.channels() == expected.channels(), "{layout:?}: channels of {}", case.name());
        let labels = |case: &model_core::Case| case.labels().unwrap().labels().to_vec();
        assert!(labels(&case) == labels(expected), "{layout:?}: labels of {}", case.name());
    }
    data_set
}

#[test]
fn every_layout_gives_the_open_and_compare() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let source = Source::new(3);
    source.write_brats_2018(&path("2018"));
    source.write_brats_2023(&path("2023"));
    source.write_nnunet(&path("v1"), true);
    source.write_nnunet(&path("v2"), false);
    source.write_csv(&path("table"));
    let (since, until) = (Layout::BratsSince2023, Layout::BratsUntil2022);
    let open = |name: &str, task, layout| open_and_compare(&path(name), task, layout, &source);

    let brats = open("2023", Some("brats2023"), since);
    assert_eq!(brats.unlabeled[0].name, "validation-1");
    assert_eq!(brats.unlabeled[0].images.len(), 4);
    // The phantoms have the labels of 2023, in files with the names of 2018.
    let old = open("2018", Some("brats2023"), until);
    assert!(old.notes[0].contains("until 2022"), "{:?}", old.notes);
    open("v1", None, Layout::NnunetV1);
    let regions = open("v2", None, Layout::NnunetV2);
    assert_eq!((regions.task.head, regions.task.regions.len()), (Head::Sigmoid, 3));
    assert_eq!(regions.unlabeled.len(), 1);
    let table = open("table/cases.csv", Some("brats2023"), Layout::Table);
    assert_eq!(table.unlabeled[0].name, "unseen");
}

#[test]
fn an_error_of_a_case_names_the_file_that_does_not_match() {
    let folder = tempfile::tempdir().unwrap();
    Source::new(2).write_brats_2023(folder.path());
    let file = |name: &str| folder.path().join(name);
    let (flair, seg) = (file("case-0/case-0-t2f.nii.gz"), file("case-1/case-1-seg.nii.gz"));
    trees::shift(&flair, 0.9);
    trees::relabel(&seg, 1, 9);
    // A grid is checked before the voxels are decoded, because another grid could be of any size.
    let shifted = fs::read(&flair).unwrap();
    fs::write(&flair, &shifted[..shifted.len() / 2]).unwrap();
    let data_set = DataSet::open(folder.path(), Some("brats2023"), &Silent).unwrap();
    for (number, file) in [flair, seg].iter().enumerate() {
        let error = data_set.read(number).unwrap_err().to_string();
        assert!(error.ends_with(&format!("(in {})", file.display())), "{error}");
        assert!(error.contains(["voxels that lie 0.150 voxels apart", "[9]"][number]), "{error}");
    }
}

#[test]
fn an_error_of_the_number_of_channels_names_the_case() {
    let folder = tempfile::tempdir().unwrap();
    Source::new(1).write_nnunet(folder.path(), true);
    let mut data_set = DataSet::open(folder.path(), None, &Silent).unwrap();
    let task = data_set.task.clone();
    let mut error = |images: &[usize]| {
        let image = |n: &usize| folder.path().join(format!("imagesTr/case-0_000{n}.nii.gz"));
        data_set.cases[0].images = images.iter().map(image).collect();
        data_set.cases[0].read(&task, 0.1).unwrap_err().to_string()
    };
    let (few, single) = (error(&[0, 1, 2]), error(&[3]));
    assert!(few.ends_with("found 3 channels (case case-0)"), "no single file is named: {few}");
    assert!(single.contains("found 1 channel (case case-0) (in "), "{single}");
    assert!(single.ends_with("case-0_0003.nii.gz)"), "{single}");
}

/// In another order of channels the network would give a wrong result without an error.
#[test]
fn a_data_set_with_other_channels_than_the_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    Source::new(2).write_nnunet(folder.path(), true);
    let task = Task::builtin("brats2023").unwrap();
    let find = |task: &Task| inputs::find(&[folder.path().into()], Split::All, &[], task, &Silent);
    let task = task.with(|task| task.channels[0] = "t1n".into()).unwrap();
    assert_eq!(find(&task).unwrap().cases.len(), 2, "the name of another year is the same channel");
    let channels = ["FLAIR", "T1w", "t1gd", "T2w"].map(String::from).to_vec();
    let task = task.with(|task| task.channels = channels).unwrap();
    let error = find(&task).unwrap_err().to_string();
    for part in ["channels FLAIR, T1w, t1gd, T2w in this order", "found T1, T1Gd, T2, FLAIR (in "] {
        assert!(error.contains(part), "{part} in {error}");
    }
    assert!(error.ends_with("dataset.json)"), "{error}");
    let task = task.with(|task| drop(task.channels.pop())).unwrap();
    assert!(find(&task).is_err());
}

#[test]
fn a_model_is_scored_only_by_labels_with_the_same_meaning() {
    let folder = tempfile::tempdir().unwrap();
    Source::new(2).write_nnunet(folder.path(), true);
    let num_labeled = |model: &str, named| {
        let task = Task::builtin(model).unwrap();
        let cases = inputs::find_labeled(folder.path(), Split::All, &[], &task, named, &Silent);
        cases.map(|cases| cases.len()).map_err(|error| error.to_string())
    };
    // The codes are those of 2023. Their meaning is known only if the task is named.
    let error = num_labeled("brats2023", None).unwrap_err();
    assert!(error.contains("tumor core [1, 3]") && error.contains("core [1]"), "{error}");
    assert_eq!(num_labeled("brats2023", Some("brats2023")), Ok(2));
    let brats = tempfile::tempdir().unwrap();
    Source::new(1).write_brats_2018(brats.path());
    let task = Task::builtin("brats2021").unwrap();
    let labeled =
        |named| inputs::find_labeled(brats.path(), Split::All, &[], &task, named, &Silent);
    assert_eq!(labeled(None).unwrap().len(), 1);
    assert!(labeled(Some("brats2023")).is_err(), "4 is enhancing tumor in only one of the tasks");
}

#[test]
fn all_faults_are_reported_together_with_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let source = Source::new(5);
    source.write_brats_2023(folder.path());
    let file = |case: usize, part: &str| {
        let name = &source.names()[case][..];
        folder.path().join(name).join(format!("{name}-{part}.nii.gz"))
    };
    // The first case lacks two files. The second has a FLAIR that is shifted by 0.9 mm, and a label
    // of another year. The third has a truncated T1. The fourth has NaN and no tumor.
    fs::remove_file(file(0, "t1c")).unwrap();
    fs::remove_file(file(0, "t2w")).unwrap();
    trees::shift(&file(1, "t2f"), 0.9);
    trees::relabel(&file(1, "seg"), 3, 4);
    let bytes = fs::read(file(2, "t1n")).unwrap();
    fs::write(file(2, "t1n"), &bytes[..bytes.len() / 2]).unwrap();
    trees::put_nan(&file(3, "t1n"), 5);
    (1..=3).for_each(|code| trees::relabel(&file(3, "seg"), code, 0));

    let data_set = DataSet::open(folder.path(), Some("brats2023"), &Silent).unwrap();
    let inspection = Inspection::new(data_set, &Silent);
    let report = inspection.report();
    let faults = [
        "expected T1Gd (t1ce or t1c), found none",
        "expected T2 (t2 or t2w), found none",
        "voxels that lie 0.150 voxels apart (in",
        "found [4]; all values are known to brats2018, brats2019, brats2020, brats2021, brats2022, brats2024 (in",
        "cannot read this as a NIfTI scan",
    ];
    assert!(report.contains("5 faults in 3 cases"), "{report}");
    for fault in faults {
        assert!(report.contains(fault), "{fault}\n{report}");
    }
    for path in [file(1, "t2f"), file(1, "seg"), file(2, "t1n")] {
        assert!(report.contains(&format!("(in {})", path.display())), "{report}");
    }
    assert!(
        report.contains("NaN or infinite, which are read as 0 (case-3: 5 voxels, 0.02 %"),
        "{report}"
    );
    assert!(report.contains("background only (case-3)"), "{report}");
    assert!(report.contains("statistics of the 3 cases without faults"), "{report}");
    assert_eq!(inspection.json()["faults"].as_array().unwrap().len(), 5);
    let csv = folder.path().join("cases.csv");
    inspection.write_csv(&csv).unwrap();
    let rows = fs::read_to_string(csv).unwrap();
    assert!(rows.lines().next().unwrap().ends_with("edema ml,enhancing tumor ml"), "{rows}");

    let open =
        |skip| DataSet::open_for_training(folder.path(), Some("brats2023"), skip, 0.1, &Silent);
    let error = open(false).unwrap_err().to_string();
    assert!(error.contains("T1Gd") && error.contains("--skip-bad"), "{error}");
    let names: Vec<String> = open(true).unwrap().cases.into_iter().map(|case| case.name).collect();
    assert_eq!(names, ["case-3", "case-4"]);
}

#[test]
fn a_label_scheme_must_be_named() {
    let folder = tempfile::tempdir().unwrap();
    let source = Source::new(1);
    source.write_brats_2018(folder.path());
    let error = |task| DataSet::open(folder.path(), task, &Silent).unwrap_err().to_string();
    assert!(error(None).contains("--task") && error(None).contains("brats2018"));
    assert!(error(Some("brats23")).contains("did you mean `brats2023`?"));
    // With these names of files, 4 is enhancing tumor. Read as a cavity, it would cause no error.
    let file = folder.path().join("HGG/case-0/case-0_seg.nii");
    trees::relabel(&file, 3, 4);
    let open = |task| DataSet::open(folder.path(), Some(task), &Silent).unwrap();
    assert!(open("brats2018").check(&Silent)[0].faults.is_empty());
    let cavity = open("brats2024");
    assert!(cavity.cases.is_empty() && cavity.faults[0].message.contains("until 2022"));
    // With the names since 2023, 4 is a cavity. A task with another name is accepted.
    let new = folder.path().join("new");
    source.write_brats_2023(&new);
    let tumor = DataSet::open(&new, Some("brats2021"), &Silent).unwrap();
    assert!(tumor.cases.is_empty() && tumor.faults[0].message.contains("since 2023"));
    assert_eq!(tumor.unlabeled.len(), 1, "a case without labels is not affected");
    let own = Task::builtin("brats2021").unwrap().with(|task| task.name = "Tumors".into()).unwrap();
    let file = folder.path().join("task.json");
    fs::write(&file, serde_json::to_string(&own).unwrap()).unwrap();
    assert_eq!(DataSet::open(&new, file.to_str(), &Silent).unwrap().cases.len(), 1);
    // A model of another year segments the scans and ignores their labels.
    let model =
        DataSet::open_for_model(&new, &Task::builtin("brats2021").unwrap(), &Silent).unwrap();
    assert_eq!((model.faults.len(), model.cases.len(), model.unlabeled.len()), (0, 0, 2));
}

#[test]
fn subjects_of_brats_are_not_opened_as_iseg() {
    let folder = tempfile::tempdir().unwrap();
    Source::new(1).write_brats_2018(folder.path());
    let old = folder.path().join("HGG/case-0");
    for part in ["t1", "t1ce", "t2", "flair", "seg"] {
        let new = folder.path().join(format!("subject-001_{part}.nii"));
        fs::rename(old.join(format!("case-0_{part}.nii")), new).unwrap();
    }
    let data_set = DataSet::open(folder.path(), Some("brats2023"), &Silent).unwrap();
    assert_eq!((data_set.layout, data_set.cases.len()), (Layout::BratsUntil2022, 1));
}

#[test]
fn a_fault_of_a_case_without_labels_does_not_prevent_training() {
    let folder = tempfile::tempdir().unwrap();
    Source::new(2).write_nnunet(folder.path(), false);
    fs::remove_file(folder.path().join("imagesTs/unseen_0002.nii.gz")).unwrap();
    assert_eq!(DataSet::open(folder.path(), None, &Silent).unwrap().faults.len(), 1);
    let data_set = DataSet::open_for_training(folder.path(), None, false, 0.1, &Silent).unwrap();
    assert_eq!(data_set.cases.len(), 2);
}

/// Writes the labels of each case as its prediction, evaluates them and returns the number of
/// cases.
fn evaluate_perfect_predictions(cases: &DataSet, references: &Path, task: Option<&Task>) -> usize {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..cases.num_cases() {
        let case = cases.read(n).unwrap().case;
        let file = folder.path().join(format!("{}.nii.gz", case.name()));
        fs::write(file, nifti::write_labels(case.labels().unwrap())).unwrap();
    }
    let options = Options { task: task.cloned(), ..Options::default() };
    let result = evaluate(folder.path(), references, &options, &Silent).unwrap();
    assert!(result.cases.iter().all(|case| case.scores.iter().all(|score| score.dice == 1.0)));
    result.cases.len()
}

#[test]
fn every_layout_for_training_can_be_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let source = Source::new(2);
    let brats = Task::builtin("brats2023").unwrap();
    source.write_csv(&path("table"));
    let table = path("table/cases.csv");
    let cases = DataSet::open(&table, Some("brats2023"), &Silent).unwrap();
    assert_eq!(evaluate_perfect_predictions(&cases, &table, Some(&brats)), 2);

    fs::create_dir(path("iseg")).unwrap();
    (1..=2).for_each(|number| trees::write_iseg(&path("iseg"), number, number == 1));
    let cases = DataSet::open(&path("iseg"), None, &Silent).unwrap();
    assert_eq!(evaluate_perfect_predictions(&cases, &path("iseg"), Some(&cases.task)), 2);

    // An evaluation needs no images.
    for is_first in [true, false] {
        let nnunet = path(if is_first { "v1" } else { "v2" });
        source.write_nnunet(&nnunet, is_first);
        let cases = DataSet::open(&nnunet, None, &Silent).unwrap();
        let labels_only = path("labels");
        fs::create_dir(&labels_only).unwrap();
        fs::rename(nnunet.join("labelsTr"), labels_only.join("labelsTr")).unwrap();
        fs::copy(nnunet.join("dataset.json"), labels_only.join("dataset.json")).unwrap();
        fs::create_dir(nnunet.join("labelsTr")).unwrap();
        for case in source.names() {
            let name = format!("labelsTr/{case}.nii.gz");
            fs::copy(labels_only.join(&name), nnunet.join(&name)).unwrap();
        }
        assert_eq!(evaluate_perfect_predictions(&cases, &labels_only, Some(&cases.task)), 2);
        fs::remove_file(nnunet.join("imagesTr/case-1_0002.nii.gz")).unwrap();
        let result =
            evaluate(&labels_only.join("labelsTr"), &nnunet, &Options::default(), &Silent).unwrap();
        assert_eq!(result.cases.len(), 2);
        fs::remove_dir_all(labels_only).unwrap();
    }
}

#[test]
fn a_training_case_of_nnunet_needs_every_channel_and_labels() {
    let folder = tempfile::tempdir().unwrap();
    Source::new(3).write_nnunet(folder.path(), false);
    let remove = |file: &str| fs::remove_file(folder.path().join(file)).unwrap();
    remove("imagesTr/case-0_0002.nii.gz");
    remove("labelsTr/case-1.nii.gz");
    fs::write(folder.path().join("imagesTr/case-2_0004.nii.gz"), b"").unwrap();
    fs::write(folder.path().join("imagesTr/._case-2_0000.nii.gz"), b"").unwrap();
    let data_set = DataSet::open(folder.path(), None, &Silent).unwrap();
    assert!(data_set.cases.is_empty());
    let faults: Vec<String> = data_set.faults.iter().map(ToString::to_string).collect();
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(faults[0].contains("expected T2 (case-0_0002), found none"), "{faults:?}");
    assert!(faults[1].contains("labelsTr/case-1.nii.gz"), "{faults:?}");
    assert!(faults[2].contains("below 0004, found 0004"), "{faults:?}");
}

#[test]
fn an_ambiguous_table_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cases.csv");
    let task = folder.path().join("task.json");
    let two =
        Task::exclusive("Two", vec!["T1".into(), "T2".into()], vec![(1, "one".into())]).unwrap();
    fs::write(&task, serde_json::to_string(&two).unwrap()).unwrap();
    let open = |text: &str| {
        fs::write(&file, text).unwrap();
        DataSet::open(&file, task.to_str(), &Silent)
    };
    let expect_error = |text: &str, part: &str| {
        let error = format!("{:#}", open(text).unwrap_err());
        assert!(error.contains(part) && error.contains("cases.csv"), "{text}: {error}");
    };
    expect_error("case,T1,T2,lable\na,b,c,d", "unknown column \"lable\"");
    expect_error("case,T1\na,b", "do not fit the task");
    expect_error("case,T1,T2,image\na,b,c,d", "do not fit the task");
    expect_error("T1,T2\nb,c", "no column names the cases");
    expect_error("case,T1,t1w,T2\na,b,b,c", "appears twice");
    let rows = open("case,T1,T2\na,b,\nc,d\n,e,f\ng,h,i\n").unwrap();
    assert_eq!((rows.unlabeled.len(), &rows.unlabeled[0].name[..]), (1, "g"));
    let faults: Vec<String> = rows.faults.iter().map(ToString::to_string).collect();
    let parts = ["line 2: expected a path in column 3", "found record with 2", "a case's name"];
    assert_eq!(faults.len(), parts.len(), "all bad rows are reported: {faults:?}");
    for (fault, part) in faults.iter().zip(parts) {
        assert!(fault.contains(part) && fault.contains("cases.csv"), "{fault}");
    }
    let data_set =
        open("T2, case ,T1,label\n b2.nii,a,b1.nii,\nc2.nii,../x,c1.nii,l.nii\n").unwrap();
    let images = &data_set.unlabeled[0].images;
    assert_eq!(images, &["b1.nii", "b2.nii"].map(|name| folder.path().join(name)));
    assert!(
        data_set.faults[0].message.contains("a name that a file can have"),
        "results are named after cases"
    );
    let repeated = open("case,T1,T2\na,1,2\nA,3,4\n").unwrap();
    assert!(repeated.unlabeled.len() == 1 && repeated.faults.len() == 1);
}

#[test]
fn the_decathlon_hippocampus_has_no_faults_and_one_label_file_of_floats() {
    let Some(folder) = data("hippocampus") else { return };
    let inspection = Inspection::new(DataSet::open(&folder, None, &Silent).unwrap(), &Silent);
    assert_eq!((inspection.checked.len(), inspection.faults().len()), (200, 0));
    let report = inspection.report();
    let parts = ["1 of 200: labels that are stored as floats", "--patch 48,64,48", "RAS in 200"];
    for part in parts {
        assert!(report.contains(part), "{part}\n{report}");
    }
    assert!(report.ends_with("Research use only, not a medical device"));
}
