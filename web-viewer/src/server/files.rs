//! Serves the files of a folder as streams, except hidden files and links that lead out of the folder.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use tower_http::services::ServeDir;
use tower_http::services::fs::{Backend, DefaultServeDirFallback, TokioBackend, TokioFile};

/// Returns a service for the files of `root`, a path without symbolic links. Folders are not listed.
pub(super) fn serve(root: PathBuf) -> ServeDir<DefaultServeDirFallback, Folder> {
    let folder = Folder { root: root.as_path().into() };
    ServeDir::with_backend(root, folder)
        .append_index_html_on_directories(false)
        .ignore_multi_range_requests(true)
}

/// The served part of the file system.
#[derive(Clone)]
pub(super) struct Folder {
    root: Arc<Path>,
}

impl Folder {
    /// Resolves every link of a path and returns the path with its metadata.
    ///
    /// # Errors
    /// "Not found" if a component of either path is hidden, or a link leads out of the folder.
    async fn resolve(&self, path: PathBuf) -> io::Result<(PathBuf, std::fs::Metadata)> {
        let resolved = tokio::fs::canonicalize(&path).await.map_err(|_| not_found())?;
        if !self.serves(&path) || !self.serves(&resolved) {
            return Err(not_found());
        }
        let metadata = tokio::fs::metadata(&resolved).await.map_err(|_| not_found())?;
        // Opening a pipe would wait for its other end.
        match metadata.is_file() || metadata.is_dir() {
            true => Ok((resolved, metadata)),
            false => Err(not_found()),
        }
    }

    fn serves(&self, path: &Path) -> bool {
        let is_hidden = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b".");
        path.strip_prefix(&self.root).is_ok_and(|inner| !inner.iter().any(is_hidden))
    }
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Backend for Folder {
    type File = TokioFile;
    type Metadata = std::fs::Metadata;
    type OpenFuture = Pin<Box<dyn Future<Output = io::Result<TokioFile>> + Send>>;
    type MetadataFuture = Pin<Box<dyn Future<Output = io::Result<std::fs::Metadata>> + Send>>;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        let folder = self.clone();
        Box::pin(async move { TokioBackend.open(folder.resolve(path).await?.0).await })
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        let folder = self.clone();
        Box::pin(async move { Ok(folder.resolve(path).await?.1) })
    }
}

/// Handles `If-Range`, which [`ServeDir`] does not support: sends the whole file if it is another version
/// than the header names, because the client would join ranges of two versions. Ignores ranges in other
/// units than bytes (RFC 9110, sections 13.1.5 and 14.2).
pub(super) async fn check_if_range(mut request: Request, next: Next) -> Response {
    let headers = request.headers_mut();
    let is_in_bytes = |range: &HeaderValue| range.as_bytes().starts_with(b"bytes=");
    if !headers.get(header::RANGE).is_some_and(is_in_bytes) {
        headers.remove(header::RANGE);
    }
    let Some(version) = headers.remove(header::IF_RANGE) else { return next.run(request).await };
    let mut whole_request = Request::new(Body::empty());
    *whole_request.method_mut() = request.method().clone();
    *whole_request.uri_mut() = request.uri().clone();
    *whole_request.headers_mut() = request.headers().clone();
    whole_request.headers_mut().remove(header::RANGE);
    let response = next.clone().run(request).await;
    let is_partial = [StatusCode::PARTIAL_CONTENT, StatusCode::RANGE_NOT_SATISFIABLE]
        .contains(&response.status());
    let is_same = [header::ETAG, header::LAST_MODIFIED]
        .iter()
        .any(|n| response.headers().get(n) == Some(&version));
    match is_partial && !is_same {
        true => next.run(whole_request).await,
        false => response,
    }
}
