//! The few things that the page wants from the browser itself.

use js_sys::{Array, Function, Promise, Reflect, Uint8Array};
use leptos::prelude::{document, window};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, BlobPropertyBag, File, FileList, HtmlAnchorElement, HtmlElement, Url};

/// An element of `index.html`.
///
/// # Panics
/// When the document is another one.
pub fn element(id: &str) -> HtmlElement {
    let found = document().get_element_by_id(id);
    found.unwrap_or_else(|| panic!("index.html has an element #{id}")).unchecked_into()
}

/// The files of a list, which may be none.
pub fn list(files: Option<FileList>) -> Vec<File> {
    let files = files.iter().flat_map(|files| (0..files.length()).filter_map(|n| files.item(n)));
    files.collect()
}

/// A file's bytes, in memory that can be given to the worker.
pub async fn bytes_of(file: &File) -> Result<JsValue, String> {
    JsFuture::from(file.array_buffer()).await.map_err(|error| {
        let why = text_of(&error);
        format!("cannot read {}: {why}. Was it moved or changed? Choose it again.", file.name())
    })
}

/// The bytes that the page's own server has at `path`.
pub async fn fetched(path: &str) -> Result<Vec<u8>, String> {
    let asked = gloo::net::http::Request::get(path).send().await;
    let response = asked.map_err(|e| format!("the server does not answer for {path}: {e}"))?;
    if !response.ok() {
        return Err(format!("the server has no {path} (it answered {})", response.status()));
    }
    response.binary().await.map_err(|e| format!("cannot load {path}: {e}"))
}

/// What the browser remembers of this page; nothing where it is not allowed to.
pub fn remembered(key: &str) -> Option<String> {
    window().local_storage().ok()??.get_item(key).ok()?
}

/// Has the browser remember it, where it is allowed to.
pub fn remember(key: &str, value: &str) {
    if let Ok(Some(storage)) = window().local_storage() {
        let _ = storage.set_item(key, value);
    }
}

/// Bytes as memory that can be given to the worker.
pub fn buffer(bytes: &[u8]) -> JsValue {
    Uint8Array::from(bytes).buffer().into()
}

/// Lets the person save bytes as a file.
pub fn save(name: &str, content_type: &str, bytes: &[u8]) -> Result<(), JsValue> {
    let options = BlobPropertyBag::new();
    options.set_type(content_type);
    let parts = Array::of1(&Uint8Array::from(bytes));
    let blob = Blob::new_with_u8_array_sequence_and_options(&parts, &options)?;
    let url = Url::create_object_url_with_blob(&blob)?;
    let link: HtmlAnchorElement = document().create_element("a")?.unchecked_into();
    link.set_href(&url);
    link.set_download(name);
    link.click();
    Url::revoke_object_url(&url)
}

/// Puts text on the clipboard; false where the browser does not allow it.
pub async fn copy(text: &str) -> bool {
    let navigator = window().navigator();
    // Outside of a secure context there is no clipboard at all.
    match Reflect::get(&navigator, &"clipboard".into()) {
        Ok(clipboard) if clipboard.is_object() => {
            JsFuture::from(navigator.clipboard().write_text(text)).await.is_ok()
        }
        _ => false,
    }
}

/// The address without its fragment, and the fragment with its `#`.
pub fn address() -> (String, String) {
    let href = window().location().href().unwrap_or_default();
    match href.find('#') {
        Some(at) => (href[..at].to_string(), href[at..].to_string()),
        None => (href, String::new()),
    }
}

/// Shows another address without loading anything.
pub fn set_address(href: &str) {
    if let Ok(history) = window().history() {
        let _ = history.replace_state_with_url(&JsValue::NULL, "", Some(href));
    }
}

/// Whether the browser offers WebGPU on this page.
pub fn has_webgpu() -> bool {
    let gpu = Reflect::get(&window().navigator(), &"gpu".into());
    gpu.is_ok_and(|gpu| gpu.is_object())
}

/// Whether the browser has a GPU for WebGPU.
pub async fn has_gpu() -> bool {
    let asked = || {
        let gpu = Reflect::get(&window().navigator(), &"gpu".into())?;
        let request = Reflect::get(&gpu, &"requestAdapter".into())?;
        request.dyn_ref::<Function>().ok_or(JsValue::NULL)?.call0(&gpu)
    };
    let Ok(asked) = asked() else { return false };
    JsFuture::from(Promise::from(asked)).await.is_ok_and(|adapter| adapter.is_object())
}

/// Whether the browser trusts the address enough for WebGPU: https, or this computer.
pub fn is_secure() -> bool {
    let secure = Reflect::get(&window(), &"isSecureContext".into());
    secure.is_ok_and(|secure| secure.is_truthy())
}

/// What the browser says is wrong.
pub fn text_of(error: &JsValue) -> String {
    let message = Reflect::get(error, &"message".into()).ok().and_then(|m| m.as_string());
    message.or_else(|| error.as_string()).unwrap_or_else(|| format!("{error:?}"))
}
