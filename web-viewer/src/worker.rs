//! The worker: decodes, preprocesses and runs the network outside the page's thread, so that the page
//! never freezes. It is the same WebAssembly module as the page.

mod export;
mod part;
mod planning;
mod preparation;
mod progress_reporter;
mod reply;
mod run;
mod run_plan;
mod state;
mod study;
mod team;

use std::rc::Rc;

use futures_util::future::AbortHandle;
use js_sys::{Array, Float32Array, Uint8Array};
use model_core::{Bundle, Grid, Volume};
use wasm_bindgen::prelude::*;
use web_sys::MessageEvent;

use crate::protocol::{ChannelId, LinkHeader, ModelId, WorkerRequest, WorkerResponse};
use crate::slice::central_labeled_voxel;
use crate::{share, web_lock};
use reply::{Reply, done, post, scope};
use state::{ABORT_HANDLE, Model, STATE};

/// Starts a worker of the page, or one of its workers that compute a part of a run.
pub fn start() {
    match scope().name().starts_with(part::NAME) {
        true => part::start(),
        false => listen(),
    }
}

/// Starts to listen, then sends [`WorkerResponse::Ready`]. A request sent earlier would be lost.
fn listen() {
    let on_message = Closure::<dyn Fn(MessageEvent)>::new(|event: MessageEvent| {
        let message = Array::from(&event.data());
        let request_id = message.get(0).as_f64().unwrap_or_default() as u32;
        let json = message.get(1).as_string().unwrap_or_default();
        let bytes = message.get(2);
        wasm_bindgen_futures::spawn_local(async move {
            let reply = match model_core::from_json(&json) {
                Ok(request) => handle(request_id, request, bytes).await,
                Err(error) => Err(format!("the page and its worker do not match: {error}")),
            };
            let (response, arrays) =
                reply.unwrap_or_else(|message| (WorkerResponse::Failed(message), Vec::new()));
            post(request_id, &response, &arrays);
        });
    });
    scope().set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    on_message.forget();
    web_lock::hold(&scope().name(), || post(0, &WorkerResponse::Ready, &[]));
}

async fn handle(request_id: u32, request: WorkerRequest, bytes: JsValue) -> Reply {
    match request {
        WorkerRequest::OpenBundle { resource, file } => {
            open_bundle(resource, &file, Uint8Array::new(&bytes).to_vec())
        }
        WorkerRequest::OpenStudy { resource, paths, patients } => {
            study::open(resource, paths, &patients, &Array::from(&bytes))
        }
        WorkerRequest::ReadSeries { series, resource } => study::read(series, resource),
        WorkerRequest::RecognizeContrast { channels, network, missing } => {
            preparation::recognize_contrast(request_id, &channels, &network, &missing)
        }
        WorkerRequest::Place { resource, channels, names, settings } => {
            preparation::place(request_id, resource, &channels, &names, &settings)
        }
        WorkerRequest::ResampleByHeader { channel, reference } => {
            preparation::resample_by_header(channel, reference)
        }
        WorkerRequest::FindBrain { channels, model, choice, network } => {
            preparation::find_brain(request_id, &channels, &model, choice, network.as_ref())
        }
        WorkerRequest::ApplyBrain { channels, resource } => {
            preparation::apply_brain(&channels, resource, Uint8Array::new(&bytes).to_vec())
        }
        WorkerRequest::RestoreChannel { resource, channel, grid } => {
            let voxels = Float32Array::new(&bytes).to_vec();
            restore_channel(ChannelId { resource, channel }, grid, voxels)
        }
        WorkerRequest::WriteSegmentation { request, grid } => {
            export::write_segmentation(request, grid, Uint8Array::new(&bytes).to_vec())
        }
        WorkerRequest::Release { resource } => {
            STATE.with_borrow_mut(|state| state.release(resource));
            done()
        }
        WorkerRequest::ReadLink { fragment } => read_link(&fragment),
        WorkerRequest::Plan { inputs, engine, budget_bytes, max_budget_bytes } => {
            planning::plan(inputs, engine, budget_bytes, max_budget_bytes).await
        }
        WorkerRequest::Segment { inputs, tiled: false } => run::segment(request_id, &inputs).await,
        WorkerRequest::Segment { inputs, tiled: true } => {
            run::segment_tiled(request_id, &inputs).await
        }
        WorkerRequest::Cancel => {
            ABORT_HANDLE.with_borrow(|handle| handle.iter().for_each(AbortHandle::abort));
            done()
        }
    }
}

fn open_bundle(resource: u32, file: &str, bytes: Vec<u8>) -> Reply {
    let bundle = Bundle::from_bytes(&bytes).map_err(|e| e.in_file(file).to_string())?;
    let id = ModelId { resource, hash: bundle.hash() };
    let card = Box::new(bundle.card.clone());
    let model = Model { hash: id.hash.clone(), bundle: Rc::new(bundle), bytes: bytes.into() };
    STATE.with_borrow_mut(|state| state.models.insert(resource, model));
    Ok((WorkerResponse::Bundle { model: id, card }, Vec::new()))
}

fn restore_channel(id: ChannelId, grid: Grid, voxels: Vec<f32>) -> Reply {
    let volume = Volume::new(grid, voxels).map_err(|error| error.to_string())?;
    STATE.with_borrow_mut(|state| state.channels.insert(id, volume.into()));
    done()
}

fn read_link(fragment: &str) -> Reply {
    let shared = share::decode(fragment).map_err(|error| error.to_string())?;
    let central_voxel = central_labeled_voxel(&shared.labels);
    let (header, labels) = LinkHeader::split(shared);
    let response = WorkerResponse::Link { header: Box::new(header), central_voxel };
    Ok((response, vec![Uint8Array::from(&labels[..]).into()]))
}
