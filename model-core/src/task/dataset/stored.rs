//! The entries of the lists in a `dataset.json`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Pair, relative};
use crate::{Error, Result};

/// A case of nnU-Net's `dataset`.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredCase {
    pub images: Vec<String>,
    pub label: String,
}

/// The file of a scan, or a file for each of its channels as in MONAI's lists.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected image to be a file or a list of files")]
pub(super) enum Paths {
    One(String),
    Several(Vec<String>),
}

impl Paths {
    pub fn to_value(&self) -> Value {
        match self {
            Paths::One(file) => Value::from(file.as_str()),
            // Without labels a list alone could be several scans.
            Paths::Several(files) => serde_json::json!({ "image": files }),
        }
    }

    fn checked(&self) -> Result<Vec<String>> {
        match self {
            Paths::One(file) => Ok(vec![relative(file)?]),
            Paths::Several(files) if files.is_empty() => {
                Err(Error::task("image to name at least one file", "an empty list"))
            }
            Paths::Several(files) => files.iter().map(|file| relative(file)).collect(),
        }
    }
}

impl From<&[String]> for Paths {
    fn from(files: &[String]) -> Paths {
        match files {
            [file] => Paths::One(file.clone()),
            files => Paths::Several(files.to_vec()),
        }
    }
}

/// An entry of `training` or `validation`.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredPair {
    image: Paths,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label: Option<String>,
}

impl StoredPair {
    pub fn has_label(&self) -> bool {
        self.label.is_some()
    }

    pub fn files(&self) -> Result<Vec<String>> {
        self.image.checked()
    }

    /// The scan with its labels.
    pub fn labeled(&self) -> Result<Pair> {
        let mut images = self.files()?.into_iter();
        let image = images.next().unwrap_or_default();
        let Some(label) = &self.label else {
            return Err(Error::task(
                "a label for each scan of training",
                format!("none for {}", image),
            ));
        };
        Ok(Pair { image, others: images.collect(), label: relative(label)? })
    }
}

impl From<&Pair> for StoredPair {
    fn from(pair: &Pair) -> StoredPair {
        StoredPair { image: Paths::from(&pair.images()[..]), label: Some(pair.label.clone()) }
    }
}

/// The scans of `test`: files, or objects that name them.
pub(super) fn unlabeled(test: &Value) -> Result<Vec<Vec<String>>> {
    #[derive(Deserialize)]
    struct Entry {
        image: Paths,
    }
    let Some(list) = test.as_array() else {
        // Some write that there are none in ways of their own.
        let is_none = match test {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty(),
            Value::Number(number) => number.as_u64() == Some(0),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        return match is_none {
            true => Ok(Vec::new()),
            false => Err(Error::task("test to be a list of scans", test)),
        };
    };
    let entry = |value: &Value| match value {
        Value::String(file) => Ok(vec![relative(file)?]),
        value => match Entry::deserialize(value) {
            Ok(entry) => entry.image.checked(),
            Err(_) => {
                let expected = "test to list files, or objects such as {\"image\": file}";
                Err(Error::task(expected, value))
            }
        },
    };
    list.iter().map(entry).collect()
}
