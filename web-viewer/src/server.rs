//! The server of the page: serves the files of two folders, with headers that keep scans on the
//! machine.

mod connections;
mod files;

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version,
};
use axum::http::{header, response};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use tower_http::compression::CompressionLayer;

pub use connections::{Limits, serve};

/// The largest `index.html` that is served. The page's own has 1 KiB.
const MAX_INDEX_BYTES: usize = 1 << 20;

/// Returns a router that serves the page under `/` and, if given, the demonstration under `/demo/`.
///
/// # Errors
/// If a folder cannot be read, or the page's folder has no `index.html`.
pub fn router(page: &Path, demo: Option<&Path>) -> std::io::Result<Router> {
    let in_page = |error| folder_error(error, "a page's folder with index.html", page);
    let root = page.canonicalize().map_err(in_page)?;
    std::fs::File::open(root.join("index.html")).map_err(in_page)?;
    let index: Arc<Path> = root.join("index.html").into();
    let mut router = Router::new()
        .fallback_service(files::serve(root))
        .layer(from_fn_with_state(index.clone(), index_with_policy));
    if let Some(demo) = demo {
        let root = demo.canonicalize();
        let root = root.map_err(|error| folder_error(error, "a demonstration's folder", demo))?;
        router = router.nest_service("/demo", files::serve(root));
    }
    let compression = CompressionLayer::new().compress_when(is_worth_compressing);
    Ok(router
        .layer(from_fn(files::check_if_range))
        .layer(compression)
        .layer(from_fn_with_state(index, add_headers)))
}

fn folder_error(error: std::io::Error, expected: &str, folder: &Path) -> std::io::Error {
    let text = format!("expected {expected}, found: {error} (in {})", folder.display());
    std::io::Error::new(error.kind(), text)
}

/// Returns whether a response is text or WebAssembly. Scans are compressed already, and a model's
/// weights do not shrink. Uncompressed responses also have a known length and can be resumed.
fn is_worth_compressing(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|content_type| {
        ["text/", "application/wasm", "application/json", "image/svg+xml"]
            .iter()
            .any(|start| content_type.starts_with(start))
    })
}

/// Returns a policy under which the page loads everything from this server and sends nothing elsewhere:
/// the browser blocks foreign code and every attempt to send a scan away.
///
/// The page's inline script is allowed by its hash. Its worker starts from a blob of one line.
fn content_security_policy(index: &str) -> String {
    let scripts = index.split("<script type=\"module\">").skip(1);
    let scripts = scripts.filter_map(|s| s.split_once("</script>"));
    let hashes: String = scripts
        .map(|(script, _)| format!(" 'sha256-{}'", STANDARD.encode(Sha256::digest(script))))
        .collect();
    format!(
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'{hashes}; \
         worker-src 'self' blob:; style-src 'self'; img-src 'self' data: blob:; \
         connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

fn policy_header(index: &[u8]) -> HeaderValue {
    let policy = content_security_policy(&String::from_utf8_lossy(index));
    HeaderValue::from_str(&policy).expect("the policy is made of visible ASCII")
}

/// Serves `index.html`, also for `/`. The policy is computed from the bytes that are sent, so that it
/// matches even while the page is rebuilt.
async fn index_with_policy(mut request: Request, next: Next) -> Response {
    if request.uri().path() == "/" {
        *request.uri_mut() = Uri::from_static("/index.html");
    }
    let is_index = request.method() == Method::GET && request.uri().path() == "/index.html";
    let response = next.run(request).await;
    if !is_index || response.status() != StatusCode::OK {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, MAX_INDEX_BYTES).await else {
        let text = "The page's index.html cannot be read.\n";
        return (StatusCode::INTERNAL_SERVER_ERROR, text).into_response();
    };
    parts.headers.insert(header::CONTENT_LENGTH, bytes.len().into());
    parts.headers.insert(header::CONTENT_SECURITY_POLICY, policy_header(&bytes));
    Response::from_parts(parts, Body::from(bytes))
}

/// Adds the headers to every response, and a text to "not found".
async fn add_headers(State(index): State<Arc<Path>>, mut request: Request, next: Next) -> Response {
    let known_etags = join_known_etags(request.headers_mut());
    let mut response = next.run(request).await;
    if response.status() == StatusCode::NOT_FOUND {
        response = (StatusCode::NOT_FOUND, "There is no such file here.\n").into_response();
    }
    if !response.headers().contains_key(header::CONTENT_SECURITY_POLICY) {
        // If the file cannot be read, the policy lacks the script's hash and the script does not run.
        let policy = policy_header(&tokio::fs::read(&index).await.unwrap_or_default());
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    let (mut parts, body) = response.into_parts();
    weaken_etag(&mut parts, known_etags.as_ref());
    add_charset(&mut parts);
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), microphone=(), geolocation=()"),
        // The browser revalidates each file, so that it never mixes two builds of the page. The entity
        // tag avoids the download of an unchanged file.
        ("cache-control", "no-cache"),
    ] {
        parts.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    Response::from_parts(parts, body)
}

/// Joins the request's `If-None-Match` headers into one, as [`ServeDir`] expects them, and returns it.
/// A list of tags may be divided over several headers (RFC 9110, section 5.3).
///
/// [`ServeDir`]: tower_http::services::ServeDir
fn join_known_etags(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let all: Vec<&[u8]> =
        headers.get_all(header::IF_NONE_MATCH).iter().map(HeaderValue::as_bytes).collect();
    let etags =
        HeaderValue::from_bytes(&all.join(&b", "[..])).ok().filter(|etags| !etags.is_empty())?;
    headers.insert(header::IF_NONE_MATCH, etags.clone());
    Some(etags)
}

/// Makes the entity tag weak if the response is compressed, or if the client sent the weak tag.
///
/// A strong tag names the exact bytes; a file and its compressed form are only equivalent (RFC 9110,
/// section 8.8.1).
fn weaken_etag(response: &mut response::Parts, known_etags: Option<&HeaderValue>) {
    let Some(etag) = response.headers.get(header::ETAG).and_then(|etag| etag.to_str().ok()) else {
        return;
    };
    let weak = format!("W/{etag}");
    let is_known = known_etags
        .and_then(|etags| etags.to_str().ok())
        .is_some_and(|etags| etags.contains(&weak));
    if response.headers.contains_key(header::CONTENT_ENCODING) || is_known {
        let weak = HeaderValue::from_str(&weak).expect("an entity tag is visible ASCII");
        response.headers.insert(header::ETAG, weak);
    }
}

/// Adds the charset to the content type of text, which a file's extension does not determine.
fn add_charset(response: &mut response::Parts) {
    let name = response.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if let Some(name) = name.filter(|name| name.starts_with("text/") && !name.contains(';')) {
        let name = HeaderValue::from_str(&format!("{name}; charset=utf-8"));
        response.headers.insert(header::CONTENT_TYPE, name.expect("a type is visible ASCII"));
    }
}

#[cfg(test)]
mod tests;
