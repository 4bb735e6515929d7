//! A scan is segmented the same in whatever form it is given, a bad one costs no other, and what was
//! begun goes on.

use std::fs;

use model_core::{Task, nifti, phantom};
use trainer::predict::inputs::{self, Split};
use trainer::predict::record::Record;
use trainer::predict::settings::{Largest, Mode, Settings};

use crate::inference::{find, models, predictor};

/// One file with four channels, a file a channel in nnU-Net's form, and BraTS's folders, whose files
/// may name the channel alone.
#[test]
fn a_scan_is_the_same_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let case = phantom::phantom(20, 32);
    let write = |name: &str, volumes: &[model_core::Volume]| {
        fs::create_dir_all(path(name).parent().unwrap()).unwrap();
        fs::write(path(name), nifti::write_volumes(volumes).unwrap()).unwrap();
    };
    let brats = ["t1n", "t1c", "t2w", "t2f", "seg"];
    for (n, volume) in case.channels.iter().chain(&case.channels[..1]).enumerate() {
        let volume = std::slice::from_ref(volume);
        if n < 4 {
            write(&format!("nnunet/x_000{n}.nii.gz"), volume);
        }
        write(&format!("brats/HGG/x/x-{}.nii.gz", brats[n]), volume);
        write(&format!("short/x/{}.nii.gz", brats[n]), volume);
    }
    write("whole/x.nii.gz", &case.channels);
    write("whole/._x.nii.gz", &case.channels[..1]);
    let predictor = predictor(Settings::default());
    let expected = predictor.segment(&case, |_| {}).unwrap().labels;
    for form in ["nnunet", "brats", "short", "whole"] {
        let found = find(&[path(form)]);
        assert_eq!((found.cases.len(), &found.faults[..]), (1, &[][..]), "{form}: {found:?}");
        predictor.write_all(&found, &path("out").join(form), None, false).unwrap();
        let bytes = fs::read(path("out").join(form).join("x.nii.gz")).unwrap();
        let labels = nifti::read_labels(&bytes).unwrap();
        assert!(labels == expected, "{form}: labels and grid");
    }
}

/// Also where a task of one channel takes any name as a scan's.
#[test]
fn the_experts_labels_are_no_scans() {
    let folder = tempfile::tempdir().unwrap();
    let task = Task::exclusive("MRI", vec!["T1".into()], vec![(1, "x".into())]);
    let names = |form: &str, files: &[&str]| {
        let folder = folder.path().join(form);
        fs::create_dir(&folder).unwrap();
        files.iter().for_each(|file| fs::write(folder.join(file), b"").unwrap());
        let found = inputs::find(&[folder], Split::All, &[], &task).unwrap();
        found.cases.into_iter().map(|case| case.name).collect::<Vec<_>>()
    };
    let pairs = ["x.nii.gz", "x_seg.nii.gz", "y.hdr.gz", "y.img.gz", "y-label.hdr"];
    assert_eq!(names("whole", &pairs), ["x", "y"]);
    assert_eq!(names("numbered", &["x_0000.nii.gz", "x_seg.nii.gz"]), ["x"]);
}

#[test]
fn one_bad_scan_costs_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("scans")).unwrap();
    let case = phantom::phantom(20, 32);
    let scan = nifti::write_volumes(&case.channels).unwrap();
    for (name, bytes) in
        [("a", &scan[..]), ("b", b"no scan"), ("c", &scan[..scan.len() / 2]), ("d", &scan)]
    {
        fs::write(path(&format!("scans/{name}.nii.gz")), bytes).unwrap();
    }
    fs::write(path("scans/e_t1.nii.gz"), &scan).unwrap();
    let found = find(&[path("scans")]);
    let outcome =
        predictor(Settings::default()).write_all(&found, &path("out"), None, false).unwrap();
    assert_eq!(outcome.segmented, 2);
    let faults = outcome.faults.join("\n");
    for part in ["T1Gd, T2, FLAIR (case e", "b.nii.gz", "c.nii.gz"] {
        assert!(faults.contains(part), "{part} in {faults}");
    }
    assert_eq!(outcome.faults.len(), 3, "{faults}");
    assert!(path("out/a.nii.gz").exists() && path("out/d.nii.gz").exists());
}

#[test]
fn started_again_it_goes_on_and_never_mixes_what_was_made_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    trainer::phantom::write(&path("data"), 3, 40, 32).unwrap();
    let (found, out) = (find(&[path("data")]), path("out"));
    let run = |settings: Settings, overwrite| {
        let outcome = predictor(settings).write_all(&found, &out, None, overwrite);
        outcome.map(|outcome| (outcome.segmented, outcome.kept, outcome.faults))
    };
    let none: Vec<String> = Vec::new();
    assert_eq!(run(Settings::default(), false).unwrap(), (3, 0, none.clone()));
    let bytes = || fs::read(out.join("phantom_00041.nii.gz")).unwrap();
    let before = bytes();
    // As a kill leaves it: a record without its labels, and a file half written.
    fs::rename(out.join("phantom_00041.nii.gz"), out.join("phantom_00041.nii.gz.part")).unwrap();
    assert_eq!(run(Settings::default(), false).unwrap(), (1, 2, none.clone()));
    assert!(bytes() == before);

    let other = Settings { largest: Some(Largest::Regions), ..Settings::default() };
    let error = run(other.clone(), false).unwrap_err().to_string();
    assert!(
        error.contains("3 results") && error.contains("largest_component: none, \"regions\""),
        "{error}"
    );
    assert_eq!(run(other.clone(), true).unwrap(), (3, 0, none.clone()));
    assert_eq!(run(other, false).unwrap(), (0, 3, none));
    // Another scan of the same name.
    let image = |n: u32| path(&format!("data/imagesTr/phantom_0004{n}.nii.gz"));
    fs::copy(image(0), image(2)).unwrap();
    let (_, _, faults) =
        run(Settings { largest: Some(Largest::Regions), ..Settings::default() }, false).unwrap();
    assert!(faults[0].contains("another scan's") && faults.len() == 1, "{faults:?}");
}

#[test]
fn a_result_never_takes_its_scans_place() {
    let folder = tempfile::tempdir().unwrap();
    let scan = folder.path().join("x.nii.gz");
    let bytes = nifti::write_volumes(&phantom::phantom(20, 32).channels).unwrap();
    fs::write(&scan, &bytes).unwrap();
    let found = find(std::slice::from_ref(&scan));
    let outcome = predictor(Settings::default()).write_all(&found, folder.path(), None, true);
    assert!(outcome.unwrap().faults[0].contains("would be overwritten"));
    assert!(fs::read(&scan).unwrap() == bytes);
}

#[test]
fn a_result_never_takes_the_experts_labels_place() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    trainer::phantom::write(&data, 1, 20, 32).unwrap();
    let (out, file) = (data.join("labelsTr"), data.join("labelsTr/phantom_00020.nii.gz"));
    let bytes = fs::read(&file).unwrap();
    let outcome = predictor(Settings::default()).write_all(&find(&[data]), &out, None, true);
    assert!(outcome.unwrap().faults[0].contains("would be overwritten"));
    assert!(fs::read(&file).unwrap() == bytes);
}

#[test]
fn probabilities_go_with_the_result_that_they_belong_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    trainer::phantom::write(&path("data"), 1, 50, 32).unwrap();
    let found = find(&[path("data")]);
    for probabilities in [true, false] {
        let predictor = predictor(Settings { probabilities, ..Settings::default() });
        let outcome = predictor.write_all(&found, &path("out"), None, true).unwrap();
        assert_eq!((outcome.segmented, outcome.faults), (1, Vec::new()));
        let file = path("out/probabilities/phantom_00050.nii.gz");
        assert_eq!(file.exists(), probabilities, "with probabilities: {probabilities}");
    }
}

#[test]
fn the_record_says_what_made_a_result_and_what_it_is_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    trainer::phantom::write(&path("data"), 1, 50, 32).unwrap();
    let settings = Settings {
        mode: Mode::Sliding,
        flips: [true, false, false],
        probabilities: true,
        ..Settings::default()
    };
    let predictor = predictor(settings);
    let outcome = predictor.write_all(&find(&[path("data")]), &path("out"), None, false).unwrap();
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
    let writes = phantom::task().output_codes();
    for (at, label) in labels.labels.iter().enumerate() {
        let last = (0..3).rev().find(|&n| regions[n].voxels[at] > 0.5);
        assert_eq!(*label, last.map_or(0, |n| writes[n]), "voxel {at}");
    }
}
