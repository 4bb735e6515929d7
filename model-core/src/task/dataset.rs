//! A data set's description: `dataset.json` in the forms of the Medical Segmentation Decathlon and
//! of nnU-Net.

mod labels;
mod stored;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Result, ScanName, Task, formats::text, scan_stem};
use labels::Ordered;
use stored::{Paths, StoredCase, StoredPair, unlabeled};

/// What a folder of scans holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The data set's name.
    pub name: String,
    /// Its licence; empty when none is stated.
    pub licence: String,
    /// What a network is asked.
    pub task: Task,
    /// How many scans with labels it says that there are.
    pub num_training: Option<u64>,
    /// Scans with their labels.
    pub training: Vec<Pair>,
    /// Scans with their labels that MONAI's lists name apart.
    pub validation: Vec<Pair>,
    /// Scans without labels, each with its files.
    pub test: Vec<Vec<String>>,
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The scan: one 3-D file, one 4-D file with all channels, or the file of the first channel.
    pub image: String,
    /// The files of the other channels, where each has its own.
    pub others: Vec<String>,
    /// Its labels.
    pub label: String,
}

impl Pair {
    /// The case's name, as [`case_name`] gives it.
    pub fn name(&self) -> String {
        case_name(&self.images())
    }

    /// Every file of the scan.
    pub fn images(&self) -> Vec<String> {
        std::iter::once(&self.image).chain(&self.others).cloned().collect()
    }
}

/// The name of a case by its scan's file without folder and ending; of a file for each channel by
/// what their names share, or their folder's.
pub fn case_name(images: &[String]) -> String {
    let split = |path: &String| {
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        (folder.to_string(), scan_stem(file).unwrap_or(file).to_string())
    };
    let Some((folder, first)) = images.first().map(split) else { return String::new() };
    if images.len() == 1 {
        return first;
    }
    let case = |image: &String| ScanName::parse(&split(image).1, &[]).case;
    let shared = case(&images[0]);
    match images.iter().all(|image| case(image) == shared) {
        true if shared.is_empty() => folder.rsplit('/').next().unwrap_or_default().to_string(),
        true => shared,
        false => first,
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
    /// Written for other readers; whatever stands there is passed over.
    #[serde(rename = "tensorImageSize", skip_deserializing)]
    tensor_image_size: &'static str,
    #[serde(alias = "channel_names")]
    modality: BTreeMap<String, String>,
    labels: Ordered,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    regions_class_order: Option<Value>,
    #[serde(rename = "numTraining", default, skip_serializing_if = "Value::is_null")]
    num_training: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    training: Option<Vec<StoredPair>>,
    /// MONAI's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    validation: Vec<StoredPair>,
    /// Files in the Decathlon's lists, `{"image": file}` in MONAI's.
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

impl Manifest {
    /// Reads a `dataset.json`.
    ///
    /// # Errors
    /// [`Error::Task`], naming what is wrong.
    pub fn parse(json: &[u8]) -> Result<Manifest> {
        let stored: Stored = serde_json::from_str(text(json)?)
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
        let (mut training, mut test) = (Vec::new(), Vec::new());
        for pair in stored.training.unwrap_or_default() {
            training.push(pair.labeled()?);
        }
        let mut validation = Vec::new();
        for pair in stored.validation {
            match pair.has_label() {
                true => validation.push(pair.labeled()?),
                false => test.push(pair.files()?),
            }
        }
        test.extend(unlabeled(&stored.test)?);
        let files = training.iter().chain(&validation).flat_map(Pair::images);
        let mut images: Vec<String> = files.collect();
        images.sort_unstable();
        // A scan that is listed twice could be trained on and held out at once.
        if let Some(twice) = images.windows(2).find(|two| two[0] == two[1]) {
            return Err(Error::task("every scan once", format!("{:?} twice", twice[0])));
        }
        Ok(Manifest {
            name: stored.name,
            licence: stored.licence,
            task,
            num_training: number(&stored.num_training)?,
            training,
            validation,
            test,
            by_name,
        })
    }

    /// The description as the text of a `dataset.json`, which [`Manifest::parse`] reads back and
    /// other software knows.
    pub fn to_json(&self) -> String {
        let Manifest { name, licence, task, num_training, training, validation, test, by_name } =
            self;
        let listed = |case: &Listed| {
            let Listed { name, images, label } = case.clone();
            (name, StoredCase { images, label })
        };
        let listed = by_name.iter().flat_map(|by_name| by_name.listed.iter().map(listed)).collect();
        let pairs = |pairs: &[Pair]| pairs.iter().map(StoredPair::from).collect::<Vec<_>>();
        let test: Vec<Value> =
            test.iter().map(|files| Paths::from(&files[..]).to_value()).collect();
        let background = ("0".to_string(), Value::from("background"));
        let foreground =
            task.labels.iter().map(|l| (l.code.to_string(), Value::from(l.name.as_str())));
        let numbered = |(n, name): (usize, &String)| (n.to_string(), name.clone());
        let labels = task.labels.iter().map(|l| (l.code, l.name.clone())).collect();
        let derived = Task::exclusive(name, task.channels.clone(), labels);
        let stored = Stored {
            name: name.clone(),
            licence: licence.clone(),
            tensor_image_size: if task.channels.len() > 1 { "4D" } else { "3D" },
            modality: task.channels.iter().enumerate().map(numbered).collect(),
            labels: Ordered(std::iter::once(background).chain(foreground).collect()),
            regions_class_order: None,
            num_training: num_training.map_or(Value::Null, Value::from),
            training: by_name.is_none().then(|| pairs(training)),
            validation: pairs(validation),
            test: if test.is_empty() { Value::Null } else { test.into() },
            file_ending: by_name.as_ref().map(|by_name| by_name.file_ending.clone()),
            dataset: Some(listed).filter(|listed: &BTreeMap<_, _>| !listed.is_empty()),
            rewind_task: (*task != derived).then(|| task.clone()),
        };
        serde_json::to_string_pretty(&stored).expect("a description is plain data")
    }
}

/// How many scans with labels there are, where it is said.
fn number(stated: &Value) -> Result<Option<u64>> {
    let number = match stated {
        Value::Null => return Ok(None),
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_u64(),
    };
    number.map(Some).ok_or_else(|| Error::task("numTraining to be a number", stated))
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
mod tests;
