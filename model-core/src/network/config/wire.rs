//! The form of network settings in files, and how older files are read.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{BackwardMode, NetworkSettings};

impl Serialize for NetworkSettings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        NetworkSettings::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for NetworkSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Map::<String, Value>::deserialize(deserializer)?;
        rename_flags(&mut fields).map_err(D::Error::custom)?;
        NetworkSettings::deserialize(Value::Object(fields)).map_err(D::Error::custom)
    }
}

/// Replaces the flags `reversible` and `checkpointed` of older files by `backward`.
fn rename_flags(fields: &mut Map<String, Value>) -> Result<(), serde_json::Error> {
    let mut take = |name: &str| fields.remove(name).map(bool::deserialize).transpose();
    let backward = match (take("reversible")?, take("checkpointed")?) {
        (None, None) => return Ok(()),
        (None | Some(true), Some(true)) => {
            return Err(serde_json::Error::custom(
                "expected a network that is reversible or checkpointed, found both",
            ));
        }
        (_, Some(true)) => BackwardMode::Checkpointed,
        (Some(false), _) => BackwardMode::NonReversible,
        _ => BackwardMode::Reversible,
    };
    if fields.contains_key("backward") {
        return Err(serde_json::Error::custom(
            "expected `backward` alone, found it beside `reversible` or `checkpointed`",
        ));
    }
    fields.insert("backward".into(), serde_json::to_value(backward)?);
    Ok(())
}

/// An optional count that files state as a number, 0 if it is absent.
pub(super) mod zero_as_none {
    use super::*;

    pub fn serialize<S: Serializer>(count: &Option<usize>, to: S) -> Result<S::Ok, S::Error> {
        count.unwrap_or(0).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<usize>, D::Error> {
        let count = usize::deserialize(from)?;
        Ok((count > 0).then_some(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UNetConfig;

    fn read(change: impl FnOnce(&mut Map<String, Value>)) -> Result<UNetConfig, String> {
        let demo = serde_json::to_value(UNetConfig::preset("demo", 4, 3).unwrap()).unwrap();
        let Value::Object(mut fields) = demo else { panic!("{demo}") };
        change(&mut fields);
        serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())
    }

    #[test]
    fn the_flags_of_older_files_are_read_as_a_backward_mode() {
        let mode = |flags: &[(&str, bool)]| {
            read(|fields| {
                fields.remove("backward");
                fields.extend(flags.iter().map(|(name, on)| (name.to_string(), (*on).into())));
            })
            .map(|config| config.backward)
        };
        assert_eq!(mode(&[]), Ok(BackwardMode::Reversible));
        assert_eq!(mode(&[("reversible", true)]), Ok(BackwardMode::Reversible));
        assert_eq!(mode(&[("reversible", false)]), Ok(BackwardMode::NonReversible));
        let both = [("reversible", false), ("checkpointed", true)];
        assert_eq!(mode(&both), Ok(BackwardMode::Checkpointed));
        for flags in [&[("checkpointed", true)][..], &[("reversible", true), both[1]]] {
            assert!(mode(flags).unwrap_err().contains("found both"));
        }
        let beside = read(|fields| drop(fields.insert("reversible".into(), true.into())));
        assert!(beside.unwrap_err().contains("`backward` alone"));
    }

    #[test]
    fn zero_groups_are_one_per_channel() {
        let instance = read(|fields| drop(fields.insert("groups".into(), 0.into()))).unwrap();
        assert_eq!(instance.groups, None);
        assert_eq!(serde_json::to_value(instance).unwrap()["groups"], 0);
    }

    #[test]
    fn a_network_that_cannot_be_built_is_not_read() {
        let error = read(|fields| drop(fields.insert("blocks".into(), 0.into()))).unwrap_err();
        assert!(error.contains("blocks from 1 to 64"), "{error}");
        let error = read(|fields| drop(fields.remove("in_channels"))).unwrap_err();
        assert!(error.contains("in_channels"), "{error}");
        let error = read(|fields| drop(fields.insert("grups".into(), 1.into()))).unwrap_err();
        assert!(error.contains("unknown field `grups`"), "{error}");
    }
}
