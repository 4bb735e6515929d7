//! The record beside each result, `NAME.json`: the models, the scan and the settings. An
//! interrupted run continues by the records.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Result;
use model_core::prepare::PreparationRecord;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use super::made_by::MadeBy;

use super::extent::ChosenExtent;
use super::profile::Selection;
use trainer_data::data_set::ScanBytes;
use trainer_run::{DISCLAIMER, files};

/// The largest record that is read.
const MAX_BYTES: u64 = 1 << 20;

/// The record of a result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The statement that this is for research only.
    pub disclaimer: String,
    /// The case's name.
    pub case: String,
    /// SHA-256 over the scan's files in the order of the channels, in hexadecimal.
    pub scan_sha256: String,
    /// The models and settings.
    pub made_by: MadeBy,
    /// The extent of each model that ran.
    #[serde(rename = "shown")]
    pub extents: Vec<ChosenExtent>,
    /// The notes on tiles and on feature maps in f16, if there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Warnings about the scan's files, such as two voxel sizes in one header.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The preparation of the scan, if `rewind prepare` or `--prepare` made its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preparation: Option<PreparationRecord>,
    /// The selected model, if the ensemble selects one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<Selection>,
    /// The regions' volumes.
    pub volumes: Vec<RegionVolume>,
    /// SHA-256 of every other file of the result, in hexadecimal, by its name in the folder. Later
    /// changes of a file are recognized by it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", rename = "written")]
    pub sha256_by_file: BTreeMap<String, String>,
    /// The device that computed the result.
    pub device: String,
    /// The time in UTC.
    pub made_at: String,
    /// The duration.
    pub elapsed_secs: f64,
}

/// A region's volume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegionVolume {
    /// The region's name.
    pub region: String,
    /// The region's volume.
    pub volume_ml: f64,
}

impl Record {
    /// Returns the record of a result whose computation began at `started`.
    pub fn new(case: &str, scan_sha256: String, made_by: MadeBy, started: SystemTime) -> Record {
        Record {
            disclaimer: DISCLAIMER.into(),
            case: case.into(),
            scan_sha256,
            made_by,
            extents: Vec::new(),
            note: None,
            warnings: Vec::new(),
            preparation: None,
            selection: None,
            volumes: Vec::new(),
            sha256_by_file: BTreeMap::new(),
            device: String::new(),
            made_at: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            elapsed_secs: started.elapsed().map_or(0.0, |elapsed| elapsed.as_secs_f64()),
        }
    }

    /// Returns the record with the models' extents and the notes on these.
    pub fn with_extents(self, extents: Vec<ChosenExtent>) -> Record {
        let mut notes: Vec<&str> = extents.iter().flat_map(ChosenExtent::notes).collect();
        notes.sort_unstable();
        notes.dedup();
        let note = (!notes.is_empty()).then(|| notes.join(" "));
        Record { note, extents, ..self }
    }

    /// Reads the record of a result. Returns `None` if there is no readable record.
    pub fn find(file: &Path) -> Option<Record> {
        serde_json::from_slice(&files::read(file, MAX_BYTES).ok()?).ok()
    }

    /// Writes the record.
    ///
    /// # Errors
    /// Errors if the file cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self).expect("a record is plain data");
        files::write(file, json.as_bytes())
    }
}

/// Returns the SHA-256 over files in their order, in hexadecimal.
///
/// # Errors
/// Errors if a file cannot be read.
pub fn sha256_of(paths: &[PathBuf]) -> Result<String> {
    let mut digest = Sha256::new();
    for path in paths {
        ScanBytes::read(path)?.update_digest(&mut digest);
    }
    Ok(hex::encode(digest.finalize()))
}
