//! What the user opened: the model, series, and the channels of scans.

use std::sync::Arc;

use js_sys::Array;
use model_core::formats::study::{Identity, ScanFormat, SeriesSummary, Thumbnail};
use model_core::prepare::{Proposal, Role};
use model_core::{Card, Volume};
use wasm_bindgen_futures::JsFuture;
use web_sys::Blob;

use super::client::{ResourceHandle, request};
use super::{browser, model_cache};
use crate::protocol::{ChannelId, ModelId, WorkerRequest, WorkerResponse};
use crate::slice::Window;

/// An open model.
#[derive(Debug, Clone)]
pub struct Model {
    /// The worker's copy.
    pub handle: Arc<ResourceHandle>,
    /// The bundle's file, from which a new worker reads the model again.
    pub file: Blob,
    /// The bundle's card.
    pub card: Card,
    /// SHA-256 of the model's tensors.
    pub hash: String,
}

impl Model {
    /// Returns the model's id in messages to the worker.
    pub fn id(&self) -> ModelId {
        ModelId { resource: self.handle.id(), hash: self.hash.clone() }
    }
}

/// A slot of the scan panel, for one channel.
#[derive(Debug, Clone)]
pub struct ChannelSlot {
    /// The name of the channel.
    pub name: String,
    /// The channel, once a file is chosen.
    pub loaded: Option<LoadedChannel>,
}

/// A channel loaded from a file.
#[derive(Debug, Clone)]
pub struct LoadedChannel {
    /// The worker's copy of the file.
    pub handle: Arc<ResourceHandle>,
    /// The index of the channel in the file.
    pub channel: usize,
    /// The file's name.
    pub file: String,
    /// The voxels.
    pub volume: Arc<Volume>,
    /// The window that is shown first.
    pub default_window: Window,
    /// Warnings about the file, one sentence each.
    pub warnings: Vec<String>,
}

impl LoadedChannel {
    /// Returns the channel's id in messages to the worker.
    pub fn id(&self) -> ChannelId {
        ChannelId { resource: self.handle.id(), channel: self.channel }
    }
}

/// A series of the opened files.
#[derive(Debug, Clone)]
pub struct SeriesEntry {
    /// The worker's copy of the study.
    pub study: Arc<ResourceHandle>,
    /// The patient of the study.
    pub patient: Identity,
    /// The index of the series in the study.
    pub index: usize,
    /// The description.
    pub summary: Arc<SeriesSummary>,
    /// A picture of its middle slice.
    pub thumbnail: Option<Arc<Thumbnail>>,
    /// The use of the series, and the reason.
    pub proposal: Proposal,
    /// The decoded channels; empty until the series is needed.
    pub loaded: Vec<LoadedChannel>,
}

impl SeriesEntry {
    /// Returns a name for the user: the description of a DICOM series, or the name of a file.
    pub fn name(&self) -> String {
        match self.summary.format {
            ScanFormat::Dicom => self.summary.name.clone(),
            _ => self.summary.path.rsplit(['/', '\\']).next().unwrap_or_default().to_string(),
        }
    }

    /// Returns whether the series is used.
    pub fn is_used(&self) -> bool {
        matches!(self.proposal.role, Role::Channel(_) | Role::AllChannels)
    }

    /// Returns whether this is the same series of the same study.
    pub fn is(&self, other: &SeriesEntry) -> bool {
        self.study.id() == other.study.id() && self.index == other.index
    }
}

/// Opens a model in the worker. The caller decides whether the page shows and runs it.
///
/// # Errors
/// A message for the user.
pub async fn open_model(name: &str, file: Blob) -> Result<Model, String> {
    let bytes = JsFuture::from(file.array_buffer()).await.map_err(|error| {
        format!("cannot read {name}: {}. Was it moved or changed?", browser::error_text(&error))
    })?;
    let handle = ResourceHandle::new();
    let open = WorkerRequest::OpenBundle { resource: handle.id(), file: name.to_string() };
    match request(&open, Some(bytes)).await? {
        (WorkerResponse::Bundle { card, model }, _) if model.resource == handle.id() => {
            Ok(Model { handle, file, card: *card, hash: model.hash })
        }
        _ => Err("the worker did not return the model".into()),
    }
}

/// Opens a model of the page's server in the worker.
///
/// # Errors
/// A message for the user.
pub async fn open_server_model(path: &str) -> Result<Model, String> {
    let bytes = model_cache::fetch(path).await?;
    let blob = Blob::new_with_buffer_source_sequence(&Array::of1(&bytes));
    let name = path.rsplit('/').next().unwrap_or(path);
    open_model(name, blob.map_err(|error| browser::error_text(&error))?).await
}
