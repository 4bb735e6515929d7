//! Tables of settings that change only the values they name.

use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer, Serialize};
use toml::{Table, Value};

use super::tables::overlay;

/// Reads a table that names only what differs from the defaults.
///
/// # Errors
/// With the deserializer's message if the table is invalid.
pub(super) fn over_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Serialize + DeserializeOwned,
{
    let given = Table::deserialize(from)?;
    let mut whole = Table::try_from(T::default()).map_err(de::Error::custom)?;
    overlay(&mut whole, given);
    whole.try_into().map_err(|error: toml::de::Error| de::Error::custom(error.message()))
}

/// Reads a table, or `false` for none.
///
/// # Errors
/// With the deserializer's message if the value is neither.
pub(super) fn table_or_false<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    match Value::deserialize(from)? {
        Value::Boolean(false) => Ok(None),
        table @ Value::Table(_) => {
            table.try_into().map(Some).map_err(|error| de::Error::custom(error.message()))
        }
        other => Err(de::Error::custom(format!("expected false or a table, found {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use model_core::network::config::NetworkSettings;
    use model_core::{Foreground, PreprocessConfig};

    use crate::config::{Sources, TrainConfig};

    fn refusal(text: &str) -> String {
        format!("{:#}", TrainConfig::parse(text).unwrap_err())
    }

    /// Tests each partial table in a file, with --set and over a recipe.
    #[test]
    fn tables_that_are_given_in_part_change_what_they_name() {
        let of = |recipe, single: &[&str]| {
            let single: Vec<String> = single.iter().map(|s| s.to_string()).collect();
            let found = Sources { recipe, base: None, files: &[], single: &single }.settings();
            found.unwrap_or_else(|error| panic!("{single:?}: {error:#}"))
        };
        let plain = PreprocessConfig::default();
        for (key, value, expected) in [
            (
                "spacing_mm",
                "[2, 2, 2.5]",
                PreprocessConfig {
                    spacing_mm: Some([2.0, 2.0, 2.5].try_into().unwrap()),
                    ..plain.clone()
                },
            ),
            ("crop", "true", PreprocessConfig { crop: true, ..plain.clone() }),
            (
                "size",
                "[8, 16, 24]",
                PreprocessConfig { size: Some([8, 16, 24].try_into().unwrap()), ..plain.clone() },
            ),
            (
                "foreground",
                "\"otsu\"",
                PreprocessConfig { foreground: Foreground::Otsu, ..plain.clone() },
            ),
        ] {
            let file = TrainConfig::parse(&format!("[preprocess]\n{key} = {value}")).unwrap();
            let dotted = of(None, &[&format!("preprocess.{key}={value}")]);
            let inline = of(None, &[&format!("preprocess={{{key} = {value}}}")]);
            for config in [file, dotted, inline] {
                assert_eq!(
                    config,
                    TrainConfig { preprocess: expected.clone(), ..TrainConfig::default() }
                );
            }
        }
        let recipe = of(Some("brugger"), &[]);
        let config = of(Some("brugger"), &["preprocess.spacing_mm=[2,2,2]"]);
        assert_eq!(config.preprocess.spacing_mm, Some([2.0; 3].try_into().unwrap()));
        let same = PreprocessConfig { spacing_mm: None, ..config.preprocess.clone() };
        assert_eq!(same, PreprocessConfig { spacing_mm: None, ..recipe.preprocess });
        assert_eq!(TrainConfig::parse("[preprocess]").unwrap(), TrainConfig::default());
        for text in ["[augment]\nnoise = 0.5", "[vae]\nunits = 7", "[vae]", "[augment]"] {
            TrainConfig::parse(text).unwrap();
        }
        let error = refusal("[preprocess]\nspacing = [1, 1, 1]");
        assert!(error.contains("did you mean `spacing_mm`?") && error.contains("line"), "{error}");
    }

    #[test]
    fn a_part_of_a_network_changes_the_preset_in_force() {
        let demo = NetworkSettings::preset("demo").unwrap();
        let of = |recipe, single: &[&str]| {
            let single: Vec<String> = single.iter().map(|s| s.to_string()).collect();
            Sources { recipe, base: None, files: &[], single: &single }.settings()
        };
        let expected = NetworkSettings { groups: Some(2), blocks: 3, ..demo.clone() };
        let single = of(None, &["preset=demo", "network.groups=2", "network.blocks=3"]).unwrap();
        let file = "preset = \"demo\"\n[network]\ngroups = 2\nblocks = 3";
        for config in [single, TrainConfig::parse(file).unwrap()] {
            assert_eq!((config.preset, config.network), (None, Some(expected.clone())));
        }
        let paper = NetworkSettings::preset("mbconv-base").unwrap();
        let config = of(Some("pendse"), &["network.blocks=2"]).unwrap();
        assert_eq!(config.network, Some(NetworkSettings { blocks: 2, ..paper }));
        let branch = of(None, &["preset=demo", "network.vae.units=5"]).unwrap().network.unwrap();
        assert_eq!((branch.vae.unwrap().units, branch.widths), (5, demo.widths));
        // A recipe's branch can be removed.
        let paper = of(Some("invres"), &[]).unwrap();
        assert!(paper.vae.is_some());
        let without = of(Some("invres"), &["vae=false"]).unwrap();
        assert_eq!(without, TrainConfig { vae: None, ..paper });
        let file = "recipe = \"invres\"\nvae = false";
        assert_eq!(TrainConfig::parse(file).unwrap(), without);
        assert!(refusal("preset = \"demo\"\nvae = true").contains("false or a table"));
        // Without a preset, a table without widths describes no network.
        let error = format!("{:#}", of(None, &["network.groups=2"]).unwrap_err());
        assert!(error.contains("widths"), "{error}");
        let error = refusal("preset = \"demo\"\n[network]\ngruops = 2");
        assert!(error.contains("did you mean `groups`?"), "{error}");
        let error = refusal("preset = \"none\"\n[network]\ngroups = 2");
        assert!(error.contains("widths"), "{error}");
    }
}
