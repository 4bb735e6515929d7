//! Prepares scans in the worker: one grid, registration, and brain extraction.
//!
//! These computations do not wait, so a request to cancel cannot reach them. The page replaces the
//! worker instead.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::rc::Rc;

use js_sys::{Float32Array, Uint8Array};
use model_core::brain::extract_brain;
use model_core::prepare::{
    Brain, BrainChoice, BrainNeed, BrainStep, ContrastDistances, PlacementSettings, brain_need,
    most_likely,
};
use model_core::{Affine, Bundle, LabelMap, Volume, prepare, resample_onto};

use super::progress_reporter::ProgressReporter;
use super::reply::{Reply, done};
use super::state::STATE;
use crate::protocol::{ChannelId, ModelId, RunStage, WorkerResponse};

const NOT_CANCELED: &str = "the preparation ended early";

/// Returns a function that reports the progress of a stage.
fn reporter(request_id: u32, stage: RunStage) -> impl FnMut(f32) -> ControlFlow<()> {
    let mut reporter = ProgressReporter::new(request_id, 1);
    reporter.report(stage, 0.0);
    move |fraction| {
        reporter.report(stage, f64::from(fraction));
        ControlFlow::Continue(())
    }
}

fn volumes(ids: &[ChannelId]) -> Result<Vec<Rc<Volume>>, String> {
    STATE.with_borrow(|state| state.volumes(ids))
}

fn bundle(id: &ModelId) -> Result<Rc<Bundle>, String> {
    STATE.with_borrow(|state| Ok(state.model(id)?.bundle.clone()))
}

/// Places channels on one grid and stores them.
///
/// # Errors
/// A message for the user.
pub fn place(
    request_id: u32,
    resource: u32,
    channels: &[Option<ChannelId>],
    names: &[String],
    settings: &PlacementSettings,
) -> Reply {
    let present: Vec<ChannelId> = channels.iter().copied().flatten().collect();
    let sources = volumes(&present)?;
    let mut remaining = sources.iter();
    let inputs: Vec<Option<&Volume>> = channels
        .iter()
        .map(|id| id.and_then(|_| remaining.next().map(|volume| &**volume)))
        .collect();
    let control = &mut reporter(request_id, RunStage::PlaceChannels);
    let placed = prepare::place(&inputs, names, settings, control);
    let placed = placed.map_err(|error| error.to_string())?.ok_or(NOT_CANCELED)?;
    let (mut arrays, mut is_changed, mut stored) = (Vec::new(), Vec::new(), Vec::new());
    for (n, volume) in placed.volumes.into_iter().enumerate() {
        let volume = match volume {
            // Shared with the original.
            Cow::Borrowed(volume) => {
                sources.iter().find(|source| std::ptr::eq(&***source, volume)).cloned()
            }
            Cow::Owned(volume) => {
                arrays.push(Float32Array::from(volume.values()).into());
                Some(Rc::new(volume))
            }
        };
        is_changed.push(arrays.len() > is_changed.iter().filter(|changed| **changed).count());
        stored.push((ChannelId { resource, channel: n }, volume.ok_or(NOT_CANCELED)?));
    }
    STATE.with_borrow_mut(|state| state.channels.extend(stored));
    let (reference, records) = (placed.reference, placed.records);
    Ok((WorkerResponse::Placed { reference, records, is_changed }, arrays))
}

/// Resamples a channel to another's grid by the positions in their headers.
///
/// # Errors
/// A message for the user.
pub fn resample_by_header(channel: ChannelId, reference: ChannelId) -> Reply {
    let volumes = volumes(&[channel, reference])?;
    let resampled = resample_onto(&volumes[0], volumes[1].grid(), &Affine::IDENTITY);
    let resampled = resampled.map_err(|error| error.to_string())?;
    let voxels = Float32Array::from(resampled.volume.values()).into();
    Ok((WorkerResponse::Resampled, vec![voxels]))
}

/// Finds the brain in placed channels.
///
/// # Errors
/// A message for the user.
pub fn find_brain(
    request_id: u32,
    channels: &[ChannelId],
    model: &ModelId,
    choice: BrainChoice,
    network: Option<&ModelId>,
) -> Reply {
    let channels = volumes(channels)?;
    let channels: Vec<&Volume> = channels.iter().map(|volume| &**volume).collect();
    let config = bundle(model)?.card.preprocess.clone();
    let brain = match (brain_need(&channels, choice, &config), network) {
        (BrainNeed::Known(brain), _) => brain,
        (BrainNeed::Extraction(_), None) => {
            return Ok((WorkerResponse::NeedsBrainNetwork, Vec::new()));
        }
        (BrainNeed::Extraction(scans), Some(network)) => {
            let network = bundle(network)?;
            let control = &mut reporter(request_id, RunStage::FindBrain);
            let mask = extract_brain(&network, &scans, control);
            Brain::Mask(mask.map_err(|error| error.to_string())?.ok_or(NOT_CANCELED)?)
        }
    };
    let step: BrainStep = brain.step(false);
    let arrays = match brain {
        Brain::Mask(mask) => vec![Uint8Array::from(mask.labels()).into()],
        _ => Vec::new(),
    };
    Ok((WorkerResponse::Brain(step), arrays))
}

/// Sets channels to 0 outside the brain, and stores them.
///
/// # Errors
/// A message for the user.
pub fn apply_brain(channels: &[ChannelId], resource: u32, mask: Vec<u8>) -> Reply {
    let sources = volumes(channels)?;
    let grid = sources.first().ok_or("no channel is placed")?.grid().clone();
    let mask = LabelMap::new(grid, mask).map_err(|error| error.to_string())?;
    let stored = sources.into_iter().enumerate().map(|(channel, source)| {
        let mut volumes = [Cow::Borrowed(&*source)];
        prepare::apply_brain(&mut volumes, &mask);
        let [volume] = volumes;
        let volume = match volume {
            Cow::Borrowed(_) => source.clone(),
            Cow::Owned(volume) => Rc::new(volume),
        };
        (ChannelId { resource, channel }, volume)
    });
    let stored: Vec<_> = stored.collect();
    STATE.with_borrow_mut(|state| state.channels.extend(stored));
    done()
}

/// Recognizes the contrast of channels by their intensities in the brain.
///
/// # Errors
/// A message for the user.
pub fn recognize_contrast(
    request_id: u32,
    channels: &[ChannelId],
    network: &ModelId,
    missing: &[String],
) -> Reply {
    let (volumes, network) = (volumes(channels)?, bundle(network)?);
    let mut distances = Vec::new();
    for volume in &volumes {
        let control = &mut reporter(request_id, RunStage::FindBrain);
        let found = ContrastDistances::of_scan(volume, &network, control);
        distances.push(found.map_err(|error| error.to_string())?);
    }
    Ok((WorkerResponse::Contrasts(most_likely(&distances, missing)), Vec::new()))
}
