//! The page's side of the worker: asks, and waits for the answer without blocking.

use std::cell::RefCell;
use std::collections::HashMap;

use js_sys::{Array, Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, BlobPropertyBag, MessageEvent, Url, Worker, WorkerOptions, WorkerType};

use super::browser;
use super::state::Page;
use crate::protocol::{Answer, Ask};

struct Client {
    worker: Worker,
    ready: Promise,
    /// Who waits for which answer: how to give it, and how to say that none will come.
    waiting: HashMap<u32, [Function; 2]>,
    last_id: u32,
}

thread_local! {
    static CLIENT: RefCell<Option<Client>> = const { RefCell::new(None) };
}

/// Starts the worker.
pub fn start(page: Page) {
    match spawn(page) {
        Ok(client) => CLIENT.set(Some(client)),
        Err(error) => page.fail(format!(
            "this browser cannot start a worker ({}). Current versions of Chrome, Edge, Safari \
             and Firefox can.",
            browser::text_of(&error)
        )),
    }
}

/// A worker needs a script to begin with: one line, which loads the page's own WebAssembly.
fn spawn(page: Page) -> Result<Client, JsValue> {
    let (address, _) = browser::address();
    let glue = Url::new_with_base("web_viewer.js", &address)?.href();
    let script = format!("import init from {glue:?}; await init();");
    let options = BlobPropertyBag::new();
    options.set_type("text/javascript");
    let blob = Blob::new_with_str_sequence_and_options(&Array::of1(&script.into()), &options)?;
    let url = Url::create_object_url_with_blob(&blob)?;
    let options = WorkerOptions::new();
    options.set_type(WorkerType::Module);
    let worker = Worker::new_with_options(&url, &options)?;

    let mut waiting = HashMap::new();
    let ready = Promise::new(&mut |resolve, reject| {
        waiting.insert(0, [resolve, reject]);
    });
    let on_message =
        Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| receive(page, &event));
    worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    on_message.forget();
    let on_error = Closure::<dyn Fn(JsValue)>::new(move |error: JsValue| stopped(page, &error));
    worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
    on_error.forget();
    Ok(Client { worker, ready, waiting, last_id: 0 })
}

fn receive(page: Page, event: &MessageEvent) {
    let message = Array::from(&event.data());
    let id = message.get(0).as_f64().unwrap_or_default() as u32;
    let json = message.get(1).as_string().unwrap_or_default();
    if let Ok(Answer::Progress(progress)) = serde_json::from_str(&json) {
        page.progress(progress);
        return;
    }
    let waiting = CLIENT.with_borrow_mut(|client| client.as_mut()?.waiting.remove(&id));
    if let Some([resolve, _]) = waiting {
        let _ = resolve.call1(&JsValue::NULL, &message);
    }
}

/// The worker ended: out of memory, as a rule. A new one takes its place, without its scans.
fn stopped(page: Page, error: &JsValue) {
    let Some(client) = CLIENT.take() else { return };
    client.worker.terminate();
    for [_, reject] in client.waiting.into_values() {
        let _ = reject.call1(&JsValue::NULL, &JsValue::NULL);
    }
    page.fail(format!(
        "the computation stopped ({}). Most likely there was not enough memory: close other tabs, \
         then load this page again.",
        browser::text_of(error)
    ));
}

/// Asks the worker, and waits for its answer with the arrays that come along.
///
/// # Errors
/// What the worker says went wrong, in words for the person at the page.
pub async fn ask(ask: &Ask, bytes: Option<JsValue>) -> Result<(Answer, Array), String> {
    const GONE: &str = "the computation has stopped: load this page again";
    let ready = CLIENT.with_borrow(|client| client.as_ref().map(|c| c.ready.clone()));
    JsFuture::from(ready.ok_or(GONE)?).await.map_err(|_| GONE)?;
    let answer = CLIENT.with_borrow_mut(|client| {
        let client = client.as_mut()?;
        client.last_id += 1;
        let id = client.last_id;
        let json = serde_json::to_string(ask).expect("a question is plain data");
        let message =
            Array::of3(&id.into(), &json.into(), bytes.as_ref().unwrap_or(&JsValue::NULL));
        let transferred: Array = bytes.iter().collect();
        let sent = client.worker.post_message_with_transfer(&message, &transferred);
        sent.ok()?;
        Some(Promise::new(&mut |resolve, reject| {
            client.waiting.insert(id, [resolve, reject]);
        }))
    });
    let message = JsFuture::from(answer.ok_or(GONE)?).await.map_err(|_| GONE)?;
    let message = Array::from(&message);
    let json = message.get(1).as_string().unwrap_or_default();
    match serde_json::from_str(&json) {
        Ok(Answer::Failed(message)) => Err(message),
        Ok(answer) => Ok((answer, Array::from(&message.get(2)))),
        Err(error) => Err(format!("the page and its worker do not fit: {error}")),
    }
}
