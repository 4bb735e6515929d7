//! The entries of the lists in a `dataset.json`, as they are stored.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cases::{LabeledScan, relative_path};
use crate::{Error, Result};

/// A case in nnU-Net's `dataset`.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredCase {
    pub images: Vec<String>,
    pub label: String,
}

/// The file of a scan, or a file for each of its channels as in MONAI's format.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected image to be a file or a list of files")]
pub(super) enum StoredImage {
    File(String),
    ChannelFiles(Vec<String>),
}

impl StoredImage {
    pub fn to_value(&self) -> Value {
        match self {
            StoredImage::File(file) => Value::from(file.as_str()),
            // In a list without labels, a list of files could be several scans.
            StoredImage::ChannelFiles(files) => serde_json::json!({ "image": files }),
        }
    }

    /// Returns the checked paths of all files.
    fn files(&self) -> Result<Vec<String>> {
        match self {
            StoredImage::File(file) => Ok(vec![relative_path(file)?]),
            StoredImage::ChannelFiles(files) if files.is_empty() => {
                Err(Error::task("image to name at least one file", "an empty list"))
            }
            StoredImage::ChannelFiles(files) => {
                files.iter().map(|file| relative_path(file)).collect()
            }
        }
    }
}

impl From<&[String]> for StoredImage {
    fn from(files: &[String]) -> StoredImage {
        match files {
            [file] => StoredImage::File(file.clone()),
            files => StoredImage::ChannelFiles(files.to_vec()),
        }
    }
}

/// An entry of `training` or `validation`.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredScan {
    image: StoredImage,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label: Option<String>,
}

impl StoredScan {
    pub fn has_label(&self) -> bool {
        self.label.is_some()
    }

    pub fn files(&self) -> Result<Vec<String>> {
        self.image.files()
    }

    /// Returns the scan with its labels. Errors if it has none.
    pub fn with_label(&self) -> Result<LabeledScan> {
        let mut images = self.files()?.into_iter();
        let image = images.next().unwrap_or_default();
        let Some(label) = &self.label else {
            return Err(Error::task(
                "a label for each scan of training",
                format!("none for {}", image),
            ));
        };
        Ok(LabeledScan { image, other_images: images.collect(), label: relative_path(label)? })
    }
}

impl From<&LabeledScan> for StoredScan {
    fn from(scan: &LabeledScan) -> StoredScan {
        StoredScan { image: StoredImage::from(&scan.images()[..]), label: Some(scan.label.clone()) }
    }
}

/// Returns the files of each scan in `test`, which lists files or objects that name them.
pub(super) fn unlabeled_scans(test: &Value) -> Result<Vec<Vec<String>>> {
    #[derive(Deserialize)]
    struct Entry {
        image: StoredImage,
    }
    let Some(list) = test.as_array() else {
        // Files state an empty list in several ways.
        let is_empty = match test {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty(),
            Value::Number(number) => number.as_u64() == Some(0),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        return match is_empty {
            true => Ok(Vec::new()),
            false => Err(Error::task("test to be a list of scans", test)),
        };
    };
    let entry = |value: &Value| match value {
        Value::String(file) => Ok(vec![relative_path(file)?]),
        value => match Entry::deserialize(value) {
            Ok(entry) => entry.image.files(),
            Err(_) => {
                let expected = "test to list files, or objects such as {\"image\": file}";
                Err(Error::task(expected, value))
            }
        },
    };
    list.iter().map(entry).collect()
}
