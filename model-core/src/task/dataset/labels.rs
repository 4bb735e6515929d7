//! Reads the labels of a `dataset.json`: exclusive labels, or nnU-Net's regions of several labels.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::task::definition::region_color;
use crate::{Error, Head, Label, Region, Result, Task, TaskDescription};

/// A JSON object of labels in the file's order, which determines the codes of nnU-Net's regions.
#[derive(Default)]
pub(super) struct OrderedLabels(pub Vec<(String, Value)>);

impl<'de> Deserialize<'de> for OrderedLabels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LabelsVisitor;
        impl<'de> Visitor<'de> for LabelsVisitor {
            type Value = OrderedLabels;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object of labels")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OrderedLabels, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(OrderedLabels(pairs))
            }
        }
        deserializer.deserialize_map(LabelsVisitor)
    }
}

impl serde::Serialize for OrderedLabels {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Map::from_iter(self.0.iter().cloned()).serialize(serializer)
    }
}

/// Returns the task of these labels; `order` is nnU-Net's `regions_class_order`.
pub(super) fn task_of_labels(
    name: &str,
    channels: Vec<String>,
    OrderedLabels(labels): &OrderedLabels,
    order: Option<&Value>,
) -> Result<Task> {
    // Voxels of this label are not annotated. A network that learned them as a class or as background
    // would be wrong without notice.
    if let Some((key, code)) = labels.iter().find(|(key, _)| key == "ignore") {
        let expected = "labels without one to ignore, which Rewind cannot leave out of the loss";
        return Err(Error::task(expected, format!("{key:?}: {code}")));
    }
    let is_region = |value: &Value| value.as_array().is_some_and(|codes| codes.len() > 1);
    match labels.iter().any(|(_, value)| is_region(value)) {
        true => task_of_regions(name, channels, labels, order),
        false => Task::exclusive(name, channels, exclusive_labels(labels)?),
    }
}

/// Returns a code of 8 bits, given as a number or as a list of one number.
fn code(value: &Value) -> Option<u8> {
    match value {
        Value::Array(codes) if codes.len() == 1 => code(&codes[0]),
        value => value.as_u64().and_then(|code| u8::try_from(code).ok()),
    }
}

/// Returns the error of an entry that is not a label.
fn not_a_label(key: &str, value: &Value) -> Error {
    Error::task("labels with codes from 0 to 255", format!("{key:?}: {value}"))
}

/// Returns foreground labels in the order of their codes, from `{"1": "name"}` or `{"name": 1}`.
fn exclusive_labels(stored: &[(String, Value)]) -> Result<Vec<(u8, String)>> {
    let label = |(key, value): &(String, Value)| match (key.parse::<u8>(), value) {
        (Ok(code), Value::String(name)) => Ok((code, name.clone())),
        _ => code(value).map(|code| (code, key.clone())).ok_or_else(|| not_a_label(key, value)),
    };
    let mut labels = stored.iter().map(label).collect::<Result<Vec<_>>>()?;
    labels.sort_unstable();
    labels.retain(|(code, _)| *code != 0);
    Ok(labels)
}

/// Returns the task of overlapping regions, `{"whole tumor": [1, 2, 3], …}`. The n-th region in the
/// file writes the n-th code of `regions_class_order` (nnU-Net, "Region-based training").
fn task_of_regions(
    name: &str,
    channels: Vec<String>,
    stored: &[(String, Value)],
    order: Option<&Value>,
) -> Result<Task> {
    let mut regions: Vec<(String, Vec<u8>)> = Vec::new();
    for (key, value) in stored {
        let codes: Option<Vec<u8>> = match value {
            Value::Array(codes) => codes.iter().map(code).collect(),
            value => code(value).map(|code| vec![code]),
        };
        let codes = codes.ok_or_else(|| not_a_label(key, value))?;
        if codes != [0] {
            regions.push((key.clone(), codes));
        }
    }
    let written: Option<Vec<u8>> = order
        .and_then(Value::as_array)
        .and_then(|order| order.iter().map(code).collect())
        .filter(|order: &Vec<u8>| order.len() == regions.len());
    let Some(written) = written else {
        let expected =
            format!("regions_class_order with a code for each of {} regions", regions.len());
        return Err(Error::task(expected, order.map_or("none".into(), Value::to_string)));
    };
    let mut codes: Vec<u8> = regions.iter().flat_map(|(_, codes)| codes.clone()).collect();
    codes.sort_unstable();
    codes.dedup();
    // The file names regions, not labels. A region of one label names it.
    let label_name = |code: u8| {
        let region = regions.iter().find(|(_, codes)| codes[..] == [code]);
        region.map_or_else(|| format!("label {code}"), |(name, _)| name.clone())
    };
    let labels: Vec<(u8, String)> =
        codes.into_iter().map(|code| (code, label_name(code))).collect();
    let regions = regions.into_iter().zip(written).enumerate();
    let regions = regions
        .map(|(n, ((name, labels), writes))| Region {
            name,
            labels,
            writes,
            color: region_color(n),
        })
        .collect();
    let labels = labels.into_iter().map(|(code, name)| Label { name, code }).collect();
    let name = name.to_string();
    Task::new(TaskDescription { name, channels, labels, regions, head: Head::Sigmoid })
}
