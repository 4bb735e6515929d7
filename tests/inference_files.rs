//! A scan has the same result in every layout of files, a bad scan does not affect the others, and
//! an interrupted prediction continues.

use std::fs;
use std::path::Path;

use model_core::{Task, formats::nifti, phantom};
use trainer_data::data_set::CaseFiles;
use trainer_predict::inputs::{self, Split};
use trainer_predict::record::Record;
use trainer_predict::settings::{LargestComponent, Mode, Settings};
use trainer_run::reporter::Silent;

use crate::data_sets::trees::{self, Source};
use crate::inference::{find, models, predictor};

/// The layouts are one file with four channels, nnU-Net's file per channel, and BraTS folders,
/// whose file names may contain only the channel.
#[test]
fn a_scan_has_the_same_result_in_every_layout() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let case = phantom::phantom(20, 32);
    let write = |name: &str, volumes: &[model_core::Volume]| {
        fs::create_dir_all(path(name).parent().unwrap()).unwrap();
        fs::write(path(name), nifti::write_volumes(volumes).unwrap()).unwrap();
    };
    let brats = ["t1n", "t1c", "t2w", "t2f", "seg"];
    for (n, volume) in case.channels().iter().chain(&case.channels()[..1]).enumerate() {
        let volume = std::slice::from_ref(volume);
        if n < 4 {
            write(&format!("nnunet/x_000{n}.nii.gz"), volume);
        }
        write(&format!("brats/HGG/x/x-{}.nii.gz", brats[n]), volume);
        write(&format!("short/x/{}.nii.gz", brats[n]), volume);
    }
    write("whole/x.nii.gz", case.channels());
    write("whole/._x.nii.gz", &case.channels()[..1]);
    let predictor = predictor(Settings::default());
    let expected = predictor.segment(&case, |_| {}).unwrap().labels;
    for layout in ["nnunet", "brats", "short", "whole"] {
        let cases = find(&[path(layout)]);
        assert_eq!((cases.cases.len(), &cases.faults[..]), (1, &[][..]), "{layout}: {cases:?}");
        predictor.write_all(&cases, &path("out").join(layout), None, false, &Silent).unwrap();
        let bytes = fs::read(path("out").join(layout).join("x.nii.gz")).unwrap();
        let labels = nifti::read_labels(&bytes).unwrap();
        assert!(labels == expected, "{layout}: labels and grid");
    }
}

/// A task of one channel accepts scans of any name.
#[test]
fn label_maps_of_experts_are_not_scans() {
    let folder = tempfile::tempdir().unwrap();
    let task = Task::exclusive("MRI", vec!["T1".into()], vec![(1, "x".into())]).unwrap();
    let names = |layout: &str, files: &[&str]| {
        let folder = folder.path().join(layout);
        fs::create_dir(&folder).unwrap();
        files.iter().for_each(|file| fs::write(folder.join(file), b"").unwrap());
        let found = inputs::find(&[folder], Split::All, &[], &task, &Silent).unwrap();
        found.cases.into_iter().map(|case| case.name).collect::<Vec<_>>()
    };
    let pairs = ["x.nii.gz", "x_seg.nii.gz", "y.hdr.gz", "y.img.gz", "y-label.hdr"];
    assert_eq!(names("whole", &pairs), ["x", "y"]);
    assert_eq!(names("numbered", &["x_0000.nii.gz", "x_seg.nii.gz"]), ["x"]);
}

fn one_channel(name: &str) -> Task {
    Task::exclusive("One", vec![name.into()], vec![(1, "x".into())]).unwrap()
}

/// Returns the found cases with the name of their first file, the faults and the unused files.
fn find_in(folder: &Path, task: &Task) -> (Vec<(String, String)>, String, String) {
    let found = inputs::find(&[folder.into()], Split::All, &[], task, &Silent).unwrap_or_default();
    let file =
        |case: &CaseFiles| case.images[0].file_name().unwrap().to_string_lossy().into_owned();
    let cases = found.cases.iter().map(|case| (case.name.clone(), file(case))).collect();
    (cases, found.faults.join("\n"), found.unused_files.text().unwrap_or_default())
}

/// A BraTS folder has four contrasts and labels.
#[test]
fn a_model_of_one_channel_selects_its_channel_by_name() {
    let folder = tempfile::tempdir().unwrap();
    Source::new(2).write_brats_2018(folder.path());
    trees::write_named(folder.path(), &["template.nii.gz"]);
    let file_names =
        |cases: &[(String, String)]| cases.iter().map(|c| c.1.clone()).collect::<Vec<_>>();
    let (cases, faults, left) = find_in(folder.path(), &one_channel("FLAIR"));
    assert_eq!(file_names(&cases), ["case-0_flair.nii", "case-1_flair.nii"]);
    assert_eq!((&cases[0].0[..], &faults[..]), ("case-0", ""));
    for part in ["(t1ce)", "2 × the experts' labels", "template.nii.gz"] {
        assert!(left.contains(part), "{part} in {left}");
    }
    // A model whose channel has no contrast's name could use any of them.
    let (cases, faults, _) = find_in(folder.path(), &one_channel("MRI"));
    assert!(cases.is_empty() && faults.is_empty(), "{cases:?}");
    let mri = one_channel("MRI");
    let error = inputs::find(&[folder.path().into()], Split::All, &[], &mri, &Silent)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("expected one scan of MRI, found case-0_flair.nii, case-0_t1.nii"),
        "{error}"
    );
    // A list of files, as from a wildcard of a shell.
    let files = ["t1", "t1ce", "t2", "flair", "seg"];
    let files = files.map(|part| folder.path().join(format!("HGG/case-0/case-0_{part}.nii")));
    let found = inputs::find(&files, Split::All, &[], &one_channel("T2"), &Silent).unwrap();
    assert_eq!((found.cases.len(), &found.cases[0].images[0]), (1, &files[2]));
    let four = inputs::find(&files, Split::All, &[], &Task::builtin("brats2018").unwrap(), &Silent)
        .unwrap();
    assert_eq!(four.cases[0].images, files[..4]);
}

#[test]
fn numbered_channels_are_not_separate_cases() {
    let folder = tempfile::tempdir().unwrap();
    let names =
        ["a_0000.nii.gz", "a_0001.nii.gz", "b_0000.nii.gz", "b_0001.nii.gz", "c_0001.nii.gz"];
    trees::write_named(folder.path(), &names);
    let (cases, faults, left) = find_in(folder.path(), &one_channel("FLAIR"));
    let expected = [("a", "a_0000.nii.gz"), ("b", "b_0000.nii.gz")];
    assert_eq!(cases, expected.map(|(name, file)| (name.to_string(), file.to_string())));
    assert!(
        faults.contains("(case c,") && left.contains("3 × numbered channels"),
        "{faults} {left}"
    );
    // Numbers that begin with 1 are numbers of cases.
    let counted = tempfile::tempdir().unwrap();
    trees::write_named(counted.path(), &["scan_0001.nii.gz", "scan_0002.nii.gz"]);
    assert_eq!(find_in(counted.path(), &one_channel("FLAIR")).0.len(), 2);
}

#[test]
fn ambiguous_files_are_refused_and_other_files_are_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["x/x_t1.nii.gz", "x/x_T1w.nii", "y/y_T1.NII.GZ", "y/y_T1_bias.nii.gz", "top.nii"];
    trees::write_named(folder.path(), &names);
    let (cases, faults, left) = find_in(folder.path(), &one_channel("T1"));
    assert_eq!(cases, [("y".to_string(), "y_T1.NII.GZ".to_string())]);
    assert!(faults.contains("expected one file of T1") && faults.contains("(case x)"), "{faults}");
    assert!(left.contains("t1 bias") && left.contains("top.nii"), "{left}");
    // A template in the top folder hides no case below it.
    let brats = tempfile::tempdir().unwrap();
    Source::new(2).write_brats_2023(brats.path());
    trees::write_named(brats.path(), &["template.nii.gz"]);
    fs::write(brats.path().join("a.mgz"), b"").unwrap();
    let (cases, faults, left) = find_in(brats.path(), &Task::builtin("brats2023").unwrap());
    assert_eq!((cases.len(), &faults[..]), (3, ""));
    assert!(left.contains("template.nii.gz") && left.contains("FreeSurfer"), "{left}");
}

/// Channels are recognized by the names of the files or, with other names, by their order.
#[test]
fn listed_files_are_assigned_to_channels_by_name() {
    let folder = tempfile::tempdir().unwrap();
    trees::write_named(folder.path(), &["x_t1.nii", "x_flair.nii", "a.nii", "b.nii"]);
    let task =
        Task::exclusive("Two", vec!["T1".into(), "FLAIR".into()], vec![(1, "x".into())]).unwrap();
    let find = |names: [&str; 2]| {
        let files = names.map(|name| folder.path().join(name));
        let found = inputs::find(&files, Split::All, &[], &task, &Silent)
            .map_err(|error| error.to_string())?;
        Ok(found.cases[0]
            .images
            .iter()
            .map(|p| p.file_name().unwrap().to_owned())
            .collect::<Vec<_>>())
    };
    assert_eq!(
        find(["x_flair.nii", "x_t1.nii"]),
        Ok(vec!["x_t1.nii".into(), "x_flair.nii".into()])
    );
    assert_eq!(find(["b.nii", "a.nii"]), Ok(vec!["b.nii".into(), "a.nii".into()]));
    let error: String = find(["x_flair.nii", "a.nii"]).unwrap_err();
    assert!(error.contains("in the place of T1"), "{error}");
}

#[test]
fn a_bad_scan_does_not_affect_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("scans")).unwrap();
    let case = phantom::phantom(20, 32);
    let scan = nifti::write_volumes(case.channels()).unwrap();
    for (name, bytes) in
        [("a", &scan[..]), ("b", b"no scan"), ("c", &scan[..scan.len() / 2]), ("d", &scan)]
    {
        fs::write(path(&format!("scans/{name}.nii.gz")), bytes).unwrap();
    }
    fs::write(path("scans/e_t1.nii.gz"), &scan).unwrap();
    let found = find(&[path("scans")]);
    let outcome = predictor(Settings::default())
        .write_all(&found, &path("out"), None, false, &Silent)
        .unwrap();
    assert_eq!(outcome.num_segmented, 2);
    let faults = outcome.faults.join("\n");
    for part in ["T1Gd, T2, FLAIR (case e", "b.nii.gz", "c.nii.gz"] {
        assert!(faults.contains(part), "{part} in {faults}");
    }
    assert_eq!(outcome.faults.len(), 3, "{faults}");
    assert!(path("out/a.nii.gz").exists() && path("out/d.nii.gz").exists());
}

#[test]
fn a_repeated_prediction_continues_and_never_mixes_settings() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    trainer_data::phantom::write(&path("data"), 3, 40, 32, &Silent).unwrap();
    let (found, out) = (find(&[path("data")]), path("out"));
    let run = |settings: Settings, overwrite| {
        let outcome = predictor(settings).write_all(&found, &out, None, overwrite, &Silent);
        outcome.map(|outcome| (outcome.num_segmented, outcome.num_kept, outcome.faults))
    };
    let none: Vec<String> = Vec::new();
    assert_eq!(run(Settings::default(), false).unwrap(), (3, 0, none.clone()));
    let bytes = || fs::read(out.join("phantom_00041.nii.gz")).unwrap();
    let before = bytes();
    // The files after a kill: a record without its label map, and an incomplete file.
    fs::rename(out.join("phantom_00041.nii.gz"), out.join("phantom_00041.nii.gz.part")).unwrap();
    assert_eq!(run(Settings::default(), false).unwrap(), (1, 2, none.clone()));
    assert!(bytes() == before);

    let other =
        Settings { largest_component: Some(LargestComponent::Regions), ..Settings::default() };
    let error = run(other.clone(), false).unwrap_err().to_string();
    assert!(
        error.contains("3 existing results")
            && error.contains("largest_component: none, \"regions\""),
        "{error}"
    );
    assert_eq!(run(other.clone(), true).unwrap(), (3, 0, none.clone()));
    assert_eq!(run(other, false).unwrap(), (0, 3, none));
    // Another scan has the same name.
    let image = |n: u32| path(&format!("data/imagesTr/phantom_0004{n}.nii.gz"));
    fs::copy(image(0), image(2)).unwrap();
    let (_, _, faults) = run(
        Settings { largest_component: Some(LargestComponent::Regions), ..Settings::default() },
        false,
    )
    .unwrap();
    assert!(faults[0].contains("another scan's") && faults.len() == 1, "{faults:?}");
}

#[test]
fn a_result_never_replaces_its_scan() {
    let folder = tempfile::tempdir().unwrap();
    let scan = folder.path().join("x.nii.gz");
    let bytes = nifti::write_volumes(phantom::phantom(20, 32).channels()).unwrap();
    fs::write(&scan, &bytes).unwrap();
    let found = find(std::slice::from_ref(&scan));
    let outcome =
        predictor(Settings::default()).write_all(&found, folder.path(), None, true, &Silent);
    assert!(outcome.unwrap().faults[0].contains("would be overwritten"));
    assert!(fs::read(&scan).unwrap() == bytes);
}

#[test]
fn a_result_never_replaces_the_label_map_of_an_expert() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    trainer_data::phantom::write(&data, 1, 20, 32, &Silent).unwrap();
    let (out, file) = (data.join("labelsTr"), data.join("labelsTr/phantom_00020.nii.gz"));
    let bytes = fs::read(&file).unwrap();
    let outcome =
        predictor(Settings::default()).write_all(&find(&[data]), &out, None, true, &Silent);
    assert!(outcome.unwrap().faults[0].contains("would be overwritten"));
    assert!(fs::read(&file).unwrap() == bytes);
}

#[test]
fn replacing_a_result_removes_its_old_probabilities() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    trainer_data::phantom::write(&path("data"), 1, 50, 32, &Silent).unwrap();
    let found = find(&[path("data")]);
    for probabilities in [true, false] {
        let predictor = predictor(Settings { probabilities, ..Settings::default() });
        let outcome = predictor.write_all(&found, &path("out"), None, true, &Silent).unwrap();
        assert_eq!((outcome.num_segmented, outcome.faults), (1, Vec::new()));
        let file = path("out/probabilities/phantom_00050.nii.gz");
        assert_eq!(file.exists(), probabilities, "with probabilities: {probabilities}");
    }
}

#[test]
fn the_record_contains_the_settings_the_model_and_the_disclaimer() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    trainer_data::phantom::write(&path("data"), 1, 50, 32, &Silent).unwrap();
    let settings = Settings {
        mode: Mode::Tiles,
        flips: [true, false, false],
        probabilities: true,
        ..Settings::default()
    };
    let predictor = predictor(settings);
    let outcome =
        predictor.write_all(&find(&[path("data")]), &path("out"), None, false, &Silent).unwrap();
    assert!(outcome.summary().contains("24 × 24 × 24") && outcome.summary().contains("norms"));
    let text = fs::read_to_string(path("out/phantom_00050.json")).unwrap();
    let hash = models()[0].hash();
    for part in ["Research use only", "another function than the full volume", "\"right\"", &hash] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let bytes = fs::read(path("out/phantom_00050.nii.gz")).unwrap();
    let labels = nifti::read_labels(&bytes).unwrap();
    let record = Record::find(&path("out/phantom_00050.json")).unwrap();
    for (volume, region) in record.volumes.iter().zip(&phantom::task().regions) {
        assert_eq!(volume.volume_ml, labels.volume_ml(&region.labels));
    }
    // The last region whose probability is above one half is written.
    let bytes = fs::read(path("out/probabilities/phantom_00050.nii.gz")).unwrap();
    let regions = nifti::read(&bytes).unwrap();
    let codes = phantom::task().output_codes();
    for (at, label) in labels.labels().iter().enumerate() {
        let last = (0..3).rev().find(|&n| regions[n].values()[at] > 0.5);
        assert_eq!(*label, last.map_or(0, |n| codes[n]), "voxel {at}");
    }
}
