//! The page's side of the worker: asks, and waits for the answer without blocking.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use gloo::timers::callback::Interval;
use js_sys::{Array, Date, Function, Math, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Blob, BlobPropertyBag, MessageEvent, Url, Worker, WorkerOptions, WorkerType};

use super::state::Page;
use super::{browser, recovery};
use crate::life;
use crate::protocol::{WorkerRequest, WorkerResponse};

/// A worker that was asked and says nothing for so long is given up: far longer than the longest of its
/// steps, of which each tells when it begins or ends.
const MOST_SILENT_SECS: u32 = 180;

struct Client {
    worker: Worker,
    /// Which of the page's workers it is; what an earlier one sent may still arrive.
    generation: u32,
    ready: Promise,
    /// Who waits for which answer: how to give it, and how to say that none will come.
    waiting: HashMap<u32, [Function; 2]>,
    silent_secs: u32,
}

thread_local! {
    static CLIENT: RefCell<Option<Client>> = const { RefCell::new(None) };
    static GENERATION: Cell<u32> = const { Cell::new(0) };
    static LAST_ID: Cell<u32> = const { Cell::new(0) };
    static LAST_NUMBER: Cell<u32> = const { Cell::new(0) };
}

/// What the worker keeps for the page under a number, a model or a scan. It is released with the last
/// owner, on whatever way that one ends.
#[derive(Debug)]
pub struct Held {
    number: u32,
}

impl Held {
    /// A new number, under which nothing is kept yet.
    pub fn new() -> Arc<Held> {
        Arc::new(Held { number: next(&LAST_NUMBER) })
    }

    /// The number.
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        recovery::forget(self.number);
        tell(&WorkerRequest::Release { number: self.number });
    }
}

fn next(counter: &'static std::thread::LocalKey<Cell<u32>>) -> u32 {
    counter.set(counter.get() + 1);
    counter.get()
}

/// Watches over the worker, whichever it is.
pub fn watch(page: Page) {
    let look = move || {
        let is_silent = CLIENT.with_borrow_mut(|client| {
            let Some(client) = client else { return false };
            client.silent_secs = if client.waiting.is_empty() { 0 } else { client.silent_secs + 1 };
            client.silent_secs >= MOST_SILENT_SECS
        });
        if is_silent {
            recovery::replace(page, "it did not answer for three minutes");
        }
    };
    Interval::new(1000, look).forget();
}

/// Starts a worker.
///
/// # Errors
/// In words for the person at the page.
pub fn start(page: Page) -> Result<(), String> {
    let client = spawn(page).map_err(|error| {
        format!(
            "this browser cannot start a worker ({}). Current versions of Chrome, Edge, Safari and \
             Firefox can.",
            browser::text_of(&error)
        )
    })?;
    CLIENT.set(Some(client));
    Ok(())
}

/// Ends the worker; whoever waits for it is told.
pub fn end() {
    let Some(client) = CLIENT.take() else { return };
    client.worker.terminate();
    for [_, reject] in client.waiting.into_values() {
        let _ = reject.call1(&JsValue::NULL, &JsValue::NULL);
    }
}

/// A worker needs a script to begin with: one line, which loads the page's own WebAssembly. Its name is
/// that of the lock by which the page sees that it ended.
fn spawn(page: Page) -> Result<Client, JsValue> {
    let (address, _) = browser::address();
    let glue = Url::new_with_base("web_viewer.js", &address)?.href();
    let script = format!("import init from {glue:?}; await init();");
    let options = BlobPropertyBag::new();
    options.set_type("text/javascript");
    let blob = Blob::new_with_str_sequence_and_options(&Array::of1(&script.into()), &options)?;
    let url = Url::create_object_url_with_blob(&blob)?;
    let name = format!("rewind-{}-{}", Date::now(), Math::random());
    let options = WorkerOptions::new();
    options.set_type(WorkerType::Module);
    options.set_name(&name);
    let worker = Worker::new_with_options(&url, &options)?;

    let generation = next(&GENERATION);
    let mut waiting = HashMap::new();
    let ready = Promise::new(&mut |resolve, reject| {
        waiting.insert(0, [resolve, reject]);
    });
    let became_ready = ready.clone();
    spawn_local(async move {
        if JsFuture::from(became_ready).await.is_ok() {
            life::when_ended(&name, move || {
                ended(page, generation, "it was ended from outside");
            });
        }
    });
    let on_message = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
        receive(page, generation, &event);
    });
    worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    on_message.forget();
    let on_error = Closure::<dyn Fn(JsValue)>::new(move |error: JsValue| {
        let message = Reflect::get(&error, &"message".into()).ok().and_then(|m| m.as_string());
        ended(page, generation, &message.unwrap_or("its program cannot be loaded".into()));
    });
    worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
    on_error.forget();
    Ok(Client { worker, generation, ready, waiting, silent_secs: 0 })
}

fn receive(page: Page, generation: u32, event: &MessageEvent) {
    let message = Array::from(&event.data());
    let id = message.get(0).as_f64().unwrap_or_default() as u32;
    let json = message.get(1).as_string().unwrap_or_default();
    let is_progress = |client: &mut Client| {
        client.silent_secs = 0;
        let Ok(WorkerResponse::Progress(progress)) = serde_json::from_str(&json) else {
            return None;
        };
        client.waiting.contains_key(&id).then_some(progress)
    };
    let (progress, waiting) = CLIENT.with_borrow_mut(|client| {
        let Some(client) = client.as_mut().filter(|client| client.generation == generation) else {
            return (None, None);
        };
        let progress = is_progress(client);
        let waiting = if progress.is_none() { client.waiting.remove(&id) } else { None };
        (progress, waiting)
    });
    if let Some(progress) = progress {
        page.progress(progress);
    }
    if let Some([resolve, _]) = waiting {
        let _ = resolve.call1(&JsValue::NULL, &message);
    }
}

/// The worker ended by itself: out of memory, as a rule.
fn ended(page: Page, generation: u32, reason: &str) {
    let is_current = CLIENT.with_borrow(|client| {
        client.as_ref().is_some_and(|client| client.generation == generation)
    });
    if is_current {
        recovery::replace(page, reason);
    }
}

/// Sends what needs no answer; to no one where no worker is.
pub fn tell(ask: &WorkerRequest) {
    CLIENT.with_borrow(|client| {
        if let Some(client) = client {
            let _ = send(&client.worker, next(&LAST_ID), ask, None);
        }
    });
}

fn send(
    worker: &Worker,
    id: u32,
    ask: &WorkerRequest,
    bytes: Option<&JsValue>,
) -> Result<(), JsValue> {
    let json = serde_json::to_string(ask).expect("a question is plain data");
    let message = Array::of3(&id.into(), &json.into(), bytes.unwrap_or(&JsValue::NULL));
    let transferred: Array = bytes.into_iter().collect();
    worker.post_message_with_transfer(&message, &transferred)
}

/// Asks the worker, and waits for its answer with the arrays that come along. `bytes` is an
/// `ArrayBuffer`, which changes hands.
///
/// # Errors
/// What the worker says went wrong, in words for the person at the page.
pub async fn ask(
    ask: &WorkerRequest,
    bytes: Option<JsValue>,
) -> Result<(WorkerResponse, Array), String> {
    const GONE: &str = "the computation has stopped: load this page again";
    let ready = CLIENT.with_borrow(|client| client.as_ref().map(|c| c.ready.clone()));
    JsFuture::from(ready.ok_or(GONE)?).await.map_err(|_| GONE)?;
    let answer = CLIENT.with_borrow_mut(|client| {
        let client = client.as_mut()?;
        let id = next(&LAST_ID);
        send(&client.worker, id, ask, bytes.as_ref()).ok()?;
        Some(Promise::new(&mut |resolve, reject| {
            client.waiting.insert(id, [resolve, reject]);
        }))
    });
    let message = JsFuture::from(answer.ok_or(GONE)?).await.map_err(|_| GONE)?;
    let message = Array::from(&message);
    let json = message.get(1).as_string().unwrap_or_default();
    match serde_json::from_str(&json) {
        Ok(WorkerResponse::Failed(message)) => Err(message),
        Ok(answer) => Ok((answer, Array::from(&message.get(2)))),
        Err(error) => Err(format!("the page and its worker do not fit: {error}")),
    }
}
