//! Slow, silent or many clients, and the server's shutdown.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::*;

/// More than the buffers of both ends.
const LARGE_BYTES: u64 = 64 << 20;

/// Makes a page's folder with a large sparse file.
fn page_with_large_file() -> TempDir {
    let page = tempfile::tempdir().unwrap();
    fs::write(page.path().join("index.html"), "page").unwrap();
    let large = fs::File::create(page.path().join("large.bin")).unwrap();
    large.set_len(LARGE_BYTES).unwrap();
    page
}

fn short_limits(max_connections: usize) -> Limits {
    Limits {
        max_connections,
        header_timeout: Duration::from_millis(300),
        write_timeout: Duration::from_millis(300),
        shutdown_timeout: Duration::from_millis(500),
    }
}

/// Returns the number of bytes until the other end closes, within ten seconds.
async fn count_remaining(stream: &mut TcpStream) -> u64 {
    let mut bytes = Vec::new();
    // A connection that the server cuts off may end with an error after its last bytes.
    let _ = timeout(Duration::from_secs(10), stream.read_to_end(&mut bytes)).await.unwrap();
    bytes.len() as u64
}

#[tokio::test]
async fn a_late_header_ends_its_connection() {
    let page = page_with_large_file();
    let server = Server::start(router(page.path(), None).unwrap(), short_limits(9)).await;
    // Nothing; the beginning of a header; byte after byte; a second request that never comes.
    for (start, sends_bytes, is_served) in [
        ("", false, false),
        ("GET / HTTP/1.1\r\nHost:", false, false),
        ("GET / HTTP/1.1\r\nHost: x\r\nX: ", true, false),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", false, true),
    ] {
        let start_time = Instant::now();
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        let (mut reading, mut writing) = stream.split();
        let mut bytes = Vec::new();
        let send_slowly = async {
            while sends_bytes && writing.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = timeout(Duration::from_secs(10), reading.read_to_end(&mut bytes)) => {}
            () = send_slowly => {}
        }
        let elapsed = start_time.elapsed();
        assert!(elapsed >= Duration::from_millis(250), "{start:?}: after {elapsed:?}");
        assert!(elapsed < Duration::from_secs(5), "{start:?}: after {elapsed:?}");
        assert_eq!(bytes.starts_with(b"HTTP/1.1 200"), is_served, "{start:?}");
    }
}

/// With a limit of one connection, the next is served once that connection has ended.
#[tokio::test]
async fn a_reader_that_takes_nothing_is_cut_off() {
    let page = page_with_large_file();
    let server = Server::start(router(page.path(), None).unwrap(), short_limits(1)).await;
    let mut idle = server.send("GET /large.bin HTTP/1.1").await;
    let start = Instant::now();
    let response =
        timeout(Duration::from_secs(10), server.response("GET / HTTP/1.1")).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    assert!(start.elapsed() >= Duration::from_millis(250), "after {:?}", start.elapsed());
    assert!(count_remaining(&mut idle).await < LARGE_BYTES);
}

/// Only a single pause is limited, not the sum of the pauses.
#[tokio::test]
async fn a_slow_reader_gets_the_whole_file() {
    let page = page_with_large_file();
    let server = Server::start(router(page.path(), None).unwrap(), short_limits(9)).await;
    let mut stream = server.send("GET /large.bin HTTP/1.1").await;
    let (mut chunk, mut count, start) = (vec![0; 8 << 20], 0, Instant::now());
    loop {
        match stream.read(&mut chunk).await.unwrap() {
            0 => break,
            bytes => count += bytes as u64,
        }
        if start.elapsed() < Duration::from_millis(900) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    assert!(count > LARGE_BYTES && start.elapsed() > Duration::from_millis(900), "{count}");
}

#[tokio::test]
async fn shutdown_finishes_downloads_in_progress() {
    let page = page_with_large_file();
    let (stop, stopped) = oneshot::channel();
    let stopped = async { stopped.await.unwrap() };
    let limits = Limits { shutdown_timeout: Duration::from_secs(30), ..short_limits(9) };
    let mut server = Server::start_until(router(page.path(), None).unwrap(), limits, stopped).await;
    let mut download = server.send("GET /large.bin HTTP/1.1").await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    download.read_exact(&mut [0; 1000]).await.unwrap();
    stop.send(()).unwrap();
    assert!(1000 + count_remaining(&mut download).await > LARGE_BYTES);
    assert_eq!(count_remaining(&mut silent).await, 0);
    assert_eq!(timeout(Duration::from_secs(10), &mut server.task).await.unwrap().unwrap(), 0);
    assert!(TcpStream::connect(server.address).await.is_err(), "the server still listens");
}

#[tokio::test]
async fn shutdown_waits_no_longer_than_its_limit() {
    let page = page_with_large_file();
    let (stop, stopped) = oneshot::channel();
    let stopped = async { stopped.await.unwrap() };
    let limits = Limits { write_timeout: Duration::from_secs(600), ..short_limits(9) };
    let mut server = Server::start_until(router(page.path(), None).unwrap(), limits, stopped).await;
    let _idle = server.send("GET /large.bin HTTP/1.1").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    stop.send(()).unwrap();
    assert_eq!(timeout(Duration::from_secs(10), &mut server.task).await.unwrap().unwrap(), 1);
}
