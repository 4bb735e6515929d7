//! Prepares examinations on the way to their segmentation.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use model_core::Card;
use model_core::prepare::PreparationRecord;
use serde::Deserialize;
use trainer_data::data_set::CaseFiles;
use trainer_data::data_set::listing::{file_name, folder_name};
use trainer_prepare::{Examination, RECORD, Settings};
use trainer_run::files;
use trainer_run::reporter::Reporter;

use super::inputs::Inputs;

/// The folder of prepared examinations in the folder of the results.
const PREPARED: &str = "prepared";
/// The largest record of a preparation that is read.
const MAX_RECORD_BYTES: u64 = 1 << 20;

/// Prepares each path as one examination, into `out/prepared/NAME`. An examination that cannot be
/// prepared is a fault of the inputs, and does not stop the others.
///
/// # Errors
/// Errors if two examinations have the same name, or if no examination can be prepared.
pub fn prepare_all(
    paths: &[PathBuf],
    card: &Card,
    settings: &Settings,
    out: &Path,
    reporter: &dyn Reporter,
) -> Result<Inputs> {
    let mut inputs = Inputs::default();
    let mut names = Vec::new();
    for path in paths {
        let name = examination_name(path);
        ensure!(
            !names.contains(&name.to_lowercase()),
            "expected examinations of different names, found {name:?} twice"
        );
        names.push(name.to_lowercase());
        match prepare(path, card, settings, &out.join(PREPARED).join(&name), reporter) {
            Ok(images) => inputs.cases.push(CaseFiles { name, images, label: None }),
            Err(error) => {
                let fault = format!("{}: {error:#}", path.display());
                reporter.message(&fault);
                inputs.faults.push(fault);
            }
        }
    }
    ensure!(
        !inputs.cases.is_empty(),
        "no examination could be prepared:\n  {}",
        inputs.faults.join("\n  ")
    );
    Ok(inputs)
}

/// Prepares one examination, and returns the files of its channels.
fn prepare(
    path: &Path,
    card: &Card,
    settings: &Settings,
    folder: &Path,
    reporter: &dyn Reporter,
) -> Result<Vec<PathBuf>> {
    let channels = &card.task.channels;
    let mut examination = Examination::open(&[path.into()], channels, settings, reporter)?;
    let prepared = examination.prepare(card, settings, reporter)?;
    reporter.message(&examination.listing(channels));
    prepared.record.sentences().iter().for_each(|text| reporter.message(text));
    trainer_prepare::write(&prepared, folder, true)
        .with_context(|| format!("cannot write {}", folder.display()))
}

/// Returns the record of the preparation of a case whose channels are in a prepared folder.
pub(crate) fn record_beside(images: &[PathBuf]) -> Option<PreparationRecord> {
    #[derive(Deserialize)]
    struct File {
        preparation: PreparationRecord,
    }
    let folder = files::folder_of(images.first()?);
    let bytes = files::read(&folder.join(RECORD), MAX_RECORD_BYTES).ok()?;
    Some(serde_json::from_slice::<File>(&bytes).ok()?.preparation)
}

/// Returns the name of an examination's results: that of its folder or archive.
fn examination_name(path: &Path) -> String {
    match path.is_dir() {
        true => folder_name(path),
        false => {
            let name = file_name(path);
            let stem = model_core::strip_ending(&name, ".zip").or(model_core::scan_stem(&name));
            stem.unwrap_or(&name).to_string()
        }
    }
}
