//! The settings of a training run: `train.toml`. Every field has a default, so that a file names
//! only what it changes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use model_core::{PreprocessConfig, UNetConfig, Vae};
use serde::{Deserialize, Serialize};

use crate::suggest;

mod augment;
mod network;

pub use augment::AugmentSettings;
pub use network::Backward;

/// Everything that decides the result of a run, besides the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// A network by name, one of [`PRESETS`](model_core::config::PRESETS); `rewind train --help`
    /// lists them. Left out where `[network]` describes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// What the backward pass keeps of the network, in place of what the network itself says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backward: Option<Backward>,
    /// Decides the split, the initial weights and every draw.
    pub seed: u64,
    /// The fraction of the cases that is held out for validation. With 0 the training cases
    /// themselves are measured, which says nothing about others.
    pub held_out: f64,
    /// Number of optimizer steps.
    pub steps: usize,
    /// Patches a step.
    pub batch: usize,
    /// Voxels of a patch along right, front, top.
    pub patch: [usize; 3],
    /// The fraction of the patches that is centred on a foreground voxel, each label as often.
    pub foreground_fraction: f64,
    /// What the optimizer lessens.
    pub loss: LossKind,
    /// The highest learning rate of Adam.
    pub learning_rate: f64,
    /// Steps over which the learning rate rises to its highest.
    pub warm_up: usize,
    /// How the learning rate falls afterwards.
    pub decay: Decay,
    /// Decoupled weight decay (Loshchilov and Hutter 2019); 0 is plain Adam.
    pub weight_decay: f64,
    /// The gradient is scaled down to this norm where it is longer; 0 turns that off.
    pub clip_norm: f64,
    /// The validated and exported weights are a moving average of those that are trained, with
    /// this factor a step; 0 turns that off.
    pub average: f64,
    /// Steps between validations.
    pub validate_every: usize,
    /// Steps between checkpoints; a validation is followed by one too.
    pub checkpoint_every: usize,
    /// Steps between lines in metrics.csv.
    pub log_every: usize,
    /// The folder of preprocessed cases, shared by runs; the user's cache folder unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
    /// Preprocessed cases are kept in memory up to this size, and read from the cache beyond it.
    pub memory_gib: f64,
    /// Threads that prepare patches while the device trains; 0 for as many as the machine suits.
    pub workers: usize,
    /// A network in full, instead of a preset; its channels and outputs are the task's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<UNetConfig>,
    /// A variational branch for the network, preset or not; `[vae]` alone gives the one of the 2022
    /// paper. Its patch is that of the training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vae: Option<Vae>,
    /// How a scan becomes the network's input; as it is, unless given. Skull-stripped scans (BraTS,
    /// the phantoms) want `foreground = "nonzero"` with `crop = true`. What a data set needs is
    /// never guessed from its voxels: background can be a constant that is not zero.
    pub preprocess: PreprocessConfig,
    /// Random changes of the patches.
    pub augment: AugmentSettings,
}

impl Default for TrainConfig {
    fn default() -> Self {
        TrainConfig {
            preset: None,
            backward: None,
            seed: 0,
            held_out: 0.2,
            steps: 5000,
            batch: 2,
            patch: [32; 3],
            foreground_fraction: 1.0 / 3.0,
            loss: LossKind::DiceCe,
            learning_rate: 2e-3,
            warm_up: 50,
            decay: Decay::Polynomial,
            weight_decay: 0.0,
            clip_norm: 12.0,
            average: 0.99,
            validate_every: 500,
            checkpoint_every: 250,
            log_every: 10,
            cache: None,
            memory_gib: 8.0,
            workers: 0,
            network: None,
            vae: None,
            preprocess: PreprocessConfig::default(),
            augment: AugmentSettings::default(),
        }
    }
}

/// What a network's answer is compared with the reference by. Regions are answered by sigmoids,
/// exclusive labels by a softmax; Dice is the soft one, smoothed by 1 and with plain sums, not
/// squares, in the denominator; for exclusive labels background is left out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// One minus Dice, averaged over regions or labels, plus cross-entropy, averaged over voxels
    /// and regions, as nnU-Net does (Isensee et al. 2021).
    DiceCe,
    /// The sum, not the mean, of one minus Dice over regions or labels (Brügger et al. 2019,
    /// section 2, "Training"; what the paper leaves open is as in its code).
    Dice,
    /// Focal loss, averaged as cross-entropy is, with γ = 2 and for regions α = 0.25 (Lin et al.
    /// 2017). For exclusive labels its form for many classes, without α.
    Focal,
    /// As `dice_ce`, with focal loss for cross-entropy; AnatomyNet adds the two so (Zhu et al.
    /// 2019).
    DiceFocal,
}

/// How the learning rate falls after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// As (1 − t)^0.9 with t from 0 to 1, as nnU-Net does.
    Polynomial,
    /// As half a cosine wave.
    Cosine,
    /// Not at all.
    Constant,
}

impl TrainConfig {
    /// Reads settings as TOML.
    ///
    /// # Errors
    /// What is wrong and where; for a misspelt key, the one that was probably meant.
    pub fn parse(text: &str) -> Result<TrainConfig> {
        toml::from_str(text).map_err(|error| {
            let advice = suggest::did_you_mean(error.message());
            anyhow::anyhow!("{}{advice}", error.to_string().trim_end())
        })
    }

    /// Reads a file of settings.
    ///
    /// # Errors
    /// As [`TrainConfig::parse`], with the file's name.
    pub fn read(file: &Path) -> Result<TrainConfig> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read the settings {}", file.display()))?;
        TrainConfig::parse(&text).with_context(|| format!("in the settings {}", file.display()))
    }

    /// Refuses values that mean nothing.
    ///
    /// # Errors
    /// Names the first such setting.
    pub fn check(&self) -> Result<()> {
        let fraction = |name: &str, value: f64| {
            ensure!(
                (0.0..=1.0).contains(&value),
                "settings: expected {name} from 0 to 1, found {value}"
            );
            Ok(())
        };
        let at_least_one = |name: &str, value: usize| {
            ensure!(value >= 1, "settings: expected {name} of at least 1, found {value}");
            Ok(())
        };
        let not_negative = |name: &str, value: f64| {
            ensure!(
                value >= 0.0 && value.is_finite(),
                "settings: expected {name} of at least 0, found {value}"
            );
            Ok(())
        };
        fraction("foreground_fraction", self.foreground_fraction)?;
        fraction("augment.spatial_fraction", self.augment.spatial_fraction)?;
        ensure!(
            (0.0..=0.9).contains(&self.held_out),
            "settings: expected held_out from 0 to 0.9, found {}",
            self.held_out
        );
        ensure!(
            (0.0..1.0).contains(&self.average),
            "settings: expected average from 0 to below 1, found {}",
            self.average
        );
        ensure!(
            self.learning_rate > 0.0 && self.learning_rate < 10.0,
            "settings: expected a learning_rate above 0 and below 10, found {}",
            self.learning_rate
        );
        at_least_one("steps", self.steps)?;
        at_least_one("batch", self.batch)?;
        at_least_one("validate_every", self.validate_every)?;
        at_least_one("checkpoint_every", self.checkpoint_every)?;
        at_least_one("log_every", self.log_every)?;
        not_negative("weight_decay", self.weight_decay)?;
        not_negative("clip_norm", self.clip_norm)?;
        not_negative("memory_gib", self.memory_gib)?;
        not_negative("augment.gain", self.augment.gain.into())?;
        not_negative("augment.shift", self.augment.shift.into())?;
        not_negative("augment.noise", self.augment.noise.into())?;
        not_negative("augment.rotate_degrees", self.augment.rotate_degrees.into())?;
        ensure!(
            (0.0..=0.9).contains(&self.augment.scale),
            "settings: expected augment.scale from 0 to 0.9, found {}",
            self.augment.scale
        );
        let voxels = self.patch.iter().try_fold(self.batch, |product, &p| product.checked_mul(p));
        ensure!(
            voxels.is_some_and(|voxels| voxels <= 1 << 31),
            "settings: expected at most 2^31 voxels a step, found {} patches of {:?}",
            self.batch,
            self.patch
        );
        self.preprocess.check()?;
        Ok(())
    }

    /// The settings whose value differs, as "name: this one's, the other's"; those that only
    /// decide what is logged and kept are left out.
    pub fn differences(&self, other: &TrainConfig) -> Vec<String> {
        let table = |config: &TrainConfig| {
            let config = TrainConfig {
                log_every: 1,
                cache: None,
                memory_gib: 0.0,
                workers: 0,
                ..config.clone()
            };
            toml::Table::try_from(config).expect("settings are plain values")
        };
        let mut found = Vec::new();
        differing("", &table(self), &table(other), &mut found);
        found
    }
}

fn differing(path: &str, a: &toml::Table, b: &toml::Table, found: &mut Vec<String>) {
    let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let path = format!("{path}{key}");
        match (a.get(key), b.get(key)) {
            (Some(toml::Value::Table(a)), Some(toml::Value::Table(b))) => {
                differing(&format!("{path}."), a, b, found);
            }
            (a, b) if a != b => {
                let text = |v: Option<&toml::Value>| v.map_or("none".into(), |v| v.to_string());
                found.push(format!("{path}: {}, {}", text(a), text(b)));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_is_refused_with_a_suggestion() {
        let error = TrainConfig::parse("lerning_rate = 0.1").unwrap_err().to_string();
        assert!(error.contains("did you mean `learning_rate`?"), "{error}");
        let error = TrainConfig::parse("[augment]\nflips = [true, true, true]").unwrap_err();
        assert!(error.to_string().contains("did you mean `flip`?"), "{error}");
        let error = TrainConfig::parse("[preprocess]\nforeground = \"nonzro\"").unwrap_err();
        assert!(error.to_string().contains("did you mean `nonzero`?"), "{error}");
    }

    #[test]
    fn settings_survive_being_written() {
        let config = TrainConfig { preset: Some("demo".into()), ..TrainConfig::default() };
        let text = toml::to_string(&config).unwrap();
        assert_eq!(TrainConfig::parse(&text).unwrap(), config);
        assert!(config.check().is_ok());
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
        // Settings that were written before there was a choice.
        assert_eq!(TrainConfig::parse("").unwrap().loss, LossKind::DiceCe);
        let error = TrainConfig::parse("loss = \"focl\"").unwrap_err().to_string();
        assert!(error.contains("did you mean `focal`?"), "{error}");
    }

    #[test]
    fn differences_name_the_setting() {
        let a = TrainConfig::default();
        let mut b = TrainConfig { steps: 7, log_every: 99, ..a.clone() };
        b.augment.gain = 0.5;
        assert_eq!(a.differences(&b), ["augment.gain: 0.10000000149011612, 0.5", "steps: 5000, 7"]);
        assert!(a.differences(&a).is_empty());
    }

    #[test]
    fn values_that_mean_nothing_are_refused() {
        for text in ["steps = 0", "held_out = 1.5", "learning_rate = nan", "batch = 4000000"] {
            let config = TrainConfig::parse(text).unwrap();
            assert!(config.check().is_err(), "{text}");
        }
    }
}
