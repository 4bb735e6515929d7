//! A data set's description: `dataset.json` in the forms of the Medical Segmentation Decathlon and
//! of nnU-Net.

mod labels;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Result, Task};
use labels::Ordered;

/// What a folder of scans holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The data set's name.
    pub name: String,
    /// Its licence; empty when none is stated.
    pub licence: String,
    /// What a network is asked.
    pub task: Task,
    /// Scans with their labels.
    pub training: Vec<Pair>,
    /// Scans without labels.
    pub test: Vec<String>,
    /// Where cases are found by their files' names: nnU-Net's second form.
    pub by_name: Option<ByName>,
}

/// How nnU-Net's second form tells which cases there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByName {
    /// What file names end in, `.nii.gz` or `.nii`.
    pub file_ending: String,
    /// Cases that are listed with their files, in place of those in `imagesTr`.
    pub listed: Vec<Listed>,
}

/// A case with a file for each channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// A file for each channel.
    pub images: Vec<String>,
    /// Its labels.
    pub label: String,
}

/// A scan and its labels: paths below the data set's folder, with `/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// The scan: one 3-D file, or one 4-D file with all channels.
    pub image: String,
    /// Its labels.
    pub label: String,
}

impl Pair {
    /// The case's name: the scan's file name without folder and ending.
    pub fn name(&self) -> &str {
        let file = self.image.rsplit('/').next().unwrap_or(&self.image);
        let stem = file.strip_suffix(".gz").unwrap_or(file);
        stem.strip_suffix(".nii").unwrap_or(stem)
    }
}

/// The file's own form. Both spellings of the licence are in use; nnU-Net's second version names
/// channels `channel_names`, turns the labels' map around and lists no files.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(default)]
    name: String,
    #[serde(default, alias = "license")]
    licence: String,
    #[serde(rename = "tensorImageSize", default)]
    tensor_image_size: Value,
    #[serde(alias = "channel_names")]
    modality: BTreeMap<String, String>,
    labels: Ordered,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    regions_class_order: Option<Value>,
    #[serde(rename = "numTraining", default)]
    num_training: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    training: Option<Vec<Pair>>,
    /// Names in the Decathlon's files; where other things stand here, nothing is made of them.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    test: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file_ending: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dataset: Option<BTreeMap<String, StoredCase>>,
    /// Ours: the whole task, where the Decathlon's fields cannot say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rewind_task: Option<Task>,
}

#[derive(Serialize, Deserialize)]
struct StoredCase {
    images: Vec<String>,
    label: String,
}

impl Manifest {
    /// Reads a `dataset.json`.
    ///
    /// # Errors
    /// [`Error::Task`], naming what is wrong.
    pub fn parse(json: &[u8]) -> Result<Manifest> {
        let stored: Stored = serde_json::from_slice(json)
            .map_err(|e| Error::task("a dataset.json of the Decathlon or of nnU-Net", e))?;
        let channels = channels(&stored.modality)?;
        let order = stored.regions_class_order.as_ref();
        let task = labels::task(&stored.name, channels, &stored.labels, order)?;
        let task = match stored.rewind_task {
            None => task,
            Some(own) => {
                own.check()?;
                own.check_agrees(&task)?;
                own
            }
        };
        let by_name = match &stored.training {
            None => Some(by_name(stored.file_ending, stored.dataset)?),
            Some(_) => None,
        };
        let mut training = stored.training.unwrap_or_default();
        for pair in &mut training {
            pair.image = relative(&pair.image)?;
            pair.label = relative(&pair.label)?;
        }
        let mut images: Vec<&str> = training.iter().map(|pair| pair.image.as_str()).collect();
        images.sort_unstable();
        // A scan that is listed twice could be trained on and held out at once.
        if let Some(twice) = images.windows(2).find(|two| two[0] == two[1]) {
            return Err(Error::task("every scan once", format!("{:?} twice", twice[0])));
        }
        let test = stored.test.as_array().map(Vec::as_slice).unwrap_or_default();
        let test = test.iter().filter_map(Value::as_str).map(relative).collect::<Result<_>>()?;
        Ok(Manifest { name: stored.name, licence: stored.licence, task, training, test, by_name })
    }

    /// The description as the text of a `dataset.json`, which [`Manifest::parse`] reads back and
    /// other software knows.
    pub fn to_json(&self) -> String {
        let Manifest { name, licence, task, training, test, by_name } = self;
        let listed = |case: &Listed| {
            let Listed { name, images, label } = case.clone();
            (name, StoredCase { images, label })
        };
        let listed = by_name.iter().flat_map(|by_name| by_name.listed.iter().map(listed)).collect();
        let background = ("0".to_string(), Value::from("background"));
        let foreground =
            task.labels.iter().map(|l| (l.code.to_string(), Value::from(l.name.as_str())));
        let numbered = |(n, name): (usize, &String)| (n.to_string(), name.clone());
        let pairs = task.labels.iter().map(|l| (l.code, l.name.clone())).collect();
        let derived = Task::exclusive(name, task.channels.clone(), pairs);
        let stored = Stored {
            name: name.clone(),
            licence: licence.clone(),
            tensor_image_size: (if task.channels.len() > 1 { "4D" } else { "3D" }).into(),
            modality: task.channels.iter().enumerate().map(numbered).collect(),
            labels: Ordered(std::iter::once(background).chain(foreground).collect()),
            regions_class_order: None,
            num_training: training.len().into(),
            training: by_name.is_none().then(|| training.clone()),
            test: if test.is_empty() { Value::Null } else { test.clone().into() },
            file_ending: by_name.as_ref().map(|by_name| by_name.file_ending.clone()),
            dataset: Some(listed).filter(|listed: &BTreeMap<_, _>| !listed.is_empty()),
            rewind_task: (*task != derived).then(|| task.clone()),
        };
        serde_json::to_string_pretty(&stored).expect("a description is plain data")
    }
}

/// Channel names in the order of their numbers, which run from 0 without a gap.
fn channels(modality: &BTreeMap<String, String>) -> Result<Vec<String>> {
    let channel = |n: usize| modality.get(&n.to_string()).cloned();
    let names: Option<Vec<String>> = (0..modality.len()).map(channel).collect();
    names.ok_or_else(|| {
        let found: Vec<&String> = modality.keys().collect();
        Error::task("channels numbered from 0", format!("{found:?}"))
    })
}

/// What nnU-Net's second form says of the cases.
fn by_name(
    file_ending: Option<String>,
    dataset: Option<BTreeMap<String, StoredCase>>,
) -> Result<ByName> {
    let file_ending = match file_ending {
        Some(ending) if [".nii.gz", ".nii"].contains(&ending.as_str()) => ending,
        Some(other) => {
            return Err(Error::task("file_ending .nii.gz or .nii", format!("{other:?}")));
        }
        None if dataset.is_some() => ".nii.gz".into(),
        None => {
            return Err(Error::task("training (Decathlon) or file_ending (nnU-Net)", "neither"));
        }
    };
    let listed = |(name, StoredCase { images, label }): (String, StoredCase)| {
        let images = images.iter().map(|path| relative(path)).collect::<Result<_>>()?;
        Ok(Listed { name, images, label: relative(&label)? })
    };
    let listed = dataset.unwrap_or_default().into_iter().map(listed).collect::<Result<_>>()?;
    Ok(ByName { file_ending, listed })
}

/// A path below the data set's folder; refused where it could lead out of it on any system.
fn relative(path: &str) -> Result<String> {
    let plain = path.strip_prefix("./").unwrap_or(path);
    let is_drive = plain.as_bytes().get(1) == Some(&b':');
    let parts_are_plain =
        plain.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    match parts_are_plain && !is_drive && !plain.contains(['\\', '\0']) {
        true => Ok(plain.to_string()),
        false => Err(Error::task("paths below the data set's folder", format!("{path:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Head;

    const JSON: &str = r#"{"name": "Hippocampus", "licence": "CC-BY-SA 4.0", "modality": {"0": "MRI"},
        "labels": {"0": "background", "2": "Posterior", "10": "Other", "1": "Anterior"},
        "training": [{"image": "./imagesTr/h_001.nii.gz", "label": "./labelsTr/h_001.nii.gz"}]}"#;

    #[test]
    fn the_decathlons_form_is_read() {
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
    fn what_is_written_is_read_back() {
        let mut manifest = Manifest::parse(JSON.as_bytes()).unwrap();
        assert_eq!(Manifest::parse(manifest.to_json().as_bytes()).unwrap(), manifest);
        assert!(!manifest.to_json().contains("rewind_task"));
        manifest.task = Task::builtin("brats2023").unwrap();
        assert_eq!(Manifest::parse(manifest.to_json().as_bytes()).unwrap(), manifest);
        manifest.test = vec!["imagesTs/x.nii.gz".into()];
        assert_eq!(Manifest::parse(manifest.to_json().as_bytes()).unwrap(), manifest);
        let listed =
            Listed { name: "a".into(), images: vec!["i/a.nii".into()], label: "l/a.nii".into() };
        manifest.by_name = Some(ByName { file_ending: ".nii".into(), listed: vec![listed] });
        manifest.training.clear();
        assert_eq!(Manifest::parse(manifest.to_json().as_bytes()).unwrap(), manifest);
    }

    /// Tumors in nnU-Net's second form, whose codes are 1 edema, 2 core, 3 enhancing.
    const NNUNET: &str = r#"{"channel_names": {"0": "T1", "1": "FLAIR"}, "file_ending": ".nii.gz",
        "labels": {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "ET": 3},
        "regions_class_order": [1, 2, 3], "numTraining": 2}"#;

    #[test]
    fn regions_of_nnunet_nest_in_the_files_order() {
        let manifest = Manifest::parse(NNUNET.as_bytes()).unwrap();
        let task = &manifest.task;
        assert_eq!((task.head, task.output_codes()), (Head::Sigmoid, vec![1, 2, 3]));
        let regions: Vec<_> = task.regions.iter().map(|r| (&r.name[..], &r.labels[..])).collect();
        let wanted = [("whole tumor", &[1, 2, 3][..]), ("tumor core", &[2, 3]), ("ET", &[3])];
        assert_eq!(regions, wanted);
        assert_eq!(task.labels[2].name, "ET");
        assert_eq!(manifest.by_name.unwrap().file_ending, ".nii.gz");
        let missing = NNUNET.replace("regions_class_order", "other");
        let error = Manifest::parse(missing.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("regions_class_order"), "{error}");
    }

    #[test]
    fn what_cannot_be_trained_on_is_said() {
        let with = |from: &str, to: &str| {
            Manifest::parse(NNUNET.replacen(from, to, 1).as_bytes()).unwrap_err().to_string()
        };
        assert!(with(r#""ET": 3"#, r#""ET": 3, "ignore": 4"#).contains("ignore"));
        assert!(with(".nii.gz", ".nrrd").contains(".nrrd"));
        assert!(with("[2, 3]", "[2, 300]").contains("300"));
        assert!(
            with("[1, 2, 3], \"numTraining\"", "[1, 2], \"numTraining\"").contains("3 regions")
        );
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
}
