//! Connections: how many at once, how long each may wait, and how they end.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;

/// What a connection holds of an answer beside the piece of the file that was read last, and the
/// longest header of a request.
const MAX_BUFFER_BYTES: usize = 64 << 10;

/// How long to wait where the system has no room for a connection.
const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many are served at once; the next waits until one ends. Each takes two of the files that
    /// a process may have open.
    pub connections: usize,
    /// How long a request's header may take to arrive, and a connection may lie idle.
    pub header_timeout: Duration,
    /// How long an answer may make no progress, since its reader takes nothing.
    pub write_timeout: Duration,
    /// How long answers under way may go on after the server was asked to end.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 256,
            header_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(60),
            grace: Duration::from_secs(20),
        }
    }
}

/// Serves until `stop`, then lets the answers under way finish. Returns how many were cut, since
/// they took longer than the limit.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    stop: impl Future<Output = ()>,
) -> usize {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(MAX_BUFFER_BYTES);
    let connections = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(limits.connections));
    let mut stop = pin!(stop);
    loop {
        let next = async {
            let permit = room.clone().acquire_owned().await.expect("it is never closed");
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            () = &mut stop => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(_) => {
                // The process has no file left: connections that end give some back.
                tokio::time::sleep(ACCEPT_RETRY_INTERVAL).await;
                continue;
            }
        };
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(limits.write_timeout));
        let service = TowerToHyperService::new(router.clone());
        let connection = http.serve_connection(TokioIo::new(Box::pin(stream)), service);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            // That a client has left, or was too slow, is no fault of the server.
            let _ = connection.await;
            drop(permit);
        });
    }
    drop(listener);
    let ended = tokio::time::timeout(limits.grace, connections.shutdown()).await;
    match ended {
        Ok(()) => 0,
        Err(_) => limits.connections - room.available_permits(),
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
