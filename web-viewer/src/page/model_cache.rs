//! Caches the server's model in the browser. A cached copy is used only if its checksum matches and the
//! server confirms that its file is unchanged, or does not respond at all.

use js_sys::{Array, ArrayBuffer, Uint8Array};
use leptos::prelude::window;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Cache, Headers, Request, RequestInit, Response, ResponseInit};

use super::browser::error_text;

/// The cache's name. Its number changes with the format of the entries.
const CACHE_NAME: &str = "rewind-models-1";

/// The header with the SHA-256 of an entry's bytes. Because the checksum is part of the entry, which is
/// replaced as a whole, two tabs cannot mix the checksum of one file with the bytes of another.
const CHECKSUM_HEADER: &str = "x-rewind-sha256";

/// A cached copy whose checksum matches.
struct CachedModel {
    /// The entity tag of the file on the server.
    etag: String,
    buffer: ArrayBuffer,
}

/// Downloads the server's bytes of `path`, or returns the cached copy if it is the same.
///
/// # Errors
/// A message for the user. Errors of the cache are ignored: the file is then downloaded.
pub async fn fetch(path: &str) -> Result<JsValue, String> {
    let cache = open_cache().await;
    let cached = match &cache {
        Some(cache) => read_entry(cache, path).await.ok().flatten(),
        None => None,
    };
    let headers = Headers::new().map_err(|e| error_text(&e))?;
    if let Some(cached) = &cached {
        // The server then responds with "not modified" instead of the file.
        headers.set("if-none-match", &cached.etag).map_err(|e| error_text(&e))?;
    }
    let options = RequestInit::new();
    options.set_headers(&headers);
    let response = JsFuture::from(window().fetch_with_str_and_init(path, &options)).await;
    let response: Response = match (response, cached.as_ref()) {
        (Ok(response), _) => response.unchecked_into(),
        // Without a network the page runs what it has.
        (Err(_), Some(cached)) => return Ok(cached.buffer.clone().into()),
        (Err(error), None) => {
            let error = error_text(&error);
            return Err(format!("the server does not respond for {path}: {error}"));
        }
    };
    match cached {
        Some(cached) if response.status() == 304 => return Ok(cached.buffer.into()),
        _ if response.ok() => {}
        _ => return Err(format!("the server has no {path} (status {})", response.status())),
    }
    let etag = response.headers().get("etag").ok().flatten();
    let buffer = read_body(&response).await;
    let buffer = buffer.map_err(|e| format!("cannot load {path}: {}", error_text(&e)))?;
    if let (Some(cache), Some(etag)) = (&cache, etag) {
        // The model is used even if the disk is full.
        let _ = replace_entry(cache, path, &etag, &buffer).await;
    }
    Ok(buffer.into())
}

/// Opens the cache. Returns `None` if the browser offers none: outside of https, and in some private
/// browsing modes.
async fn open_cache() -> Option<Cache> {
    let caches = window().caches().ok()?;
    let subtle = window().crypto().ok()?.subtle();
    if !caches.is_object() || !subtle.is_object() {
        return None;
    }
    Some(JsFuture::from(caches.open(CACHE_NAME)).await.ok()?.unchecked_into())
}

/// Reads the entry of `path`. Deletes an entry whose checksum does not match.
async fn read_entry(cache: &Cache, path: &str) -> Result<Option<CachedModel>, JsValue> {
    let entry = JsFuture::from(cache.match_with_str(path)).await?;
    let Some(response) = entry.dyn_ref::<Response>() else { return Ok(None) };
    let (etag, sum) = (response.headers().get("etag")?, response.headers().get(CHECKSUM_HEADER)?);
    let buffer = read_body(response).await?;
    match (etag, sum) {
        (Some(etag), Some(sum)) if sum == checksum(&buffer).await? => {
            Ok(Some(CachedModel { etag, buffer }))
        }
        _ => {
            JsFuture::from(cache.delete_with_str(path)).await?;
            Ok(None)
        }
    }
}

/// Stores a file, and deletes every other entry: models are large, and the server offers one.
async fn replace_entry(
    cache: &Cache,
    path: &str,
    etag: &str,
    buffer: &ArrayBuffer,
) -> Result<(), JsValue> {
    let headers = Headers::new()?;
    headers.set("etag", etag)?;
    headers.set("content-type", "application/octet-stream")?;
    headers.set(CHECKSUM_HEADER, &checksum(buffer).await?)?;
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

async fn read_body(response: &Response) -> Result<ArrayBuffer, JsValue> {
    Ok(JsFuture::from(response.array_buffer()?).await?.unchecked_into())
}

/// Returns the SHA-256 in hexadecimal, which the browser computes outside the page's thread.
async fn checksum(buffer: &ArrayBuffer) -> Result<String, JsValue> {
    let subtle = window().crypto()?.subtle();
    let digest =
        JsFuture::from(subtle.digest_with_str_and_buffer_source("SHA-256", buffer)?).await?;
    Ok(hex::encode(Uint8Array::new(&digest).to_vec()))
}
