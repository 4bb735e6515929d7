//! The server of the page: files of two folders, and headers that keep a scan on the machine.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};

/// A folder whose files are served, with every link in its path resolved.
type Root = Arc<PathBuf>;

/// The page under `/` and, where given, the demonstration under `/demo/`.
///
/// # Errors
/// When a folder cannot be read, or the page's has no `index.html`.
pub fn router(page: &Path, demo: Option<&Path>) -> std::io::Result<Router> {
    let index = std::fs::read_to_string(page.join("index.html"))
        .map_err(|e| named(e, "a page's folder with index.html", page))?;
    let policy = HeaderValue::from_str(&content_security_policy(&index))
        .expect("the policy is made of visible ASCII");
    let page = Root::new(page.canonicalize()?);
    let mut router = Router::new()
        .route("/", get(|root, headers| serve(root, UrlPath("index.html".into()), headers)))
        .route("/{*path}", get(serve))
        .with_state(page);
    if let Some(demo) = demo {
        let root = demo.canonicalize();
        let root = Root::new(root.map_err(|e| named(e, "a demonstration's folder", demo))?);
        let demo = Router::new().route("/demo/{*path}", get(serve)).with_state(root);
        router = router.merge(demo);
    }
    let already_compressed = NotForContentType::new("application/gzip");
    let compression =
        CompressionLayer::new().compress_when(DefaultPredicate::new().and(already_compressed));
    Ok(router.layer(compression).layer(axum::middleware::map_response(move |response| {
        let policy = policy.clone();
        async move { with_headers(response, policy) }
    })))
}

fn named(error: std::io::Error, expected: &str, folder: &Path) -> std::io::Error {
    let text = format!("expected {expected}, found: {error} (in {})", folder.display());
    std::io::Error::new(error.kind(), text)
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

fn with_headers(mut response: Response, policy: HeaderValue) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), microphone=(), geolocation=()"),
        // Always asked for again, so that a rebuilt page is never half old; a tag spares the copy.
        ("cache-control", "no-cache"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

async fn serve(
    State(root): State<Root>,
    UrlPath(path): UrlPath<String>,
    headers: HeaderMap,
) -> Response {
    let Some(file) = file_inside(&root, &path).await else {
        return (StatusCode::NOT_FOUND, "There is no such file here.\n").into_response();
    };
    let Ok((bytes, tag)) = read(&file, headers.get(header::IF_NONE_MATCH)).await else {
        return (StatusCode::NOT_FOUND, "This file cannot be read.\n").into_response();
    };
    let tag_header = (header::ETAG, tag);
    match bytes {
        None => (StatusCode::NOT_MODIFIED, [tag_header]).into_response(),
        Some(bytes) => {
            let content_type = (header::CONTENT_TYPE, content_type(&file).to_string());
            ([content_type, tag_header], bytes).into_response()
        }
    }
}

/// The file that a URL's path names, if it lies inside the folder, whatever links lead there.
async fn file_inside(root: &Path, path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    if !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return None;
    }
    let file = tokio::fs::canonicalize(root.join(path)).await.ok()?;
    (file.starts_with(root) && file.is_file()).then_some(file)
}

/// A file's bytes with its tag; none where the browser has that version already.
async fn read(
    file: &Path,
    known: Option<&HeaderValue>,
) -> std::io::Result<(Option<Vec<u8>>, String)> {
    let metadata = tokio::fs::metadata(file).await?;
    let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let tag = format!("W/\"{:x}-{:x}\"", metadata.len(), modified.as_nanos());
    if known.is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return Ok((None, tag));
    }
    Ok((Some(tokio::fs::read(file).await?), tag))
}

fn content_type(file: &Path) -> &'static str {
    match file.extension().and_then(|e| e.to_str()).unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "wasm" => "application/wasm",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "txt" => "text/plain; charset=utf-8",
        "gz" => "application/gzip",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests;
