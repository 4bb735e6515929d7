//! A worker that ended, whatever ended it, is replaced by a new one with the same model and scans. What
//! ended the new one too, before it had them, would end every other: then the page says what to do.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use gloo::timers::future::TimeoutFuture;
use js_sys::Float32Array;
use leptos::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::Blob;

use super::client::{self, ask};
use super::scans;
use super::state::{Filled, Page, Phase};
use crate::messages;
use crate::protocol::{WorkerRequest, WorkerResponse};

/// How long a run may take to stop.
const MOST_STOPPING_MS: u32 = 5_000;

thread_local! {
    static IS_RECOVERING: Cell<bool> = const { Cell::new(false) };
    /// The files of open models, by the numbers under which the worker keeps the models.
    static SOURCES: RefCell<HashMap<u32, Blob>> = RefCell::default();
}

/// Remembers where a model that the worker keeps can be read again.
pub fn remember(number: u32, source: Blob) {
    SOURCES.with_borrow_mut(|sources| sources.insert(number, source));
}

/// Forgets it.
pub fn forget(number: u32) {
    SOURCES.with_borrow_mut(|sources| sources.remove(&number));
}

/// Ends the run that was asked to stop, with the worker, should it not have stopped after a while.
pub fn end_soon(page: Page) {
    let turn = page.current();
    spawn_local(async move {
        TimeoutFuture::new(MOST_STOPPING_MS).await;
        if page.is_current(turn) && page.is_stopping.get_untracked() {
            replace(page, "the run did not stop within five seconds");
        }
    });
}

/// Puts a new worker in the place of the one that ended, or ends it.
pub fn replace(page: Page, reason: &str) {
    client::end();
    let turn = page.begin();
    page.progress.set(None);
    page.is_stopping.set(false);
    page.plan.set(None);
    if IS_RECOVERING.replace(true) {
        return give_up(page, format!("the computation stopped again ({reason})"));
    }
    if let Err(error) = client::start(page) {
        return give_up(page, error);
    }
    page.say(Phase::Loading, "Starting the computation again");
    page.notice.set(messages::stopped(reason));
    spawn_local(async move {
        let given = give_again(page).await;
        let is_given = given.is_ok();
        let planned = match given {
            Ok(()) => scans::plan_again(page, turn).await,
            Err(error) => Err(Some(error)),
        };
        IS_RECOVERING.set(false);
        match planned {
            // Another action began meanwhile, and says for itself what it finds.
            _ if !page.is_current(turn) => {}
            Err(Some(error)) if is_given => page.fail(error),
            Err(Some(error)) => give_up(page, error),
            _ => {}
        }
    });
}

/// Says what to do, and shows nothing that the worker does not have.
fn give_up(page: Page, why: String) {
    IS_RECOVERING.set(false);
    page.notice.set(String::new());
    page.model.set(None);
    if !page.is_from_link.get_untracked() {
        page.set_slots(Vec::new());
    }
    page.fail(format!("{}. {}", why.trim_end_matches('.'), messages::TRY_AGAIN));
}

/// Gives the new worker what the page holds.
async fn give_again(page: Page) -> Result<(), String> {
    // One that cannot even start is seen here.
    ask(&WorkerRequest::Cancel, None).await?;
    if page.is_from_link.get_untracked() {
        return Ok(());
    }
    let filled: Vec<Filled> = page
        .slots
        .with_untracked(|slots| slots.iter().filter_map(|slot| slot.filled.clone()).collect());
    for Filled { source: (held, channel), volume, .. } in filled {
        let grid = volume.grid().clone();
        let scan = WorkerRequest::KeepScan { number: held.number(), channel, grid };
        let voxels = Float32Array::from(volume.values()).buffer();
        ask(&scan, Some(voxels.into())).await?;
    }
    let Some(model) = page.model.get_untracked() else { return Ok(()) };
    let number = model.held.number();
    let source = SOURCES.with_borrow(|sources| sources.get(&number).cloned());
    let source = source.ok_or("the model's file is gone: open it again")?;
    let bytes = JsFuture::from(source.array_buffer()).await;
    let bytes = bytes.map_err(|_| "the model's file was moved or changed: open it again")?;
    let bundle = WorkerRequest::OpenBundle { number, file: model.card.name.clone() };
    match ask(&bundle, Some(bytes)).await? {
        (WorkerResponse::Bundle { model: opened, .. }, _) if opened == model.id() => Ok(()),
        _ => Err("the model's file was changed: open it again".into()),
    }
}
