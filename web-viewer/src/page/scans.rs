//! Loads files as the channels of a scan: the worker decodes them, the page puts them into slots and
//! compares their grids, and the worker plans a run once every slot has its channel.

use std::sync::Arc;

use js_sys::Float32Array;
use leptos::prelude::*;
use model_core::{DEFAULT_TOLERANCE_VOXELS, Grid, Volume};
use wasm_bindgen::JsValue;

use super::client::{ResourceHandle, request};
use super::state::{ActionToken, ChannelSlot, Interruption, LoadedChannel, Page, Phase};
use crate::channel_guess::Guess;
use crate::protocol::{WorkerRequest, WorkerResponse};
use crate::slice::Window;
use crate::{budget, channel_guess, messages};

/// The name and the bytes of a scan's file.
pub struct ScanFile {
    /// The file's name.
    pub name: String,
    /// An `ArrayBuffer`, which is transferred to the worker.
    pub bytes: JsValue,
}

/// Loads files into `slot`, or into the slots that their names and channels determine. Then plans a run.
pub async fn load(
    page: Page,
    token: ActionToken,
    files: Vec<ScanFile>,
    slot: Option<usize>,
) -> Result<(), Interruption> {
    // Another action may have begun, and filled the slots, while the files were read.
    page.check_current(token)?;
    if page.is_from_link.get_untracked() {
        return load_for_link(page, token, files).await;
    }
    let channel_names: Vec<String> =
        page.slots.with_untracked(|slots| slots.iter().map(|slot| slot.name.clone()).collect());
    let file_names: Vec<String> = files.iter().map(|file| file.name.clone()).collect();
    let guesses = match slot {
        // A file that the user chose for a channel is not guessed.
        Some(slot) => vec![Guess::Channel(slot); files.len()],
        None => channel_guess::guess_channels(&file_names, &channel_names),
    };
    let (mut used, mut unused) = (Vec::new(), Vec::new());
    for (file, guess) in files.into_iter().zip(guesses) {
        match guess {
            Guess::Channel(channel) => used.push((file, Some(channel))),
            Guess::AnyChannel => used.push((file, None)),
            Guess::NotAChannel(content) => unused.push(format!("{} is {content}", file.name)),
        }
    }
    let unused = unused.join("; ");
    if used.is_empty() && !unused.is_empty() {
        let expected = channel_names.join(", ");
        return Err(Interruption::Failed(format!(
            "expected scans of {expected}, found none by their names: {unused}. Click a channel to \
             choose its file anyway."
        )));
    }
    // A complete new case replaces the old one, so that the two are not compared.
    if used.len() >= channel_names.len() && slot.is_none() {
        page.reset_slots(channel_names.clone());
    }
    for (file, guessed_slot) in used {
        let file_name = file.name.clone();
        let channels = read(page, file).await?;
        page.check_current(token)?;
        page.clear_result();
        fill_slots(page, &channel_names, guessed_slot, &file_name, channels)?;
    }
    align_channels(page)?;
    plan_run(page, token).await?;
    if !unused.is_empty() {
        page.status.update(|status| status.text += &format!(". Not used: {unused}"));
    }
    Ok(())
}

/// Puts the channels of one file into slots: a single one into the guessed or the first empty slot, or
/// one into each slot.
fn fill_slots(
    page: Page,
    channel_names: &[String],
    guessed_slot: Option<usize>,
    file_name: &str,
    channels: Vec<LoadedChannel>,
) -> Result<(), String> {
    match channels.len() {
        1 => {
            let slot = guessed_slot.or_else(|| first_empty_slot(page)).ok_or_else(|| {
                format!(
                    "every channel has its scan already: click one to replace it (in {file_name})"
                )
            })?;
            channels.into_iter().for_each(|channel| page.fill_slot(slot, channel));
        }
        count if count == channel_names.len() => {
            page.reset_slots(channel_names.to_vec());
            let channels = channels.into_iter().enumerate();
            channels.for_each(|(slot, channel)| page.fill_slot(slot, channel));
        }
        count => {
            let expected = match channel_names.len() {
                1 => "one channel".to_string(),
                all => format!("one channel, or all {all} ({})", channel_names.join(", ")),
            };
            return Err(format!(
                "expected a file with {expected}, found {count} channels (in {file_name})"
            ));
        }
    }
    Ok(())
}

fn first_empty_slot(page: Page) -> Option<usize> {
    page.slots.with_untracked(|slots| slots.iter().position(|slot| slot.loaded.is_none()))
}

/// Reads the channels of one file in the worker.
async fn read(page: Page, file: ScanFile) -> Result<Vec<LoadedChannel>, String> {
    let ScanFile { name, bytes } = file;
    page.set_status(Phase::Loading, format!("Reading {name}"));
    let handle = ResourceHandle::new();
    let read = WorkerRequest::ReadScan { resource: handle.id(), file: name.clone() };
    let (WorkerResponse::Scan { grid, warnings }, arrays) = request(&read, Some(bytes)).await?
    else {
        return Err(format!("the worker did not return the scan (in {name})"));
    };
    let values = arrays.iter().map(|array| Float32Array::from(array).to_vec());
    let channels = values.enumerate().map(|(channel, values)| {
        Ok(LoadedChannel {
            handle: handle.clone(),
            channel,
            file: name.clone(),
            default_window: Window::robust(&values),
            warnings: warnings.clone(),
            volume: Arc::new(Volume::new(grid.clone(), values).map_err(|e| e.to_string())?),
        })
    });
    channels.collect()
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

/// Loads the scan of a result that was opened from a link, on whose grid the scan must be.
async fn load_for_link(
    page: Page,
    token: ActionToken,
    files: Vec<ScanFile>,
) -> Result<(), Interruption> {
    let Some(result) = page.result.get_untracked() else { return Err(Interruption::Superseded) };
    let mut slots = Vec::new();
    for file in files {
        for loaded in read(page, file).await? {
            let name = format!("Scan {}", slots.len() + 1);
            let aligned = aligned_to(result.labels.grid(), &loaded).map_err(|error| {
                format!(
                    "this is not the scan of the linked result: {error} (in {}). Choose the scan \
                     that was segmented, or one of the same series on the same grid.",
                    loaded.file
                )
            })?;
            slots.push(ChannelSlot { name, loaded: Some(aligned) });
        }
    }
    page.check_current(token)?;
    page.windows.set(vec![None; slots.len()]);
    page.shown_slot.set(0);
    page.slots.set(slots);
    page.update_status();
    Ok(())
}

/// Aligns the loaded channels to the first of them.
///
/// # Errors
/// A message for the user if two channels are on different grids.
fn align_channels(page: Page) -> Result<(), String> {
    let loaded_slots = page.slots.with_untracked(|slots| {
        let slots = slots.iter().enumerate();
        slots
            .filter_map(|(n, slot)| Some((n, slot.name.clone(), slot.loaded.clone()?)))
            .collect::<Vec<_>>()
    });
    let Some(((_, first_name, first), others)) = loaded_slots.split_first() else { return Ok(()) };
    for (slot, name, loaded) in others {
        let aligned = aligned_to(first.volume.grid(), loaded).map_err(|error| {
            format!(
                "{name} ({}) is not on the grid of {first_name} ({}): {error}. Choose scans of one \
                 examination that are resampled to one grid.",
                loaded.file, first.file
            )
        })?;
        page.slots.update(|slots| slots[*slot].loaded = Some(aligned));
    }
    Ok(())
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
