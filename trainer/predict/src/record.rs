//! What stands beside every result: `NAME.json` says which models made it, of which scan, and how.
//! A run that was interrupted goes on by it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::backend::EngineName;
use super::fit::Choice;
use super::members::ModelId;
use super::profile::Selection;
use super::settings::{Ensemble, Largest, Mode, Settings};
use trainer_data::data_set::ScanBytes;
use trainer_run::{DISCLAIMER, files};

/// The largest record that is read.
const MAX_BYTES: u64 = 1 << 20;

/// What a result is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// That this is for research only.
    pub disclaimer: String,
    /// The case's name.
    pub case: String,
    /// SHA-256 over the scan's files in the order of the channels, in hexadecimal.
    pub scan_sha256: String,
    /// What was asked for.
    pub made_by: MadeBy,
    /// For each model that ran, what it was shown.
    pub shown: Vec<Choice>,
    /// What a sliding window means, and maps in half precision, where there were some.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// What a user should know about the scan's files, such as two voxel sizes in one header.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Which of the models predicted, where one was selected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<Selection>,
    /// The regions' volumes.
    pub volumes: Vec<RegionVolume>,
    /// SHA-256 of every file of the result besides this one, in hexadecimal, by its name in the
    /// folder: what was changed since is told by it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub written: BTreeMap<String, String>,
    /// Where it was computed.
    pub device: String,
    /// When, in UTC.
    pub made_at: String,
    /// How long it took.
    pub elapsed_secs: f64,
}

/// A region's volume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegionVolume {
    /// The region's name.
    pub region: String,
    /// Its volume.
    pub volume_ml: f64,
}

/// All that decides a result besides the scan and the machine's memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MadeBy {
    /// Version of the code.
    pub rewind: String,
    /// The models, in order.
    pub models: Vec<ModelId>,
    /// What ran them.
    #[serde(default)]
    pub engine: EngineName,
    /// How they become one answer.
    pub ensemble: Ensemble,
    /// SHA-256 of the profile that they are selected by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_sha256: Option<String>,
    /// What they were to be shown at once.
    pub mode: Mode,
    /// The window that was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<[usize; 3]>,
    /// The share of a window that the next one overlaps.
    pub overlap: f64,
    /// The axes of test-time flips.
    pub flips: Vec<String>,
    /// Where only the largest connected part was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest_component: Option<Largest>,
    /// Whether probabilities were written.
    pub probabilities: bool,
}

impl MadeBy {
    /// By these models and settings, with burn.
    pub fn new(models: Vec<ModelId>, settings: &Settings, profile: Option<&str>) -> MadeBy {
        MadeBy {
            rewind: env!("CARGO_PKG_VERSION").into(),
            models,
            engine: EngineName::default(),
            ensemble: settings.ensemble,
            profile_sha256: profile.map(|json| hex::encode(Sha256::digest(json))),
            mode: settings.mode,
            window: settings.window,
            overlap: settings.overlap,
            flips: settings.flip_names(),
            largest_component: settings.largest,
            probabilities: settings.probabilities,
        }
    }

    /// The same in one line, which says whether results belong together.
    pub fn fingerprint(&self) -> String {
        let json = serde_json::to_vec(self).expect("settings are plain values");
        hex::encode(Sha256::digest(json))
    }

    /// What differs, as "name: then, now".
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

impl Record {
    /// Of a result that was begun at `started`.
    pub fn new(case: &str, scan_sha256: String, made_by: MadeBy, started: SystemTime) -> Record {
        Record {
            disclaimer: DISCLAIMER.into(),
            case: case.into(),
            scan_sha256,
            made_by,
            shown: Vec::new(),
            note: String::new(),
            warnings: Vec::new(),
            selection: None,
            volumes: Vec::new(),
            written: BTreeMap::new(),
            device: String::new(),
            made_at: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            elapsed_secs: started.elapsed().map_or(0.0, |elapsed| elapsed.as_secs_f64()),
        }
    }

    /// The same, with what the models were shown, and what that means.
    pub fn with_shown(self, shown: Vec<Choice>) -> Record {
        let mut notes: Vec<&str> = shown.iter().flat_map(Choice::notes).collect();
        notes.sort_unstable();
        notes.dedup();
        Record { note: notes.join(" "), shown, ..self }
    }

    /// Reads the record of a result; none where there is none that can be read.
    pub fn find(file: &Path) -> Option<Record> {
        serde_json::from_slice(&files::read(file, MAX_BYTES).ok()?).ok()
    }

    /// Writes the record.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self).expect("a record is plain data");
        files::write(file, json.as_bytes())
    }
}

/// SHA-256 over files in their order, in hexadecimal.
///
/// # Errors
/// When one cannot be read.
pub fn sha256_of(paths: &[PathBuf]) -> Result<String> {
    let mut digest = Sha256::new();
    for path in paths {
        ScanBytes::read(path)?.update_digest(&mut digest);
    }
    Ok(hex::encode(digest.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_from_before_there_were_two_engines_are_of_burn() {
        let now = MadeBy::new(Vec::new(), &Settings::default(), None);
        let mut json = serde_json::to_value(&now).unwrap();
        assert_eq!(json.as_object_mut().unwrap().remove("engine"), Some("burn".into()));
        assert_eq!(serde_json::from_value::<MadeBy>(json).unwrap(), now);
    }

    #[test]
    fn what_was_asked_differently_is_named() {
        let then = MadeBy::new(Vec::new(), &Settings::default(), None);
        assert_eq!(then.differences(&then), [""; 0]);
        let settings = Settings {
            flips: [true, false, false],
            largest: Some(Largest::Regions),
            ..Settings::default()
        };
        let now = MadeBy::new(Vec::new(), &settings, None);
        let expected = ["flips: [], [\"right\"]", "largest_component: none, \"regions\""];
        assert_eq!(then.differences(&now), expected);
    }
}
