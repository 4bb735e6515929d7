//! Starts workers: the page's own WebAssembly in another thread.

use js_sys::{Array, Reflect};
use wasm_bindgen::prelude::*;
use web_sys::{Blob, BlobPropertyBag, Url, Worker, WorkerOptions, WorkerType};

/// Starts a worker of this name with a one-line script that loads the page's WebAssembly.
///
/// # Errors
/// The browser's error.
pub fn start(name: &str) -> Result<Worker, JsValue> {
    let glue = Url::new_with_base("web_viewer.js", &base_address()?)?.href();
    // A worker's own address is that of its script. So the page passes its address on.
    let page = base_address()?;
    let script = format!("import init from {glue:?}; self.rewindPage = {page:?}; await init();");
    let options = BlobPropertyBag::new();
    options.set_type("text/javascript");
    let blob = Blob::new_with_str_sequence_and_options(&Array::of1(&script.into()), &options)?;
    let url = Url::create_object_url_with_blob(&blob)?;
    let options = WorkerOptions::new();
    options.set_type(WorkerType::Module);
    options.set_name(name);
    Worker::new_with_options(&url, &options)
}

/// Returns the page's address without its fragment.
fn base_address() -> Result<String, JsValue> {
    let global = js_sys::global();
    let passed = Reflect::get(&global, &"rewindPage".into())?.as_string();
    let own = || Reflect::get(&Reflect::get(&global, &"location".into())?, &"href".into());
    let address = match passed {
        Some(address) => address,
        None => own()?.as_string().unwrap_or_default(),
    };
    Ok(address.split('#').next().unwrap_or_default().to_string())
}

/// Returns the number of processors: that of `workers=` in the page's address, or the one that the
/// browser reports.
pub fn num_processors() -> usize {
    let address = base_address().unwrap_or_default();
    let query = address.split_once('?').map_or("", |(_, query)| query);
    let wanted = query.split('&').find_map(|field| field.strip_prefix("workers="));
    if let Some(count) = wanted.and_then(|count| count.parse().ok()) {
        return count;
    }
    let navigator = Reflect::get(&js_sys::global(), &"navigator".into());
    let count = navigator.and_then(|n| Reflect::get(&n, &"hardwareConcurrency".into()));
    count.ok().and_then(|count| count.as_f64()).map_or(1, |count| count as usize)
}

/// Returns the message of an error of a worker, or `otherwise` if it has none.
pub fn error_text(error: &JsValue, otherwise: &str) -> String {
    let message = Reflect::get(error, &"message".into()).ok().and_then(|m| m.as_string());
    message.filter(|text| !text.is_empty()).unwrap_or_else(|| otherwise.into())
}
