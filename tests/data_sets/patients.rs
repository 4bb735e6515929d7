//! All cases of a patient are on the same side of every split.

use model_core::{Case, phantom};
use std::fs;
use trainer_data::split::split_by_patient;

use trainer_data::data_set::{DataSet, Patients};
use trainer_run::config::TrainConfig;
use trainer_run::reporter::Silent;

use super::trees::Source;

/// Returns different phantoms with the given names.
fn source(names: &[&str]) -> Source {
    let phantoms = Source::new(names.len() as u64).cases.into_iter();
    let cases = phantoms.zip(names).map(|(case, name)| case.with_name(*name)).collect();
    Source { cases }
}

fn held_out(data_set: &DataSet, settings: &str) -> Vec<String> {
    let config = TrainConfig::parse(settings).unwrap();
    let patients = Patients::find(data_set, config.group_by.as_deref()).unwrap();
    let (_, held_out) = split_by_patient(&config, &patients.by_case).unwrap();
    held_out.into_iter().map(|n| data_set.cases[n].name.clone()).collect()
}

#[test]
fn time_points_of_a_patient_are_not_split() {
    let folder = tempfile::tempdir().unwrap();
    let names = [
        "BraTS-GLI-00005-100",
        "BraTS-GLI-00005-101",
        "BraTS-GLI-00006-100",
        "BraTS-GLI-00006-101",
        "BraTS-GLI-00007-100",
        "BraTS-GLI-00007-101",
    ];
    source(&names).write_brats_2023(folder.path());
    let data_set = DataSet::open(folder.path(), Some("brats2023"), &Silent).unwrap();
    for fold in 0..3 {
        let cases = held_out(&data_set, &format!("folds = 3\nfold = {fold}"));
        assert_eq!((cases.len(), &cases[0][..15]), (2, &cases[1][..15]), "{cases:?}");
    }
    assert_eq!(held_out(&data_set, "held_out = 3").len(), 2);
    assert_eq!(held_out(&data_set, "held_out = 3\ngroup_by = \"case\"").len(), 3);
    let one_patient = Patients::find(&data_set, Some("^(BraTS)")).unwrap();
    assert_eq!(
        (one_patient.with_several_cases.len(), one_patient.with_several_cases[0].len()),
        (1, 6)
    );
    let error = Patients::find(&data_set, Some("00005")).unwrap_err().to_string();
    assert!(error.contains("4 of 6"), "{error}");
}

#[test]
fn a_column_of_a_table_names_the_patient() {
    let folder = tempfile::tempdir().unwrap();
    source(&["a", "b", "c"]).write_csv(folder.path());
    let file = folder.path().join("cases.csv");
    let rows = fs::read_to_string(&file).unwrap();
    let patients = ["patient", "p1", "p2", "P1 ", ""];
    let rows: Vec<String> =
        rows.lines().zip(patients).map(|(row, patient)| format!("{row},{patient}")).collect();
    fs::write(&file, rows.join("\n").replace("P1 ", "p1")).unwrap();
    let data_set = DataSet::open(&file, Some("brats2023"), &Silent).unwrap();
    let patients = Patients::find(&data_set, None).unwrap();
    assert_eq!(
        (patients.with_several_cases, patients.by_case),
        (vec![vec!["a".into(), "c".into()]], vec![0, 1, 0])
    );
}

#[test]
fn a_copy_of_a_case_under_another_name_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut source = source(&["a", "b", "c", "copy-of-a"]);
    let (channels, _) = source.cases[0].clone().into_channels_and_labels();
    let (_, labels) = source.cases[3].clone().into_channels_and_labels();
    let name = source.cases[3].name().to_string();
    source.cases[3] = Case::new(name, channels, labels, &phantom::task()).unwrap();
    source.write_nnunet(folder.path(), true);
    let data_set = DataSet::open(folder.path(), None, &Silent).unwrap();
    let patients = Patients::find(&data_set, None).unwrap();
    assert_eq!(patients.by_case, [0, 1, 2, 0]);
    let notes = patients.notes().join("\n");
    assert!(notes.contains("equal images under a and copy-of-a (SHA-256 "), "{notes}");
    // With group_by = "case" nothing is grouped, but the copies are reported.
    let ungrouped = Patients::find(&data_set, Some("case")).unwrap();
    assert_eq!(
        (ungrouped.by_case, ungrouped.equal_images),
        (vec![0, 1, 2, 3], patients.equal_images)
    );
}
