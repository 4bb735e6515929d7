//! Loads files as the channels of a scan, from their bytes to a planned run.

use std::sync::Arc;

use leptos::prelude::*;
use model_core::{DEFAULT_TOLERANCE_VOXELS, Grid, Volume};

use super::client::request;
use super::opened::{ChannelSlot, LoadedChannel, SeriesEntry};
use super::preparation;
use super::series::{self, ScanFile};
use super::state::{ActionToken, Interruption, Page};
use super::status::Phase;
use crate::protocol::{WorkerRequest, WorkerResponse};
use crate::{budget, messages};

/// Loads files into `slot`, or into the slots that their tags, names, channels and intensities
/// determine. Then prepares the channels and plans a run.
pub async fn load(
    page: Page,
    token: ActionToken,
    files: Vec<ScanFile>,
    slot: Option<usize>,
) -> Result<(), Interruption> {
    // Another action may have begun, and filled the slots, while the files were read.
    page.check_current(token)?;
    let opened = series::open_study(page, files).await;
    page.check_current(token)?;
    let opened = opened?;
    if page.is_from_link.get_untracked() {
        return load_for_link(page, token, opened).await;
    }
    page.clear_result();
    series::add(page, opened, slot);
    use_series(page, token).await
}

/// Decodes the series that are used, prepares their channels and plans a run.
pub async fn use_series(page: Page, token: ActionToken) -> Result<(), Interruption> {
    series::read_used(page, token).await?;
    prepare_and_plan(page, token).await
}

/// Prepares the channels and plans a run.
pub async fn prepare_and_plan(page: Page, token: ActionToken) -> Result<(), Interruption> {
    page.plan.set(None);
    let prepared = preparation::prepare(page, token).await;
    page.check_current(token)?;
    page.progress.set(None);
    prepared?;
    plan_run(page, token).await
}

/// Loads the scan of a result that was opened from a link, on whose grid the scan must be.
async fn load_for_link(
    page: Page,
    token: ActionToken,
    opened: Vec<SeriesEntry>,
) -> Result<(), Interruption> {
    let Some(result) = page.result.get_untracked() else { return Err(Interruption::Superseded) };
    let grid = result.labels.grid();
    let mut slots = Vec::new();
    let mut error = None;
    for entry in opened {
        for loaded in series::read(page, &entry).await? {
            let name = format!("Scan {}", slots.len() + 1);
            match aligned_to(grid, &loaded) {
                Ok(aligned) => slots.push(ChannelSlot { name, loaded: Some(aligned) }),
                // Of several series, those on the result's grid are shown.
                Err(found) => error = Some((found, loaded.file)),
            }
        }
    }
    page.check_current(token)?;
    if let (true, Some((error, file))) = (slots.is_empty(), error) {
        return Err(Interruption::Failed(format!(
            "this is not the scan of the linked result: {error} (in {file}). Choose the scan that \
             was segmented, or one of the same series on the same grid."
        )));
    }
    page.shown_slot.set(0);
    page.set_slots(slots);
    page.update_status();
    Ok(())
}

/// Reorders a channel's axes to those of `grid`, so that the two can be overlaid.
///
/// # Errors
/// [`model_core::Error::Geometry`] if the channel's grid covers other voxels.
fn aligned_to(grid: &Grid, loaded: &LoadedChannel) -> model_core::Result<LoadedChannel> {
    let alignment = grid.align(loaded.volume.grid(), DEFAULT_TOLERANCE_VOXELS)?;
    let mut aligned = loaded.clone();
    let is_new = |warning: &String| !aligned.warnings.contains(warning);
    if let Some(warning) = alignment.warning().filter(is_new) {
        aligned.warnings.push(warning);
    }
    if !alignment.is_same_order() {
        let voxels = alignment.reorder(aligned.volume.values().to_vec());
        aligned.volume = Arc::new(Volume::new(grid.clone(), voxels)?);
    }
    Ok(aligned)
}

/// Plans a run within the budget, once every slot has its channel.
pub async fn plan_run(page: Page, token: ActionToken) -> Result<(), Interruption> {
    if let Some(inputs) = page.run_inputs()
        && !page.is_from_link.get_untracked()
    {
        page.set_status(Phase::Loading, "Preparing the scan for the network");
        let expected = inputs.model.clone();
        let plan = WorkerRequest::Plan {
            inputs,
            engine: page.engine.get_untracked(),
            budget_bytes: page.budget_mib.get_untracked() << 20,
            max_budget_bytes: budget::MAX_MIB << 20,
        };
        let response = request(&plan, None).await;
        page.check_current(token)?;
        if let (WorkerResponse::Planned { model, engines, outcome }, _) = response? {
            if model != expected {
                let message = messages::wrong_model(&expected.hash, &model.hash);
                return Err(Interruption::Failed(message));
            }
            page.engines.set(engines);
            page.plan.set(Some(outcome));
        }
    }
    page.check_current(token)?;
    page.update_status();
    Ok(())
}
