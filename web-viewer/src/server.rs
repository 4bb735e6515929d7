//! The server of the page: files of two folders, and headers that keep a scan on the machine.

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

/// The largest `index.html` that is served; the page's own has 1 KiB.
const MAX_INDEX_BYTES: usize = 1 << 20;

/// The page under `/` and, where given, the demonstration under `/demo/`.
///
/// # Errors
/// When a folder cannot be read, or the page's has no `index.html`.
pub fn router(page: &Path, demo: Option<&Path>) -> std::io::Result<Router> {
    let in_page = |error| named(error, "a page's folder with index.html", page);
    let root = page.canonicalize().map_err(in_page)?;
    std::fs::File::open(root.join("index.html")).map_err(in_page)?;
    let index: Arc<Path> = root.join("index.html").into();
    let mut router = Router::new()
        .fallback_service(files::serve(root))
        .layer(from_fn_with_state(index.clone(), index_with_policy));
    if let Some(demo) = demo {
        let root = demo.canonicalize();
        let root = root.map_err(|error| named(error, "a demonstration's folder", demo))?;
        router = router.nest_service("/demo", files::serve(root));
    }
    let compression = CompressionLayer::new().compress_when(is_worth_compressing);
    Ok(router
        .layer(from_fn(files::whole_if_changed))
        .layer(compression)
        .layer(from_fn_with_state(index, with_headers)))
}

fn named(error: std::io::Error, expected: &str, folder: &Path) -> std::io::Error {
    let text = format!("expected {expected}, found: {error} (in {})", folder.display());
    std::io::Error::new(error.kind(), text)
}

/// Text and WebAssembly. Scans are compressed already, a model's weights do not shrink, and what is
/// sent as it is keeps its length and can be resumed.
fn is_worth_compressing(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|content_type| {
        ["text/", "application/wasm", "application/json", "image/svg+xml"]
            .iter()
            .any(|start| content_type.starts_with(start))
    })
}

/// Everything comes from here and nothing goes elsewhere: a page that is tricked into loading
/// foreign code, or into sending a scan away, is stopped by the browser. The page's one inline
/// script is allowed by its hash; its worker starts from a blob of one line.
fn content_security_policy(index: &str) -> String {
    let scripts = index.split("<script type=\"module\">").skip(1);
    let scripts = scripts.filter_map(|s| s.split_once("</script>"));
    let hashes: String = scripts
        .map(|(script, _)| format!(" 'sha256-{}'", STANDARD.encode(Sha256::digest(script))))
        .collect();
    format!(
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'{hashes}; \
         worker-src 'self' blob:; style-src 'self'; img-src 'self' data: blob:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

fn policy_of(index: &[u8]) -> HeaderValue {
    let policy = content_security_policy(&String::from_utf8_lossy(index));
    HeaderValue::from_str(&policy).expect("the policy is made of visible ASCII")
}

/// Sends `index.html`, also for `/`, under the policy of the very bytes that are sent, even while it
/// is rebuilt.
async fn index_with_policy(mut request: Request, next: Next) -> Response {
    if request.uri().path() == "/" {
        *request.uri_mut() = Uri::from_static("/index.html");
    }
    let is_index = request.method() == Method::GET && request.uri().path() == "/index.html";
    let answer = next.run(request).await;
    if !is_index || answer.status() != StatusCode::OK {
        return answer;
    }
    let (mut parts, body) = answer.into_parts();
    let Ok(bytes) = to_bytes(body, MAX_INDEX_BYTES).await else {
        let text = "The page's index.html cannot be read.\n";
        return (StatusCode::INTERNAL_SERVER_ERROR, text).into_response();
    };
    parts.headers.insert(header::CONTENT_LENGTH, bytes.len().into());
    parts.headers.insert(header::CONTENT_SECURITY_POLICY, policy_of(&bytes));
    Response::from_parts(parts, Body::from(bytes))
}

/// Puts the headers on every answer, and a sentence on one without a file.
async fn with_headers(
    State(index): State<Arc<Path>>,
    mut request: Request,
    next: Next,
) -> Response {
    let known = known_tags(request.headers_mut());
    let mut answer = next.run(request).await;
    if answer.status() == StatusCode::NOT_FOUND {
        answer = (StatusCode::NOT_FOUND, "There is no such file here.\n").into_response();
    }
    if !answer.headers().contains_key(header::CONTENT_SECURITY_POLICY) {
        // Without its hash the page's script does not run: that is the safe side.
        let policy = policy_of(&tokio::fs::read(&index).await.unwrap_or_default());
        answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    let (mut parts, body) = answer.into_parts();
    weaken_tag(&mut parts, known.as_ref());
    name_charset(&mut parts);
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), microphone=(), geolocation=()"),
        // Always asked for again, so that a rebuilt page is never half old; a tag spares the copy.
        ("cache-control", "no-cache"),
    ] {
        parts.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    Response::from_parts(parts, body)
}

/// The tags of the versions that the client has, in one header as [`ServeDir`] reads them: a list may
/// come in several (RFC 9110, section 5.3).
///
/// [`ServeDir`]: tower_http::services::ServeDir
fn known_tags(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let all: Vec<&[u8]> =
        headers.get_all(header::IF_NONE_MATCH).iter().map(HeaderValue::as_bytes).collect();
    let known =
        HeaderValue::from_bytes(&all.join(&b", "[..])).ok().filter(|known| !known.is_empty())?;
    headers.insert(header::IF_NONE_MATCH, known.clone());
    Some(known)
}

/// A file's tag names its bytes; compressed, or known by the tag of the compressed form, they are
/// only equivalent (RFC 9110, section 8.8.1).
fn weaken_tag(answer: &mut response::Parts, known: Option<&HeaderValue>) {
    let Some(tag) = answer.headers.get(header::ETAG).and_then(|tag| tag.to_str().ok()) else {
        return;
    };
    let weak = format!("W/{tag}");
    let is_known =
        known.and_then(|tags| tags.to_str().ok()).is_some_and(|tags| tags.contains(&weak));
    if answer.headers.contains_key(header::CONTENT_ENCODING) || is_known {
        let weak = HeaderValue::from_str(&weak).expect("a tag stays visible ASCII");
        answer.headers.insert(header::ETAG, weak);
    }
}

/// Names the encoding of text, which a file's ending does not tell.
fn name_charset(answer: &mut response::Parts) {
    let name = answer.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if let Some(name) = name.filter(|name| name.starts_with("text/") && !name.contains(';')) {
        let name = HeaderValue::from_str(&format!("{name}; charset=utf-8"));
        answer.headers.insert(header::CONTENT_TYPE, name.expect("it stays visible ASCII"));
    }
}

#[cfg(test)]
mod tests;
