//! `rewind train --print-config`: the settings as a commented file.

use documented::DocumentedFields;
use model_core::network::config::{BackwardMode, NetworkSettings};
use model_core::{PreprocessConfig, TargetSize, TargetSpacing, Vae};
use toml::{Table, Value};

use super::tables::table_of;
use super::{AugmentSettings, StepsOrEpochs, TrainConfig};

/// A setting or a table of settings, with its description.
struct Setting {
    /// The dotted name, such as `augment.flip`.
    path: String,
    docs: &'static str,
}

/// Returns the settings as TOML that can be read back.
///
/// The comments are the doc comments of the fields. A setting without a value is a comment with an
/// example.
pub fn printed(config: &TrainConfig) -> String {
    let (values, examples) = (table_of(config), table_of(&example()));
    let mut text = String::from(
        "# The settings of `rewind train`. A file needs only the settings that it changes.\n",
    );
    for Setting { path, docs } in settings() {
        let key = path.rsplit('.').next().unwrap_or(&path);
        let line = |value: &Value| match value {
            Value::Table(_) => format!("[{path}]"),
            value => format!("{key} = {value}"),
        };
        text.push('\n');
        docs.lines().for_each(|docs| text += &format!("{}\n", format!("# {docs}").trim_end()));
        text += &match (find(&values, &path), find(&examples, &path)) {
            (Some(value), _) => format!("{}\n", line(value)),
            (None, Some(example)) => format!("# {}\n", line(example)),
            (None, None) => format!("# {key} = {:?}\n", AUGMENT_PRESET_EXAMPLE),
        };
    }
    text
}

/// Returns all settings. A table is followed by its settings.
fn settings() -> Vec<Setting> {
    let with_fields = |setting: Setting| {
        let fields = match &*setting.path {
            "network" => {
                // The branch is the last field of a network.
                let mut fields = fields::<NetworkSettings>("network.");
                fields.extend(self::fields::<Vae>("network.vae."));
                fields
            }
            "vae" => fields::<Vae>("vae."),
            "preprocess" => fields::<PreprocessConfig>("preprocess."),
            "augment" => {
                let preset = Setting { path: "augment.preset".into(), docs: AUGMENT_PRESET_DOCS };
                std::iter::once(preset).chain(fields::<AugmentSettings>("augment.")).collect()
            }
            _ => Vec::new(),
        };
        std::iter::once(setting).chain(fields)
    };
    fields::<TrainConfig>("").into_iter().flat_map(with_fields).collect()
}

/// The setting that only files have: see the deserialization of [`AugmentSettings`].
const AUGMENT_PRESET_DOCS: &str = "The preset that the settings below start from: \"default\", \"none\", or that of a paper: \"pendse\"\n\
     or \"brugger\".";
const AUGMENT_PRESET_EXAMPLE: &str = "brugger";

fn fields<T: DocumentedFields>(table: &str) -> Vec<Setting> {
    let fields = T::FIELD_NAMES.iter().zip(T::FIELD_DOCS);
    fields.map(|(name, docs)| Setting { path: format!("{table}{name}"), docs }).collect()
}

/// Returns the value of a setting by its dotted name.
fn find<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    match path.split_once('.') {
        None => table.get(path),
        Some((name, rest)) => find(table.get(name)?.as_table()?, rest),
    }
}

/// Returns settings with an example of every setting that has no default.
fn example() -> TrainConfig {
    let vae = Vae { patch: Some([32; 3]), ..Vae::default() };
    let network = NetworkSettings {
        in_channels: Some(4),
        out_channels: Some(3),
        decoder_blocks: Some(1),
        deep_supervision: 1,
        vae: Some(vae.clone()),
        ..NetworkSettings::preset("mbconv-slim").expect("a preset's name")
    };
    TrainConfig {
        recipe: Some("pendse".into()),
        preset: Some("mbconv-slim".into()),
        backward: Some(BackwardMode::Reversible),
        stream: Some(super::Float::F32),
        split_seed: Some(0),
        fold: Some(0),
        group_by: Some("^(patient[0-9]+)_".into()),
        stop_after: Some(StepsOrEpochs::Epochs(60.0)),
        cache: Some("rewind-cache".into()),
        network: Some(network),
        vae: Some(vae),
        preprocess: PreprocessConfig {
            spacing_mm: Some(TargetSpacing::try_from([1.0; 3]).expect("a valid spacing")),
            size: Some(TargetSize::try_from([160, 192, 160]).expect("a valid size")),
            skull_stripped: Some(true),
            ..PreprocessConfig::default()
        },
        ..TrainConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add_paths(prefix: &str, table: &Table, paths: &mut Vec<String>) {
        for (key, value) in table {
            let path = format!("{prefix}{key}");
            if let Value::Table(table) = value {
                add_paths(&format!("{path}."), table, paths);
            }
            paths.push(path);
        }
    }

    #[test]
    fn every_setting_has_a_description_and_a_value_or_an_example() {
        let mut in_example = vec!["augment.preset".to_string()];
        add_paths("", &table_of(&example()), &mut in_example);
        let settings = settings();
        assert!(settings.iter().all(|setting| !setting.docs.is_empty()));
        let mut described: Vec<String> = settings.into_iter().map(|setting| setting.path).collect();
        in_example.sort();
        described.sort();
        assert_eq!(described, in_example);
    }

    #[test]
    fn every_printed_example_can_be_read() {
        let (defaults, examples) = (table_of(&TrainConfig::default()), table_of(&example()));
        let mut count = 0;
        for (key, value) in &examples {
            if !defaults.contains_key(key) && !value.is_table() && key != "fold" {
                TrainConfig::parse(&format!("{key} = {value}")).unwrap();
                count += 1;
            }
        }
        assert!(count > 4, "{count}");
        for table in ["network", "vae", "preprocess"] {
            let table = Table::from_iter([(table.to_string(), examples[table].clone())]);
            TrainConfig::parse(&table.to_string()).unwrap();
        }
        TrainConfig::parse(&format!("augment.preset = {AUGMENT_PRESET_EXAMPLE:?}")).unwrap();
    }

    #[test]
    fn printed_settings_are_read_back() {
        let own = "[network]\nwidths = [8, 16]\ndecoder = \"conv1\"\ngroups = 4\n[network.vae]\n";
        let branch = "preset = \"demo\"\n[vae]\nunits = 16";
        for text in ["", "recipe = \"brugger\"", branch, own] {
            let config = TrainConfig::parse(text).unwrap();
            let printed = printed(&config);
            assert_eq!(TrainConfig::parse(&printed).unwrap(), config, "{printed}");
        }
    }
}
