use super::*;
use crate::Head;

const JSON: &str = r#"{"name": "Hippocampus", "licence": "CC-BY-SA 4.0", "modality": {"0": "MRI"},
    "labels": {"0": "background", "2": "Posterior", "10": "Other", "1": "Anterior"},
    "training": [{"image": "./imagesTr/h_001.nii.gz", "label": "./labelsTr/h_001.nii.gz"}]}"#;

#[test]
fn the_decathlons_format_is_read() {
    let manifest = Manifest::parse(JSON.as_bytes()).unwrap();
    assert_eq!(manifest.task.channels, ["MRI"]);
    assert_eq!(manifest.task.output_codes(), [0, 1, 2, 10]);
    assert_eq!(manifest.task.head, Head::Softmax);
    assert_eq!(manifest.training[0].image, "imagesTr/h_001.nii.gz");
    assert_eq!(manifest.training[0].name(), "h_001");
    let nnunet = JSON.replace("modality", "channel_names").replace(
        r#""2": "Posterior", "10": "Other", "1": "Anterior""#,
        r#""Posterior": 2, "Other": 10, "Anterior": 1"#,
    );
    assert_eq!(Manifest::parse(nnunet.as_bytes()).unwrap(), manifest);
}

#[test]
fn a_written_description_is_read_back() {
    let mut manifest = Manifest::parse(JSON.as_bytes()).unwrap();
    assert_eq!(Manifest::parse(manifest.to_json().as_bytes()).unwrap(), manifest);
    assert!(!manifest.to_json().contains("rewind_task"));
    manifest.task = Task::builtin("brats2023").unwrap();
    assert_eq!(Manifest::parse(manifest.to_json().as_bytes()).unwrap(), manifest);
    manifest.test = vec![vec!["imagesTs/x.nii.gz".into()], vec!["a".into(), "b".into()]];
    manifest.num_training = Some(1);
    assert_eq!(Manifest::parse(manifest.to_json().as_bytes()).unwrap(), manifest);
    let listed =
        ListedCase { name: "a".into(), images: vec!["i/a.nii".into()], label: "l/a.nii".into() };
    manifest.nnunet_cases = Some(NnunetCases { file_ending: ".nii".into(), listed: vec![listed] });
    manifest.training.clear();
    assert_eq!(Manifest::parse(manifest.to_json().as_bytes()).unwrap(), manifest);
}

/// MONAI's format: `test` and `validation` of objects, and a list of files for a scan.
#[test]
fn monais_lists_are_read() {
    let json = r#"{"modality": {"0": "T1", "1": "FLAIR"}, "labels": {"0": "b", "1": "x"},
        "numTraining": "1",
        "training": [{"fold": 0, "image": ["a/p1_t1.nii.gz", "a/p1_flair.nii.gz"], "label": "a/s.nii.gz"}],
        "validation": [{"image": "b.nii.gz", "label": "bl.nii.gz"}, {"image": "c.nii.gz"}],
        "test": [{"image": "./d.nii.gz"}, "e.nii.gz", {"image": ["p2/t1.nii", "p2/flair.nii"]}]}"#;
    let manifest = Manifest::parse(format!("\u{feff}{json}").as_bytes()).unwrap();
    assert_eq!((manifest.training[0].name(), manifest.num_training), ("p1".into(), Some(1)));
    assert_eq!((manifest.validation.len(), &manifest.validation[0].label[..]), (1, "bl.nii.gz"));
    assert_eq!(manifest.test[..3], [["c.nii.gz"], ["d.nii.gz"], ["e.nii.gz"]]);
    assert_eq!(case_name(&manifest.test[3]), "p2");
    assert_eq!(Manifest::parse(manifest.to_json().as_bytes()).unwrap(), manifest);
    for (part, by) in [("\"./d.nii.gz\"", "7"), ("\"image\": \"./d", "\"scan\": \"./d")] {
        let error = Manifest::parse(json.replace(part, by).as_bytes()).unwrap_err().to_string();
        assert!(error.contains("image"), "{error}");
    }
}

#[test]
fn other_files_are_named_in_the_error() {
    let error = |bytes: &[u8]| Manifest::parse(bytes).unwrap_err().to_string();
    assert!(error(b"\xff\xfe{\0}\0").contains("UTF-16"));
    assert!(error(b"version https://git-lfs.github.com/spec/v1\n").contains("Git LFS"));
    assert!(error(b"<!DOCTYPE html>").contains("web page"));
    assert!(error(b"").contains("EOF"));
}

/// Tumors in nnU-Net's second format, with the codes 1 edema, 2 core, 3 enhancing tumor.
const NNUNET: &str = r#"{"channel_names": {"0": "T1", "1": "FLAIR"}, "file_ending": ".nii.gz",
    "labels": {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "ET": 3},
    "regions_class_order": [1, 2, 3], "numTraining": 2}"#;

#[test]
fn regions_of_nnunet_are_in_the_files_order() {
    let manifest = Manifest::parse(NNUNET.as_bytes()).unwrap();
    let task = &manifest.task;
    assert_eq!((task.head, task.output_codes()), (Head::Sigmoid, vec![1, 2, 3]));
    let regions: Vec<_> = task.regions.iter().map(|r| (&r.name[..], &r.labels[..])).collect();
    let expected = [("whole tumor", &[1, 2, 3][..]), ("tumor core", &[2, 3]), ("ET", &[3])];
    assert_eq!(regions, expected);
    assert_eq!(task.labels[2].name, "ET");
    assert_eq!(manifest.nnunet_cases.unwrap().file_ending, ".nii.gz");
    let missing = NNUNET.replace("regions_class_order", "other");
    let error = Manifest::parse(missing.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("regions_class_order"), "{error}");
}

#[test]
fn labels_that_cannot_be_trained_on_are_refused() {
    let with = |from: &str, to: &str| {
        Manifest::parse(NNUNET.replacen(from, to, 1).as_bytes()).unwrap_err().to_string()
    };
    assert!(with(r#""ET": 3"#, r#""ET": 3, "ignore": 4"#).contains("ignore"));
    assert!(with(".nii.gz", ".nrrd").contains(".nrrd"));
    assert!(with("[2, 3]", "[2, 300]").contains("300"));
    assert!(with("[1, 2, 3], \"numTraining\"", "[1, 2], \"numTraining\"").contains("3 regions"));
}

#[test]
fn paths_that_lead_out_and_contradictions_are_refused() {
    let with = |from: &str, to: &str| Manifest::parse(JSON.replacen(from, to, 1).as_bytes());
    for path in ["/etc/x", "../x", "a/../../x", "C:x", "a\\\\x", "", "a//x", "a\\u0000"] {
        let result = with("./imagesTr/h_001.nii.gz", path);
        assert!(matches!(result, Err(Error::Task { .. })), "{path}: {result:?}");
    }
    assert!(with("\"10\"", "\"256\"").is_err());
    assert!(with("\"0\": \"MRI\"", "\"1\": \"MRI\"").is_err());
    assert!(with("\"training\"", "\"rest\"").is_err());
    let twice =
        r#""training": [{"image": "h.nii", "label": "a"}, {"image": "./h.nii", "label": "b"}"#;
    assert!(with(r#""training": [{"#, &format!("{twice}, {{")).is_err());
    let mut manifest = Manifest::parse(JSON.as_bytes()).unwrap();
    manifest.task = Task::builtin("brats2023").unwrap();
    let json = manifest.to_json().replacen("\"1\": \"necrotic core\"", "\"5\": \"x\"", 1);
    assert!(Manifest::parse(json.as_bytes()).is_err());
}
