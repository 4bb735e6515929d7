//! The page's connection to its worker: sends requests, and awaits responses without blocking.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use gloo::timers::callback::Interval;
use js_sys::{Array, Date, Function, Math, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{MessageEvent, Worker};

use super::browser;
use crate::protocol::{RunProgress, WorkerRequest, WorkerResponse};
use crate::{web_lock, worker_script};

/// The time without a message after which a worker with an open request counts as hung. It is far
/// longer than a worker's longest step, and each step reports its beginning or its end.
const HANG_TIMEOUT_SECS: u32 = 180;

/// Called with the progress of a run, and with the reason why the worker ended by itself.
#[derive(Clone)]
pub struct Listener {
    /// Called with the progress of a run.
    pub on_progress: Rc<dyn Fn(RunProgress)>,
    /// Called with the reason when the worker ended by itself.
    pub on_ended: Rc<dyn Fn(&str)>,
}

struct Client {
    worker: Worker,
    /// The number of this worker. Messages of an earlier worker may still arrive.
    generation: u32,
    ready: Promise,
    /// The functions that resolve and reject the promise of each open request.
    open_requests: HashMap<u32, [Function; 2]>,
    silent_secs: u32,
}

thread_local! {
    static CLIENT: RefCell<Option<Client>> = const { RefCell::new(None) };
    static LAST_GENERATION: Cell<u32> = const { Cell::new(0) };
    static LAST_REQUEST: Cell<u32> = const { Cell::new(0) };
    static LAST_RESOURCE: Cell<u32> = const { Cell::new(0) };
}

/// Owns a model or a scan in the worker. Dropping the last owner releases the worker's copy.
#[derive(Debug)]
pub struct ResourceHandle {
    id: u32,
}

impl ResourceHandle {
    /// Makes a handle with a new id, for which the worker stores nothing yet.
    pub fn new() -> Arc<ResourceHandle> {
        Arc::new(ResourceHandle { id: next(&LAST_RESOURCE) })
    }

    /// Returns the id in messages to the worker.
    pub fn id(&self) -> u32 {
        self.id
    }
}

impl Drop for ResourceHandle {
    fn drop(&mut self) {
        notify(&WorkerRequest::Release { resource: self.id });
    }
}

fn next(counter: &'static std::thread::LocalKey<Cell<u32>>) -> u32 {
    counter.set(counter.get() + 1);
    counter.get()
}

/// Calls `on_hang` with the reason each second in which the current worker hangs.
pub fn watch(on_hang: impl Fn(&str) + 'static) {
    let check = move || {
        let hangs = CLIENT.with_borrow_mut(|client| {
            let Some(client) = client else { return false };
            client.silent_secs =
                if client.open_requests.is_empty() { 0 } else { client.silent_secs + 1 };
            client.silent_secs >= HANG_TIMEOUT_SECS
        });
        if hangs {
            on_hang("it did not respond for three minutes");
        }
    };
    Interval::new(1000, check).forget();
}

/// Starts a worker.
///
/// # Errors
/// A message for the user.
pub fn start(listener: &Listener) -> Result<(), String> {
    let client = spawn(listener).map_err(|error| {
        format!(
            "this browser cannot start a worker ({}). Current versions of Chrome, Edge, Safari and \
             Firefox can.",
            browser::error_text(&error)
        )
    })?;
    CLIENT.set(Some(client));
    Ok(())
}

/// Ends the worker. Its open requests fail.
pub fn end() {
    let Some(client) = CLIENT.take() else { return };
    client.worker.terminate();
    for [_, reject] in client.open_requests.into_values() {
        let _ = reject.call1(&JsValue::NULL, &JsValue::NULL);
    }
}

/// Starts a worker.
///
/// The worker's name is also the name of the lock by which the page notices that the worker ended.
fn spawn(listener: &Listener) -> Result<Client, JsValue> {
    let name = format!("rewind-{}-{}", Date::now(), Math::random());
    let worker = worker_script::start(&name)?;

    let generation = next(&LAST_GENERATION);
    let mut open_requests = HashMap::new();
    // The worker sends `Ready` as the response to a request 0.
    let ready = Promise::new(&mut |resolve, reject| {
        open_requests.insert(0, [resolve, reject]);
    });
    let became_ready = ready.clone();
    let on_ended = listener.on_ended.clone();
    spawn_local(async move {
        if JsFuture::from(became_ready).await.is_ok() {
            web_lock::when_released(&name, move || {
                report_end(&*on_ended, generation, "it was ended from outside");
            });
        }
    });
    let on_progress = listener.on_progress.clone();
    let on_message = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
        receive(&*on_progress, generation, &event);
    });
    worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    on_message.forget();
    let on_ended = listener.on_ended.clone();
    let on_error = Closure::<dyn Fn(JsValue)>::new(move |error: JsValue| {
        let reason = worker_script::error_text(&error, "its program cannot be loaded");
        report_end(&*on_ended, generation, &reason);
    });
    worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
    on_error.forget();
    Ok(Client { worker, generation, ready, open_requests, silent_secs: 0 })
}

fn receive(on_progress: &dyn Fn(RunProgress), generation: u32, event: &MessageEvent) {
    let message = Array::from(&event.data());
    let request_id = message.get(0).as_f64().unwrap_or_default() as u32;
    let json = message.get(1).as_string().unwrap_or_default();
    let read_progress = |client: &mut Client| {
        client.silent_secs = 0;
        let Ok(WorkerResponse::Progress(progress)) = model_core::from_json(&json) else {
            return None;
        };
        client.open_requests.contains_key(&request_id).then_some(progress)
    };
    let (progress, request) = CLIENT.with_borrow_mut(|client| {
        let Some(client) = client.as_mut().filter(|client| client.generation == generation) else {
            return (None, None);
        };
        let progress = read_progress(client);
        // Progress leaves its request open.
        let request =
            if progress.is_none() { client.open_requests.remove(&request_id) } else { None };
        (progress, request)
    });
    if let Some(progress) = progress {
        on_progress(progress);
    }
    if let Some([resolve, _]) = request {
        let _ = resolve.call1(&JsValue::NULL, &message);
    }
}

/// Reports that a worker ended by itself, usually because memory ran out. Ignores earlier workers.
fn report_end(on_ended: &dyn Fn(&str), generation: u32, reason: &str) {
    let is_current = CLIENT.with_borrow(|client| {
        client.as_ref().is_some_and(|client| client.generation == generation)
    });
    if is_current {
        on_ended(reason);
    }
}

/// Sends a request whose response is not awaited. Without a worker, does nothing.
pub fn notify(request: &WorkerRequest) {
    CLIENT.with_borrow(|client| {
        if let Some(client) = client {
            let _ = post(&client.worker, next(&LAST_REQUEST), request, None);
        }
    });
}

fn post(
    worker: &Worker,
    request_id: u32,
    request: &WorkerRequest,
    bytes: Option<&JsValue>,
) -> Result<(), JsValue> {
    let json = serde_json::to_string(request).expect("a request is plain data");
    let message = Array::of3(&request_id.into(), &json.into(), bytes.unwrap_or(&JsValue::NULL));
    let transferred: Array = match bytes.and_then(|bytes| bytes.dyn_ref::<Array>()) {
        Some(buffers) => buffers.clone(),
        None => bytes.into_iter().collect(),
    };
    worker.post_message_with_transfer(&message, &transferred)
}

/// Sends a request, and awaits its response with the accompanying arrays. `bytes` is an
/// `ArrayBuffer` or an array of them, which are transferred to the worker.
///
/// # Errors
/// A message for the user if the request fails or the worker has ended.
pub async fn request(
    request: &WorkerRequest,
    bytes: Option<JsValue>,
) -> Result<(WorkerResponse, Array), String> {
    const ENDED: &str = "the computation has stopped: load this page again";
    let ready = CLIENT.with_borrow(|client| client.as_ref().map(|c| c.ready.clone()));
    JsFuture::from(ready.ok_or(ENDED)?).await.map_err(|_| ENDED)?;
    let response = CLIENT.with_borrow_mut(|client| {
        let client = client.as_mut()?;
        let request_id = next(&LAST_REQUEST);
        post(&client.worker, request_id, request, bytes.as_ref()).ok()?;
        Some(Promise::new(&mut |resolve, reject| {
            client.open_requests.insert(request_id, [resolve, reject]);
        }))
    });
    let message = JsFuture::from(response.ok_or(ENDED)?).await.map_err(|_| ENDED)?;
    let message = Array::from(&message);
    let json = message.get(1).as_string().unwrap_or_default();
    match model_core::from_json(&json) {
        Ok(WorkerResponse::Failed(message)) => Err(message),
        Ok(response) => Ok((response, Array::from(&message.get(2)))),
        Err(error) => Err(format!("the page and its worker do not match: {error}")),
    }
}
