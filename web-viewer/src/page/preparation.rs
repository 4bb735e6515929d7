//! Prepares the channels in the worker: places them on one grid, and finds the brain. Each step can be
//! taken back.

use std::sync::Arc;

use js_sys::{Float32Array, Uint8Array};
use leptos::prelude::*;
use model_core::prepare::{BrainStep, PlacementChoice};
use model_core::{LabelMap, Volume};

use super::client::{ResourceHandle, request};
use super::opened::{ChannelSlot, Model, open_server_model};
use super::prepared::{MaskPainting, PlacedChannel, Preparation};
use super::state::{ActionToken, Interruption, Page};
use super::status::Phase;
use crate::protocol::{ChannelId, ModelId, WorkerRequest, WorkerResponse};
use crate::slice::Window;

/// The network for brain extraction on the page's server.
const BRAIN_NETWORK: &str = "models/brain-extraction.safetensors";

/// Prepares the channels if all that are needed are there.
pub async fn prepare(page: Page, token: ActionToken) -> Result<(), Interruption> {
    page.preparation.set(None);
    page.before.set(None);
    page.painting.set(MaskPainting::default());
    let Some(model) = page.model.get_untracked() else { return Ok(()) };
    if !page.has_needed_channels() {
        return Ok(());
    }
    let mut preparation = place(page, token).await?;
    find_brain(page, token, &model, &mut preparation).await?;
    page.show_preparation(preparation);
    Ok(())
}

/// Places the channels on one grid.
async fn place(page: Page, token: ActionToken) -> Result<Preparation, Interruption> {
    page.set_status(Phase::Loading, "Placing the scans on one grid");
    let slots = page.slots.get_untracked();
    let placed = ResourceHandle::new();
    let mut settings = page.choices.with_untracked(|choices| choices.placement.clone());
    if settings.choices.is_empty() && are_of_one_file(&slots) {
        settings.choices = vec![PlacementChoice::AsStored];
    }
    let place = WorkerRequest::Place {
        resource: placed.id(),
        channels: slots.iter().map(|slot| slot.loaded.as_ref().map(|l| l.id())).collect(),
        names: slots.iter().map(|slot| slot.name.clone()).collect(),
        settings,
    };
    let response = request(&place, None).await;
    page.check_current(token)?;
    let (WorkerResponse::Placed { reference, records, is_changed }, arrays) = response? else {
        return Err("the worker did not return the placed scans".to_string().into());
    };
    let grid = slots[reference].loaded.as_ref().map(|loaded| loaded.volume.grid().clone());
    let grid = grid.ok_or_else(|| "the reference is missing".to_string())?;
    let mut arrays = arrays.iter();
    let mut channels = Vec::new();
    for (slot, is_changed) in slots.into_iter().zip(is_changed) {
        let channel = match (slot.loaded, is_changed) {
            (Some(loaded), false) => {
                PlacedChannel { volume: loaded.volume, default_window: loaded.default_window }
            }
            (loaded, _) => {
                let values = arrays.next().map(Float32Array::from).map(|array| array.to_vec());
                let values = values.unwrap_or_default();
                let default_window =
                    loaded.map_or_else(|| Window::robust(&values), |l| l.default_window);
                let volume = Volume::new(grid.clone(), values).map_err(|e| e.to_string())?;
                PlacedChannel { volume: Arc::new(volume), default_window }
            }
        };
        channels.push(channel);
    }
    let brain = BrainStep::NotNeeded;
    Ok(Preparation { placed, reference, channels, records, brain, mask: None })
}

/// Returns whether all channels are of one file, which placed them already.
fn are_of_one_file(slots: &[ChannelSlot]) -> bool {
    let mut files = slots.iter().filter_map(|slot| Some(slot.loaded.as_ref()?.handle.id()));
    let first = files.next();
    files.all(|file| Some(file) == first)
}

/// Finds the brain and masks the channels, if the model expects that.
async fn find_brain(
    page: Page,
    token: ActionToken,
    model: &Model,
    preparation: &mut Preparation,
) -> Result<(), Interruption> {
    let present = preparation.placed_ids().into_iter().enumerate();
    let channels: Vec<ChannelId> =
        present.filter(|(n, _)| preparation.is_present(*n)).map(|(_, id)| id).collect();
    let choice = page.choices.with_untracked(|choices| choices.brain);
    let ask = |network| WorkerRequest::FindBrain {
        channels: channels.clone(),
        model: model.id(),
        choice,
        network,
    };
    let mut response = request(&ask(None), None).await;
    if let Ok((WorkerResponse::NeedsBrainNetwork, _)) = response {
        page.check_current(token)?;
        page.set_status(Phase::Loading, "Finding the brain");
        let network = brain_network(page).await?;
        response = request(&ask(Some(network)), None).await;
    }
    page.check_current(token)?;
    let (WorkerResponse::Brain(step), arrays) = response? else {
        return Err("the worker did not return the brain".to_string().into());
    };
    preparation.brain = step;
    if let BrainStep::Extracted { .. } = step {
        let labels = Uint8Array::from(arrays.get(0)).to_vec();
        let grid = preparation.channels[0].volume.grid().clone();
        let mask = LabelMap::new(grid, labels).map_err(|error| error.to_string())?;
        apply_mask(preparation, Arc::new(mask)).await?;
        page.check_current(token)?;
    }
    Ok(())
}

/// Masks the placed channels in the worker.
pub async fn apply_mask(preparation: &mut Preparation, mask: Arc<LabelMap>) -> Result<(), String> {
    let masked = ResourceHandle::new();
    let apply =
        WorkerRequest::ApplyBrain { channels: preparation.placed_ids(), resource: masked.id() };
    let bytes = Uint8Array::from(mask.labels()).buffer();
    request(&apply, Some(bytes.into())).await?;
    preparation.mask = Some((mask, masked));
    Ok(())
}

/// Returns the network for brain extraction, opened in the worker on first use.
///
/// # Errors
/// A message for the user if the server does not have it.
pub async fn brain_network(page: Page) -> Result<ModelId, String> {
    if let Some(network) = page.brain_network.get_untracked() {
        return Ok(network.id());
    }
    let network = open_server_model(BRAIN_NETWORK).await?;
    let id = network.id();
    page.brain_network.set(Some(Arc::new(network)));
    Ok(id)
}

/// Loads the channel `n` as its header places it on the reference's grid, to compare it with the
/// registered one.
pub async fn load_before(page: Page, n: usize) -> Result<(), String> {
    let Some(preparation) = page.preparation.get_untracked() else { return Ok(()) };
    let id = |n: usize| {
        page.slots.with_untracked(|slots| slots.get(n)?.loaded.as_ref().map(|loaded| loaded.id()))
    };
    let (Some(channel), Some(reference)) = (id(n), id(preparation.reference)) else {
        return Ok(());
    };
    let resample = WorkerRequest::ResampleByHeader { channel, reference };
    let (_, arrays) = request(&resample, None).await?;
    let values = Float32Array::from(arrays.get(0)).to_vec();
    let grid = preparation.channels[n].volume.grid().clone();
    let volume = Volume::new(grid, values).map_err(|error| error.to_string())?;
    page.before.set(Some((n, Arc::new(volume))));
    Ok(())
}
