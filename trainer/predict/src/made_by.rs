//! The description of a result by its models and settings.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::backend::EngineName;
use super::members::ModelId;
use super::settings::{Ensemble, LargestComponent, Mode, Settings};

/// Everything that decides a result, except the scan and the machine's memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MadeBy {
    /// Version of the code.
    pub rewind: String,
    /// The models, in order.
    pub models: Vec<ModelId>,
    /// The software that ran the networks.
    #[serde(default)]
    pub engine: EngineName,
    /// The combination of the models.
    pub ensemble: Ensemble,
    /// SHA-256 of the profile by which a model is selected, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_sha256: Option<String>,
    /// The part of a volume that the networks see at once.
    pub mode: Mode,
    /// The requested tile.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "window")]
    pub tile_dims: Option<[usize; 3]>,
    /// The least share of a tile that overlaps with the next tile.
    pub overlap: f64,
    /// The axes of test-time flips.
    pub flips: Vec<String>,
    /// The labels of which only the largest component was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest_component: Option<LargestComponent>,
    /// Whether probabilities were written.
    pub probabilities: bool,
}

impl MadeBy {
    /// Returns the description of a result by these models and settings, with burn.
    pub fn new(models: Vec<ModelId>, settings: &Settings, profile: Option<&str>) -> MadeBy {
        MadeBy {
            rewind: env!("CARGO_PKG_VERSION").into(),
            models,
            engine: EngineName::default(),
            ensemble: settings.ensemble,
            profile_sha256: profile.map(|json| hex::encode(Sha256::digest(json))),
            mode: settings.mode,
            tile_dims: settings.tile_dims,
            overlap: settings.overlap,
            flips: settings.flip_names(),
            largest_component: settings.largest_component,
            probabilities: settings.probabilities,
        }
    }

    /// Returns a hash of all values. Results with the same hash belong together.
    pub fn fingerprint(&self) -> String {
        let json = serde_json::to_vec(self).expect("settings are plain values");
        hex::encode(Sha256::digest(json))
    }

    /// Returns the differing values, each as "name: then, now".
    pub fn differences(&self, now: &MadeBy) -> Vec<String> {
        let fields = |made_by: &MadeBy| match serde_json::to_value(made_by) {
            Ok(Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        };
        let (then, now) = (fields(self), fields(now));
        let names: std::collections::BTreeSet<&String> = then.keys().chain(now.keys()).collect();
        let text = |value: Option<&Value>| value.map_or("none".to_string(), Value::to_string);
        let differs = names.into_iter().filter(|name| then.get(*name) != now.get(*name));
        differs.map(|n| format!("{n}: {}, {}", text(then.get(n)), text(now.get(n)))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_without_an_engine_are_of_burn() {
        let now = MadeBy::new(Vec::new(), &Settings::default(), None);
        let mut json = serde_json::to_value(&now).unwrap();
        assert_eq!(json.as_object_mut().unwrap().remove("engine"), Some("burn".into()));
        assert_eq!(serde_json::from_value::<MadeBy>(json).unwrap(), now);
    }

    #[test]
    fn differing_settings_are_named() {
        let then = MadeBy::new(Vec::new(), &Settings::default(), None);
        assert_eq!(then.differences(&then), [""; 0]);
        let settings = Settings {
            flips: [true, false, false],
            largest_component: Some(LargestComponent::Regions),
            ..Settings::default()
        };
        let now = MadeBy::new(Vec::new(), &settings, None);
        let expected = ["flips: [], [\"right\"]", "largest_component: none, \"regions\""];
        assert_eq!(then.differences(&now), expected);
    }
}
