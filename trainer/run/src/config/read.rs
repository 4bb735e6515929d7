//! Reads settings from a recipe, a file and the command line, and compares two settings.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use model_core::network::config::PRESETS;
use toml::{Table, Value};

use super::tables::{is_part_of_network, overlay, table_of};
use super::{StepsOrEpochs, TrainConfig};
use crate::{files, suggest};

/// The largest file of settings that is read.
const MAX_BYTES: u64 = 16 << 20;

/// The recipes by name, as TOML: the defaults, and those of the papers.
pub const RECIPES: [(&str, &str); 4] = [
    ("modern", ""),
    ("pendse", include_str!("../../../recipes/pendse.toml")),
    ("brugger", include_str!("../../../recipes/brugger.toml")),
    ("invres", include_str!("../../../recipes/invres.toml")),
];

/// The sources of settings. A later source overrides an earlier one.
#[derive(Debug, Default)]
pub struct Sources<'a> {
    /// The name of a recipe; by default the one that the file names.
    pub recipe: Option<&'a str>,
    /// The settings of a run that is resumed.
    pub base: Option<&'a TrainConfig>,
    /// Settings files. A later one overrides an earlier one.
    pub files: &'a [PathBuf],
    /// Single settings, as `key=value` with a dotted key.
    pub single: &'a [String],
}

impl Sources<'_> {
    /// Returns the settings in force, not yet checked.
    ///
    /// # Errors
    /// With the place of the first error; for a misspelled key, with the key that was probably meant.
    pub fn settings(&self) -> Result<TrainConfig> {
        let mut file = Table::new();
        for path in self.files {
            let about = || format!("cannot read the settings {}", path.display());
            let bytes = files::read(path, MAX_BYTES).with_context(about)?;
            let given = table(model_core::utf8_text(&bytes).with_context(about)?);
            overlay(
                &mut file,
                given.with_context(|| format!("in the settings {}", path.display()))?,
            );
        }
        let named = |table: &Table| Some(table.get("recipe")?.as_str()?.to_string());
        let recipe = self.recipe.map(String::from).or_else(|| named(&file));
        let mut settings = match (self.base, recipe) {
            (_, Some(name)) => recipe_table(&name)?,
            (Some(base), None) => table_of(base),
            (None, None) => Table::new(),
        };
        overlay(&mut settings, file);
        if let Some(name) = self.recipe {
            settings.insert("recipe".into(), name.into());
        }
        let mut config = config_of(&settings)?;
        for single in self.single {
            let single_setting = single_table(single)?;
            ensure!(
                !single_setting.contains_key("recipe"),
                "--set: expected a single setting, found a recipe; --recipe takes its name"
            );
            overlay(&mut settings, single_setting);
            config = config_of(&settings).with_context(|| format!("in --set {single}"))?;
        }
        Ok(config)
    }
}

impl TrainConfig {
    /// Reads settings as TOML.
    ///
    /// # Errors
    /// With the place of the first error; for a misspelled key, with the key that was probably meant.
    pub fn parse(text: &str) -> Result<TrainConfig> {
        let given = table(text)?;
        let mut settings = match given.get("recipe").and_then(Value::as_str) {
            Some(name) => recipe_table(name)?,
            None => Table::new(),
        };
        overlay(&mut settings, given);
        config_of(&settings)
    }

    /// Reads a settings file.
    ///
    /// # Errors
    /// As [`TrainConfig::parse`], with the file's name.
    pub fn read(file: &Path) -> Result<TrainConfig> {
        Sources { files: &[file.to_path_buf()], ..Sources::default() }.settings()
    }

    /// Returns the settings whose values differ, as "name: value, value of `other`". Settings that
    /// only concern logging, caching and threads are omitted.
    pub fn differences(&self, other: &TrainConfig) -> Vec<String> {
        let table = |config: &TrainConfig| {
            let config = TrainConfig {
                recipe: None,
                log_every: StepsOrEpochs::Steps(1),
                drift_every: StepsOrEpochs::Steps(1),
                cache: None,
                memory_gib: 0.0,
                workers: 0,
                ..config.clone()
            };
            table_of(&config)
        };
        let mut found = Vec::new();
        differing("", &table(self), &table(other), &mut found);
        found
    }
}

/// Returns the settings of a recipe, with its name.
fn recipe_table(name: &str) -> Result<Table> {
    let Some((_, text)) = RECIPES.iter().find(|(known, _)| *known == name) else {
        let known = RECIPES.map(|(name, _)| name).join(", ");
        bail!("settings: expected a recipe, one of {known}, found {name:?}");
    };
    let mut settings = table(text).with_context(|| format!("in the recipe {name}"))?;
    settings.insert("recipe".into(), name.into());
    Ok(settings)
}

fn config_of(settings: &Table) -> Result<TrainConfig> {
    settings.clone().try_into().map_err(readable)
}

fn readable(error: toml::de::Error) -> anyhow::Error {
    let advice = suggest::did_you_mean(error.message());
    anyhow::anyhow!("{}{advice}", error.to_string().trim_end())
}

/// Parses a settings file, and checks that its keys are settings.
fn table(text: &str) -> Result<Table> {
    let found: Table = toml::from_str(text).map_err(readable)?;
    match is_part_of_network(&found) {
        // Parsing the whole file as settings gives errors that name the line.
        false => drop(toml::from_str::<TrainConfig>(text).map_err(readable)?),
        // The network that the table changes may be named elsewhere. Any network finds a misspelled key.
        true => {
            let mut whole = Table::from_iter([("preset".into(), PRESETS[0].into())]);
            overlay(&mut whole, found.clone());
            config_of(&whole)?;
        }
    }
    Ok(found)
}

/// Parses `key=value`. A value that is not TOML is a string.
fn single_table(single: &str) -> Result<Table> {
    let (key, value) = single
        .split_once('=')
        .with_context(|| format!("--set: expected KEY=VALUE, found {single:?}"))?;
    let (key, value) = (key.trim(), value.trim());
    let is_key = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    };
    ensure!(
        key.split('.').all(is_key),
        "--set: expected a setting's name, such as augment.noise, found {key:?}"
    );
    let plain = format!("{key} = {value}\n");
    let is_one_value = !value.contains(['\n', '\r']) && toml::from_str::<Table>(&plain).is_ok();
    let quoted = format!("{key} = {}\n", Value::from(value));
    let text = if is_one_value { &plain } else { &quoted };
    toml::from_str(text).map_err(readable).with_context(|| format!("in --set {single}"))
}

fn differing(path: &str, a: &Table, b: &Table, found: &mut Vec<String>) {
    let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let path = format!("{path}{key}");
        match (a.get(key), b.get(key)) {
            (Some(Value::Table(a)), Some(Value::Table(b))) => {
                differing(&format!("{path}."), a, b, found);
            }
            (a, b) if a != b => {
                let text = |v: Option<&Value>| v.map_or("none".into(), |v| v.to_string());
                found.push(format!("{path}: {}, {}", text(a), text(b)));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Decay, LossKind};

    fn refusal(text: &str) -> String {
        format!("{:#}", TrainConfig::parse(text).unwrap_err())
    }

    #[test]
    fn a_misspelt_key_is_refused_with_a_suggestion() {
        let error = refusal("lerning_rate = 0.1");
        assert!(error.contains("did you mean `learning_rate`?"), "{error}");
        let error = refusal("[augment]\nflips = [true, true, true]");
        assert!(error.contains("did you mean `flip`?"), "{error}");
        let error = refusal("[preprocess]\nforeground = \"nonzro\"");
        assert!(error.contains("did you mean `nonzero`?"), "{error}");
        let error = refusal("recipe = \"nnunet\"");
        assert!(error.contains("pendse") && error.contains("nnunet"), "{error}");
    }

    #[test]
    fn settings_survive_being_written() {
        for text in ["preset = \"demo\"", "recipe = \"pendse\"", "recipe = \"invres\""] {
            let config = TrainConfig::parse(text).unwrap();
            let text = toml::to_string(&config).unwrap();
            assert_eq!(TrainConfig::parse(&text).unwrap(), config);
        }
    }

    #[test]
    fn losses_are_named_in_the_settings() {
        let names = [
            (LossKind::DiceCe, "dice_ce"),
            (LossKind::Dice, "dice"),
            (LossKind::Focal, "focal"),
            (LossKind::DiceFocal, "dice_focal"),
        ];
        for (loss, name) in names {
            let config = TrainConfig { loss, ..TrainConfig::default() };
            let line = format!("loss = \"{name}\"");
            assert!(toml::to_string(&config).unwrap().lines().any(|written| written == line));
            assert_eq!(TrainConfig::parse(&line).unwrap(), config);
        }
        let error = refusal("loss = \"focl\"");
        assert!(error.contains("did you mean `focal`?"), "{error}");
    }

    #[test]
    fn differences_name_the_setting() {
        let a = TrainConfig::default();
        let mut b = TrainConfig { steps: 7.into(), log_every: 99.into(), workers: 9, ..a.clone() };
        b.augment.gain = 0.5;
        b.memory_gib = 1.0;
        assert_eq!(a.differences(&b), ["augment.gain: 0.25, 0.5", "steps: 5000, 7"]);
        assert!(a.differences(&a).is_empty());
    }

    #[test]
    fn later_sources_go_before_earlier_ones() {
        let settings = |recipe, base, single: &[&str]| {
            let single: Vec<String> = single.iter().map(|s| s.to_string()).collect();
            Sources { recipe, base, files: &[], single: &single }.settings()
        };
        let paper = settings(Some("pendse"), None, &[]).unwrap();
        assert_eq!((paper.decay, paper.preset.as_deref()), (Decay::Steps, Some("mbconv-base")));
        let own = ["decay=cosine", "augment.noise = 0.25", "steps=10 epochs", "preset=demo"];
        let own = settings(Some("pendse"), None, &own).unwrap();
        assert_eq!((own.decay, own.milestones.len()), (Decay::Cosine, 0));
        assert_eq!((own.steps, own.augment.noise), (StepsOrEpochs::Epochs(10.0), 0.25));
        assert_eq!(own.preset.as_deref(), Some("demo"));
        assert_eq!(own.augment.flip, paper.augment.flip);
        let network =
            settings(None, Some(&own), &["network={widths=[8,16],decoder=\"conv1\",groups=4}"]);
        let network = network.unwrap();
        assert!(network.preset.is_none() && network.network.is_some());
        assert_eq!(network.steps, own.steps);
    }

    #[test]
    fn a_later_file_overrides_an_earlier_one() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            file
        };
        let data =
            write("data.toml", "recipe = \"brugger\"\nsteps = 7\nseed = 3\n[augment]\nnoise = 0.5");
        let network = write(
            "network.toml",
            "seed = 4\n[network]\nwidths = [8, 16]\ngroups = 4\ndecoder = \"conv1\"",
        );
        let of = |files: &[PathBuf]| Sources { files, ..Sources::default() }.settings().unwrap();
        let both = of(&[data.clone(), network.clone()]);
        assert_eq!((both.steps, both.seed, both.augment.noise), (7.into(), 4, 0.5));
        assert_eq!(both.recipe.as_deref(), Some("brugger"));
        assert_eq!(both.network_settings().unwrap().widths, [8, 16]);
        assert_eq!(of(&[network, data]).seed, 3);
    }

    #[test]
    fn a_wrong_single_setting_is_refused_with_its_text() {
        for (single, part) in [
            ("augment.noize=1", "did you mean `noise`?"),
            ("steps", "KEY=VALUE"),
            ("a b=1", "a setting's name"),
            ("steps=soon", "expected a number of steps"),
            ("seed=1\nsteps=3", "in --set"),
            ("recipe=brugger", "--recipe"),
        ] {
            let single = [single.to_string()];
            let error = Sources { single: &single, ..Sources::default() }.settings().unwrap_err();
            let error = format!("{error:#}");
            assert!(error.contains(part), "{error}");
        }
    }
}
