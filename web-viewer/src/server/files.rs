//! The files of one folder as streams: what lies inside it and is not hidden.

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

/// Serves the files of a folder, whose path has every link resolved; it lists no folder.
pub(super) fn serve(root: PathBuf) -> ServeDir<DefaultServeDirFallback, Folder> {
    let folder = Folder { root: root.as_path().into() };
    ServeDir::with_backend(root, folder)
        .append_index_html_on_directories(false)
        .ignore_multi_range_requests(true)
}

/// The file system as far as it is served.
#[derive(Clone)]
pub(super) struct Folder {
    root: Arc<Path>,
}

impl Folder {
    /// The file or folder of a path, with every link resolved; not found where a part of either path
    /// is hidden, or a link leads out.
    async fn resolve(&self, path: PathBuf) -> io::Result<(PathBuf, std::fs::Metadata)> {
        let found = tokio::fs::canonicalize(&path).await.map_err(|_| not_found())?;
        if !self.shows(&path) || !self.shows(&found) {
            return Err(not_found());
        }
        let metadata = tokio::fs::metadata(&found).await.map_err(|_| not_found())?;
        // Whoever opens a pipe waits for its other end.
        match metadata.is_file() || metadata.is_dir() {
            true => Ok((found, metadata)),
            false => Err(not_found()),
        }
    }

    fn shows(&self, path: &Path) -> bool {
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

/// Sends a part of a file only of the version that `If-Range` names, else the whole: the client
/// would join parts of two files. [`ServeDir`] does not know that header. Ranges in other units than
/// bytes are ignored (RFC 9110, sections 13.1.5 and 14.2).
pub(super) async fn whole_if_changed(mut request: Request, next: Next) -> Response {
    let headers = request.headers_mut();
    let is_in_bytes = |range: &HeaderValue| range.as_bytes().starts_with(b"bytes=");
    if !headers.get(header::RANGE).is_some_and(is_in_bytes) {
        headers.remove(header::RANGE);
    }
    let Some(known) = headers.remove(header::IF_RANGE) else { return next.run(request).await };
    let mut whole = Request::new(Body::empty());
    *whole.method_mut() = request.method().clone();
    *whole.uri_mut() = request.uri().clone();
    *whole.headers_mut() = request.headers().clone();
    whole.headers_mut().remove(header::RANGE);
    let answer = next.clone().run(request).await;
    let is_part =
        [StatusCode::PARTIAL_CONTENT, StatusCode::RANGE_NOT_SATISFIABLE].contains(&answer.status());
    let is_same = [header::ETAG, header::LAST_MODIFIED]
        .iter()
        .any(|n| answer.headers().get(n) == Some(&known));
    match is_part && !is_same {
        true => next.run(whole).await,
        false => answer,
    }
}
