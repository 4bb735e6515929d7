//! The browser's interfaces that the page uses: files, storage, clipboard, address and WebGPU.

use js_sys::{Array, Function, Promise, Reflect, Uint8Array};
use leptos::prelude::{document, window};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Blob, BlobPropertyBag, DataTransfer, File, FileList, FileSystemDirectoryEntry, FileSystemEntry,
    FileSystemFileEntry, HtmlAnchorElement, HtmlElement, Url,
};

/// The most files of one drop. An examination has hundreds to some thousands.
const MAX_FILES: usize = 20_000;

/// Returns an element of `index.html`.
///
/// # Panics
/// If the document has no element with this id.
pub fn element(id: &str) -> HtmlElement {
    let element = document().get_element_by_id(id);
    element.unwrap_or_else(|| panic!("index.html has an element #{id}")).unchecked_into()
}

/// A chosen or dropped file.
pub struct DroppedFile {
    /// The path within the dropped folder, or the file's name.
    pub path: String,
    /// The file.
    pub file: File,
}

/// Collects the files of an optional list: chosen files, or those of a chosen folder.
pub fn files(list: Option<FileList>) -> Vec<DroppedFile> {
    let files = list.iter().flat_map(|list| (0..list.length()).filter_map(|n| list.item(n)));
    let dropped = |file: File| {
        let path = Reflect::get(&file, &"webkitRelativePath".into()).ok();
        let path = path.and_then(|path| path.as_string()).filter(|path| !path.is_empty());
        DroppedFile { path: path.unwrap_or_else(|| file.name()), file }
    };
    files.map(dropped).collect()
}

/// Collects the entries of a drop, which must be done before its event ends. Their files are read
/// later by [`entry_files`].
pub fn dropped_entries(data: Option<DataTransfer>) -> (Vec<FileSystemEntry>, Vec<DroppedFile>) {
    let Some(data) = data else { return (Vec::new(), Vec::new()) };
    let items = data.items();
    let entries = (0..items.length())
        .filter_map(|n| items.get(n)?.webkit_get_as_entry().ok().flatten())
        .collect::<Vec<_>>();
    // A drop that a script made has files without entries.
    let files = if entries.is_empty() { files(data.files()) } else { Vec::new() };
    (entries, files)
}

/// Collects the files of dropped files and folders, with the folders in them.
///
/// # Errors
/// A message for the user if a folder cannot be read, or if there are too many files.
pub async fn entry_files(entries: Vec<FileSystemEntry>) -> Result<Vec<DroppedFile>, String> {
    let mut remaining = entries;
    let mut files = Vec::new();
    while let Some(entry) = remaining.pop() {
        let path = entry.full_path().trim_start_matches('/').to_string();
        let failed = |error: JsValue| format!("cannot read {path}: {}", error_text(&error));
        if entry.is_directory() {
            let reader = entry.unchecked_into::<FileSystemDirectoryEntry>().create_reader();
            // Each call returns a part of the entries, the last one none.
            loop {
                let part = promise(|resolve, reject| {
                    reader.read_entries_with_callback_and_callback(resolve, reject)
                });
                let part = Array::from(&part.await.map_err(failed)?);
                if part.length() == 0 {
                    break;
                }
                remaining.extend(part.iter().map(JsCast::unchecked_into::<FileSystemEntry>));
            }
        } else {
            let entry: FileSystemFileEntry = entry.unchecked_into();
            let file = promise(|resolve, reject| {
                entry.file_with_callback_and_callback(resolve, reject);
                Ok(())
            });
            let file: File = file.await.map_err(failed)?.unchecked_into();
            files.push(DroppedFile { path, file });
        }
        if files.len() + remaining.len() > MAX_FILES {
            return Err(format!(
                "expected at most {MAX_FILES} files, found more: choose the folder of one examination"
            ));
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Awaits a function with callbacks for its result and its error.
async fn promise(
    call: impl FnOnce(&Function, &Function) -> Result<(), JsValue>,
) -> Result<JsValue, JsValue> {
    let mut call = Some(call);
    let promise = Promise::new(&mut |resolve, reject| {
        if let Some(Err(error)) = call.take().map(|call| call(&resolve, &reject)) {
            let _ = reject.call1(&JsValue::NULL, &error);
        }
    });
    JsFuture::from(promise).await
}

/// Reads a file into an `ArrayBuffer`, which can be transferred to the worker.
pub async fn read_file(file: &File) -> Result<JsValue, String> {
    JsFuture::from(file.array_buffer()).await.map_err(|error| {
        let reason = error_text(&error);
        format!("cannot read {}: {reason}. Was it moved or changed? Choose it again.", file.name())
    })
}

/// Downloads the bytes of `path` from the page's own server.
pub async fn fetch(path: &str) -> Result<Vec<u8>, String> {
    let response = gloo::net::http::Request::get(path).send().await;
    let response = response.map_err(|e| format!("the server does not respond for {path}: {e}"))?;
    if !response.ok() {
        return Err(format!("the server has no {path} (status {})", response.status()));
    }
    response.binary().await.map_err(|e| format!("cannot load {path}: {e}"))
}

/// Returns the stored value of `key`, or `None` if there is none or storage is not allowed.
pub fn stored(key: &str) -> Option<String> {
    window().local_storage().ok()??.get_item(key).ok()?
}

/// Stores a value under `key` in the browser. Does nothing if storage is not allowed.
pub fn store(key: &str, value: &str) {
    if let Ok(Some(storage)) = window().local_storage() {
        let _ = storage.set_item(key, value);
    }
}

/// Copies bytes into an `ArrayBuffer`, which can be transferred to the worker.
pub fn array_buffer(bytes: &[u8]) -> JsValue {
    Uint8Array::from(bytes).buffer().into()
}

/// Downloads bytes to the user's disk as a file.
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

/// Copies text to the clipboard. Returns whether the browser allowed it.
pub async fn copy(text: &str) -> bool {
    let navigator = window().navigator();
    // Outside of a secure context the clipboard is undefined.
    match Reflect::get(&navigator, &"clipboard".into()) {
        Ok(clipboard) if clipboard.is_object() => {
            JsFuture::from(navigator.clipboard().write_text(text)).await.is_ok()
        }
        _ => false,
    }
}

/// Returns the address without its fragment, and the fragment with its `#`.
pub fn address() -> (String, String) {
    let href = window().location().href().unwrap_or_default();
    match href.find('#') {
        Some(start) => (href[..start].to_string(), href[start..].to_string()),
        None => (href, String::new()),
    }
}

/// Replaces the address without loading anything.
pub fn set_address(href: &str) {
    if let Ok(history) = window().history() {
        let _ = history.replace_state_with_url(&JsValue::NULL, "", Some(href));
    }
}

/// Returns whether the browser offers WebGPU on this page.
pub fn has_webgpu() -> bool {
    let gpu = Reflect::get(&window().navigator(), &"gpu".into());
    gpu.is_ok_and(|gpu| gpu.is_object())
}

/// Returns whether the browser has a GPU for WebGPU.
pub async fn has_gpu() -> bool {
    let request_adapter = || {
        let gpu = Reflect::get(&window().navigator(), &"gpu".into())?;
        let request = Reflect::get(&gpu, &"requestAdapter".into())?;
        request.dyn_ref::<Function>().ok_or(JsValue::NULL)?.call0(&gpu)
    };
    let Ok(adapter) = request_adapter() else { return false };
    JsFuture::from(Promise::from(adapter)).await.is_ok_and(|adapter| adapter.is_object())
}

/// Returns whether the address is secure enough for WebGPU: https, or this computer.
pub fn is_secure() -> bool {
    let is_secure = Reflect::get(&window(), &"isSecureContext".into());
    is_secure.is_ok_and(|is_secure| is_secure.is_truthy())
}

/// Describes the browser for diagnostics.
pub fn describe() -> String {
    let navigator = window().navigator();
    let agent = navigator.user_agent().unwrap_or_default();
    let value = |object: &JsValue, key: &str| {
        let value = Reflect::get(object, &key.into()).unwrap_or(JsValue::UNDEFINED);
        value.as_f64().map_or_else(|| value.is_truthy().to_string(), |number| number.to_string())
    };
    format!(
        "{agent}; {} processors; {} GB; WebGPU {}; cross-origin isolated {}",
        value(&navigator, "hardwareConcurrency"),
        value(&navigator, "deviceMemory"),
        has_webgpu(),
        value(&window(), "crossOriginIsolated"),
    )
}

/// Returns the message of a browser's error.
pub fn error_text(error: &JsValue) -> String {
    let message = Reflect::get(error, &"message".into()).ok().and_then(|m| m.as_string());
    message.or_else(|| error.as_string()).unwrap_or_else(|| format!("{error:?}"))
}
