//! A data set's description: `dataset.json` in the Medical Segmentation Decathlon's form.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Result, Task};

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
/// channels `channel_names` and turns the labels' map around.
#[derive(Serialize, Deserialize)]
struct Stored {
    name: String,
    #[serde(default, alias = "license")]
    licence: String,
    #[serde(rename = "tensorImageSize", default)]
    tensor_image_size: Value,
    #[serde(alias = "channel_names")]
    modality: BTreeMap<String, String>,
    labels: BTreeMap<String, Value>,
    #[serde(rename = "numTraining", default)]
    num_training: Value,
    training: Vec<Pair>,
    /// Ours: the whole task, where the Decathlon's fields cannot say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rewind_task: Option<Task>,
}

impl Manifest {
    /// Reads a `dataset.json`.
    ///
    /// # Errors
    /// [`Error::Task`], naming what is wrong.
    pub fn parse(json: &[u8]) -> Result<Manifest> {
        let stored: Stored = serde_json::from_slice(json)
            .map_err(|e| Error::task("a dataset.json in the Decathlon's form", e))?;
        let labels = labels(&stored.labels)?;
        let task = Task::exclusive(&stored.name, channels(&stored.modality)?, labels);
        task.check()?;
        let task = match stored.rewind_task {
            None => task,
            Some(own) => {
                own.check()?;
                let codes = |task: &Task| {
                    let mut codes: Vec<u8> = task.labels.iter().map(|label| label.code).collect();
                    codes.sort_unstable();
                    (task.channels.len(), codes)
                };
                if codes(&own) != codes(&task) {
                    let expected =
                        format!("rewind_task with channels and codes {:?}", codes(&task));
                    return Err(Error::task(expected, format!("{:?}", codes(&own))));
                }
                own
            }
        };
        let mut training = stored.training;
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
        Ok(Manifest { name: stored.name, licence: stored.licence, task, training })
    }

    /// The description as the text of a `dataset.json`, which [`Manifest::parse`] reads back and
    /// other software knows.
    pub fn to_json(&self) -> String {
        let Manifest { name, licence, task, training } = self;
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
            labels: std::iter::once(background).chain(foreground).collect(),
            num_training: training.len().into(),
            training: training.clone(),
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

/// Foreground labels by code, from either `{"1": "name"}` or `{"name": 1}`.
fn labels(stored: &BTreeMap<String, Value>) -> Result<Vec<(u8, String)>> {
    let mut labels = Vec::new();
    for (key, value) in stored {
        let label = match (key.parse::<u8>(), value) {
            (Ok(code), Value::String(name)) => Some((code, name.clone())),
            (_, Value::Number(code)) => code
                .as_u64()
                .and_then(|code| u8::try_from(code).ok())
                .map(|code| (code, key.clone())),
            _ => None,
        };
        labels.push(label.ok_or_else(|| {
            Error::task("labels with codes from 0 to 255", format!("{key:?}: {value}"))
        })?);
    }
    labels.sort();
    labels.retain(|(code, _)| *code != 0);
    Ok(labels)
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
