//! Accepts connections within limits of number and time, and ends them in order.

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

/// The most bytes that a connection buffers of a response, beside the chunk of the file that was read
/// last, and the longest header of a request.
const MAX_BUFFER_BYTES: usize = 64 << 10;

/// The time to wait after the system refused a connection, because the process has no free file.
const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Limits of the connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The number of connections served at once; the next one waits. Each needs two of the files that a
    /// process may have open.
    pub max_connections: usize,
    /// The time for a request's header to arrive, and for an idle connection.
    pub header_timeout: Duration,
    /// The time for which a response may make no progress because its reader takes nothing.
    pub write_timeout: Duration,
    /// The time for responses in progress to finish after the server was stopped.
    pub shutdown_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_connections: 256,
            header_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(60),
            shutdown_timeout: Duration::from_secs(20),
        }
    }
}

/// Serves until `stop`, then lets the responses in progress finish. Returns the number of responses that
/// were cut off after [`Limits::shutdown_timeout`].
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
    let permits = Arc::new(Semaphore::new(limits.max_connections));
    let mut stop = pin!(stop);
    loop {
        let next = async {
            let permit = permits.clone().acquire_owned().await.expect("it is never closed");
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            () = &mut stop => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) if is_client_error(&error) => continue,
            Err(_) => {
                // The process has no free file until another connection ends.
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
            // The errors are those of clients that left or were too slow.
            let _ = connection.await;
            drop(permit);
        });
    }
    drop(listener);
    let ended = tokio::time::timeout(limits.shutdown_timeout, connections.shutdown()).await;
    match ended {
        Ok(()) => 0,
        Err(_) => limits.max_connections - permits.available_permits(),
    }
}

fn is_client_error(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
