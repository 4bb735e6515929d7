//! Reads and writes a data set's description: `dataset.json` in the formats of the Medical
//! Segmentation Decathlon, of nnU-Net and of MONAI.

mod cases;
mod labels;
mod stored;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Result, Task, formats::utf8_text};
use cases::relative_path;
pub use cases::{LabeledScan, ListedCase, NnunetCases, case_name};
use labels::OrderedLabels;
use stored::{StoredCase, StoredImage, StoredScan, unlabeled_scans};

/// The contents of a data set, as its `dataset.json` describes them.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The data set's name; empty if none is stated.
    pub name: String,
    /// The license of the data, if it is stated.
    pub license: Option<String>,
    /// The task: channels, labels and regions.
    pub task: Task,
    /// The stated number of scans with labels.
    pub num_training: Option<u64>,
    /// The scans with labels.
    pub training: Vec<LabeledScan>,
    /// The scans with labels that MONAI's format lists for validation.
    pub validation: Vec<LabeledScan>,
    /// The files of each scan without labels.
    pub test: Vec<Vec<String>>,
    /// The cases of nnU-Net's second format, which finds them by their files' names.
    pub nnunet_cases: Option<NnunetCases>,
}

/// The fields of `dataset.json`. Files use both spellings of the license. nnU-Net's second version
/// names the channels `channel_names`, maps names to labels, and lists no files.
#[derive(Serialize, Deserialize)]
struct StoredManifest {
    #[serde(default)]
    name: String,
    #[serde(default, rename = "licence", alias = "license")]
    license: String,
    /// Written for other readers, and ignored on reading.
    #[serde(rename = "tensorImageSize", skip_deserializing)]
    tensor_image_size: &'static str,
    #[serde(alias = "channel_names")]
    modality: BTreeMap<String, String>,
    labels: OrderedLabels,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    regions_class_order: Option<Value>,
    #[serde(rename = "numTraining", default, skip_serializing_if = "Value::is_null")]
    num_training: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    training: Option<Vec<StoredScan>>,
    /// A list of MONAI's format.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    validation: Vec<StoredScan>,
    /// Files in the Decathlon's format, `{"image": file}` in MONAI's.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    test: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file_ending: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dataset: Option<BTreeMap<String, StoredCase>>,
    /// The whole task in this project's format, if the Decathlon's fields cannot express it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rewind_task: Option<Task>,
}

impl Manifest {
    /// Reads a `dataset.json`.
    ///
    /// # Errors
    /// [`Error::Task`], naming the first invalid field.
    pub fn parse(json: &[u8]) -> Result<Manifest> {
        let stored: StoredManifest = serde_json::from_str(utf8_text(json)?)
            .map_err(|e| Error::task("a dataset.json of the Decathlon or of nnU-Net", e))?;
        let channels = channel_names(&stored.modality)?;
        let order = stored.regions_class_order.as_ref();
        let task = labels::task_of_labels(&stored.name, channels, &stored.labels, order)?;
        let task = match stored.rewind_task {
            None => task,
            Some(whole_task) => {
                whole_task.check_agrees(&task)?;
                whole_task
            }
        };
        let nnunet_cases = match &stored.training {
            None => Some(read_nnunet_cases(stored.file_ending, stored.dataset)?),
            Some(_) => None,
        };
        let (mut training, mut test) = (Vec::new(), Vec::new());
        for scan in stored.training.unwrap_or_default() {
            training.push(scan.with_label()?);
        }
        let mut validation = Vec::new();
        for scan in stored.validation {
            match scan.has_label() {
                true => validation.push(scan.with_label()?),
                false => test.push(scan.files()?),
            }
        }
        test.extend(unlabeled_scans(&stored.test)?);
        let files = training.iter().chain(&validation).flat_map(LabeledScan::images);
        let mut images: Vec<String> = files.collect();
        images.sort_unstable();
        // A scan that is listed twice could be both trained on and held out.
        if let Some(equal) = images.windows(2).find(|two| two[0] == two[1]) {
            return Err(Error::task("every scan once", format!("{:?} twice", equal[0])));
        }
        Ok(Manifest {
            name: stored.name,
            license: Some(stored.license).filter(|license| !license.is_empty()),
            task,
            num_training: scan_count(&stored.num_training)?,
            training,
            validation,
            test,
            nnunet_cases,
        })
    }

    /// Returns the text of a `dataset.json`, which [`Manifest::parse`] and other software can read.
    pub fn to_json(&self) -> String {
        let Manifest { name, license, task, num_training, .. } = self;
        let listed = |case: &ListedCase| {
            let ListedCase { name, images, label } = case.clone();
            (name, StoredCase { images, label })
        };
        let listed = self.nnunet_cases.iter().flat_map(|cases| cases.listed.iter().map(listed));
        let scans = |scans: &[LabeledScan]| scans.iter().map(StoredScan::from).collect::<Vec<_>>();
        let test: Vec<Value> =
            self.test.iter().map(|files| StoredImage::from(&files[..]).to_value()).collect();
        let background = ("0".to_string(), Value::from("background"));
        let foreground =
            task.labels.iter().map(|l| (l.code.to_string(), Value::from(l.name.as_str())));
        let numbered = |(n, name): (usize, &String)| (n.to_string(), name.clone());
        let labels = task.labels.iter().map(|l| (l.code, l.name.clone())).collect();
        let derived = Task::exclusive(name, task.channels.clone(), labels).ok();
        let stored = StoredManifest {
            name: name.clone(),
            license: license.clone().unwrap_or_default(),
            tensor_image_size: if task.channels.len() > 1 { "4D" } else { "3D" },
            modality: task.channels.iter().enumerate().map(numbered).collect(),
            labels: OrderedLabels(std::iter::once(background).chain(foreground).collect()),
            regions_class_order: None,
            num_training: num_training.map_or(Value::Null, Value::from),
            training: self.nnunet_cases.is_none().then(|| scans(&self.training)),
            validation: scans(&self.validation),
            test: if test.is_empty() { Value::Null } else { test.into() },
            file_ending: self.nnunet_cases.as_ref().map(|cases| cases.file_ending.clone()),
            dataset: Some(listed.collect()).filter(|listed: &BTreeMap<_, _>| !listed.is_empty()),
            rewind_task: (derived.as_ref() != Some(task)).then(|| task.clone()),
        };
        serde_json::to_string_pretty(&stored).expect("a description is plain data")
    }
}

/// Returns the stated number of scans with labels.
fn scan_count(stated: &Value) -> Result<Option<u64>> {
    let number = match stated {
        Value::Null => return Ok(None),
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_u64(),
    };
    number.map(Some).ok_or_else(|| Error::task("numTraining to be a number", stated))
}

/// Returns channel names in the order of their numbers, which must run from 0 without a gap.
fn channel_names(modality: &BTreeMap<String, String>) -> Result<Vec<String>> {
    let channel = |n: usize| modality.get(&n.to_string()).cloned();
    let names: Option<Vec<String>> = (0..modality.len()).map(channel).collect();
    names.ok_or_else(|| {
        let found: Vec<&String> = modality.keys().collect();
        Error::task("channels numbered from 0", format!("{found:?}"))
    })
}

/// Reads the cases of nnU-Net's second format.
fn read_nnunet_cases(
    file_ending: Option<String>,
    dataset: Option<BTreeMap<String, StoredCase>>,
) -> Result<NnunetCases> {
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
        let images = images.iter().map(|path| relative_path(path)).collect::<Result<_>>()?;
        Ok(ListedCase { name, images, label: relative_path(&label)? })
    };
    let listed = dataset.unwrap_or_default().into_iter().map(listed).collect::<Result<_>>()?;
    Ok(NnunetCases { file_ending, listed })
}

#[cfg(test)]
mod tests;
