//! The model that the server offers, kept by the browser. A kept copy is used only when the server
//! says that its file is still this one and the copy's checksum still holds.

use js_sys::{Array, ArrayBuffer, Uint8Array};
use leptos::prelude::window;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Cache, Headers, Request, RequestInit, Response, ResponseInit};

use super::browser::text_of;

/// Changes with what is stored.
const CACHE: &str = "rewind-models-1";

/// SHA-256 of an entry's bytes. It stands in the entry itself, which is replaced as a whole, so that
/// two tabs cannot mix the checksum of one file with the bytes of another.
const CHECKSUM: &str = "x-rewind-sha256";

/// A copy whose checksum holds.
struct Kept {
    /// The server's name for this version of the file.
    tag: String,
    buffer: ArrayBuffer,
}

/// The bytes that the server has at `path`, from the browser's own copy where that is the same.
///
/// # Errors
/// What went wrong, in words. The cache is never the reason: without it everything is loaded.
pub async fn fetched(path: &str) -> Result<JsValue, String> {
    let cache = opened().await;
    let kept = match &cache {
        Some(cache) => kept(cache, path).await.ok().flatten(),
        None => None,
    };
    let headers = Headers::new().map_err(|e| text_of(&e))?;
    if let Some(kept) = &kept {
        // Asked so, the server answers "not modified" instead of sending the file.
        headers.set("if-none-match", &kept.tag).map_err(|e| text_of(&e))?;
    }
    let options = RequestInit::new();
    options.set_headers(&headers);
    let asked = JsFuture::from(window().fetch_with_str_and_init(path, &options)).await;
    let response: Response = asked
        .map_err(|e| format!("the server does not answer for {path}: {}", text_of(&e)))?
        .unchecked_into();
    match kept {
        Some(kept) if response.status() == 304 => return Ok(kept.buffer.into()),
        _ if response.ok() => {}
        _ => return Err(format!("the server has no {path} (it answered {})", response.status())),
    }
    let tag = response.headers().get("etag").ok().flatten();
    let buffer = buffer_of(&response).await;
    let buffer = buffer.map_err(|e| format!("cannot load {path}: {}", text_of(&e)))?;
    if let (Some(cache), Some(tag)) = (&cache, tag) {
        // A full disk is no reason to refuse the model.
        let _ = keep(cache, path, &tag, &buffer).await;
    }
    Ok(buffer.into())
}

/// None where the browser has no such storage: outside of https, and in some private windows.
async fn opened() -> Option<Cache> {
    let caches = window().caches().ok()?;
    let subtle = window().crypto().ok()?.subtle();
    if !caches.is_object() || !subtle.is_object() {
        return None;
    }
    Some(JsFuture::from(caches.open(CACHE)).await.ok()?.unchecked_into())
}

async fn kept(cache: &Cache, path: &str) -> Result<Option<Kept>, JsValue> {
    let found = JsFuture::from(cache.match_with_str(path)).await?;
    let Some(response) = found.dyn_ref::<Response>() else { return Ok(None) };
    let (tag, sum) = (response.headers().get("etag")?, response.headers().get(CHECKSUM)?);
    let buffer = buffer_of(response).await?;
    match (tag, sum) {
        (Some(tag), Some(sum)) if sum == checksum(&buffer).await? => Ok(Some(Kept { tag, buffer })),
        _ => {
            JsFuture::from(cache.delete_with_str(path)).await?;
            Ok(None)
        }
    }
}

/// Keeps this file, and no other: models are large, and the server offers one.
async fn keep(cache: &Cache, path: &str, tag: &str, buffer: &ArrayBuffer) -> Result<(), JsValue> {
    let headers = Headers::new()?;
    headers.set("etag", tag)?;
    headers.set("content-type", "application/octet-stream")?;
    headers.set(CHECKSUM, &checksum(buffer).await?)?;
    let options = ResponseInit::new();
    options.set_headers(&headers);
    let response = Response::new_with_opt_buffer_source_and_init(Some(buffer), &options)?;
    let request = Request::new_with_str(path)?;
    for other in Array::from(&JsFuture::from(cache.keys()).await?).iter() {
        let other: Request = other.unchecked_into();
        if other.url() != request.url() {
            JsFuture::from(cache.delete_with_request(&other)).await?;
        }
    }
    JsFuture::from(cache.put_with_request(&request, &response)).await?;
    Ok(())
}

async fn buffer_of(response: &Response) -> Result<ArrayBuffer, JsValue> {
    Ok(JsFuture::from(response.array_buffer()?).await?.unchecked_into())
}

/// SHA-256 in hexadecimal, by the browser, off the page's thread.
async fn checksum(buffer: &ArrayBuffer) -> Result<String, JsValue> {
    let subtle = window().crypto()?.subtle();
    let digest =
        JsFuture::from(subtle.digest_with_str_and_buffer_source("SHA-256", buffer)?).await?;
    Ok(Uint8Array::new(&digest).to_vec().iter().map(|byte| format!("{byte:02x}")).collect())
}
