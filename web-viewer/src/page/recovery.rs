//! Replaces a worker that ended or hung by a new one with the same model and scans.
//!
//! If the new worker ends too before it has them, every further worker would too: the page then shows a
//! remedy.

use std::cell::Cell;
use std::rc::Rc;

use gloo::timers::future::TimeoutFuture;
use js_sys::Float32Array;
use leptos::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};

use super::client::{self, Listener, request};
use super::opened::LoadedChannel;
use super::scans;
use super::state::{Interruption, Page};
use super::status::Phase;
use crate::messages;
use crate::protocol::{WorkerRequest, WorkerResponse};

/// The time that a run may take to stop.
const CANCEL_TIMEOUT_MS: u32 = 5_000;

thread_local! {
    static IS_RECOVERING: Cell<bool> = const { Cell::new(false) };
}

/// Starts the page's worker, to be replaced whenever it ends by itself.
///
/// # Errors
/// A message for the user.
pub fn start_worker(page: Page) -> Result<(), String> {
    client::start(&Listener {
        on_progress: Rc::new(move |progress| page.show_progress(progress)),
        on_ended: Rc::new(move |reason: &str| replace_worker(page, reason)),
    })
}

/// Replaces the worker whenever it hangs.
pub fn watch_worker(page: Page) {
    client::watch(move |reason| replace_worker(page, reason));
}

/// Replaces the worker if the run that was requested to stop has not stopped after five seconds.
pub fn replace_unless_stopped(page: Page) {
    let token = page.current_action();
    spawn_local(async move {
        TimeoutFuture::new(CANCEL_TIMEOUT_MS).await;
        if page.is_current(token) && page.is_canceling.get_untracked() {
            replace_worker(page, "the run did not stop within five seconds");
        }
    });
}

/// Ends a computation that takes long, and starts a new worker with the same model and scans.
pub fn restart_worker(page: Page) {
    replace_worker(page, "");
    page.notice.set(String::new());
}

/// Ends the worker, if it still runs, and starts a new one with the same model and scans.
fn replace_worker(page: Page, reason: &str) {
    client::end();
    let token = page.begin_action();
    page.progress.set(None);
    page.is_canceling.set(false);
    page.plan.set(None);
    if IS_RECOVERING.replace(true) {
        return give_up(page, format!("the computation stopped again ({reason})"));
    }
    if let Err(error) = start_worker(page) {
        return give_up(page, error);
    }
    page.set_status(Phase::Loading, "Starting the computation again");
    page.notice.set(messages::worker_restarted(reason));
    spawn_local(async move {
        let restored = restore_worker(page).await;
        let is_restored = restored.is_ok();
        let planned = match restored {
            Ok(()) => scans::prepare_and_plan(page, token).await,
            Err(error) => Err(Interruption::Failed(error)),
        };
        IS_RECOVERING.set(false);
        match planned {
            // Another action began and reports its own errors.
            _ if !page.is_current(token) => {}
            Err(Interruption::Failed(error)) if is_restored => page.show_error(error),
            Err(Interruption::Failed(error)) => give_up(page, error),
            _ => {}
        }
    });
}

/// Shows a remedy, and removes everything that needs the worker.
fn give_up(page: Page, reason: String) {
    IS_RECOVERING.set(false);
    page.notice.set(String::new());
    page.model.set(None);
    if !page.is_from_link.get_untracked() {
        page.reset_slots(Vec::new());
    }
    page.show_error(format!("{}. {}", reason.trim_end_matches('.'), messages::TRY_AGAIN));
}

/// Sends the page's scans and model to the new worker.
async fn restore_worker(page: Page) -> Result<(), String> {
    // A worker that cannot even start fails here.
    request(&WorkerRequest::Cancel, None).await?;
    if page.is_from_link.get_untracked() {
        return Ok(());
    }
    // The encoded series are lost. Those that are not decoded must be opened again.
    page.series.update(|series| series.retain(|entry| !entry.loaded.is_empty()));
    let series = page.series.get_untracked();
    for LoadedChannel { handle, channel, volume, .. } in
        series.into_iter().flat_map(|entry| entry.loaded)
    {
        let (resource, grid) = (handle.id(), volume.grid().clone());
        let restore = WorkerRequest::RestoreChannel { resource, channel, grid };
        let voxels = Float32Array::from(volume.values()).buffer();
        request(&restore, Some(voxels.into())).await?;
    }
    page.brain_network.set(None);
    let Some(model) = page.model.get_untracked() else { return Ok(()) };
    let bytes = JsFuture::from(model.file.array_buffer()).await;
    let bytes = bytes.map_err(|_| "the model's file was moved or changed: open it again")?;
    let (resource, file) = (model.handle.id(), model.card.name.clone());
    let open = WorkerRequest::OpenBundle { resource, file };
    match request(&open, Some(bytes)).await? {
        (WorkerResponse::Bundle { model: id, .. }, _) if id == model.id() => Ok(()),
        _ => Err("the model's file was changed: open it again".into()),
    }
}
