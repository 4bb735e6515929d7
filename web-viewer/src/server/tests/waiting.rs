//! Clients that are slow, silent or many, and the server's end.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::*;

/// More than the buffers of both ends hold.
const LARGE_BYTES: u64 = 64 << 20;

/// A folder of the page with a large file, which takes no room on the disk.
fn page() -> TempDir {
    let page = tempfile::tempdir().unwrap();
    fs::write(page.path().join("index.html"), "page").unwrap();
    let large = fs::File::create(page.path().join("large.bin")).unwrap();
    large.set_len(LARGE_BYTES).unwrap();
    page
}

fn short(connections: usize) -> Limits {
    Limits {
        connections,
        header_timeout: Duration::from_millis(300),
        write_timeout: Duration::from_millis(300),
        grace: Duration::from_millis(500),
    }
}

/// The bytes until the other end closes, within ten seconds.
async fn rest(stream: &mut TcpStream) -> u64 {
    let mut bytes = Vec::new();
    // A connection that the server cuts may end with an error; what came before counts.
    let _ = timeout(Duration::from_secs(10), stream.read_to_end(&mut bytes)).await.unwrap();
    bytes.len() as u64
}

#[tokio::test]
async fn a_header_that_does_not_arrive_in_time_ends_its_connection() {
    let page = page();
    let server = Server::start(router(page.path(), None).unwrap(), short(9)).await;
    // Nothing at all; the start; one byte after the other; a second request that never comes.
    for (start, drips, answers) in [
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
        let drip = async {
            while drips && writing.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = timeout(Duration::from_secs(10), reading.read_to_end(&mut bytes)) => {}
            () = drip => {}
        }
        let elapsed = start_time.elapsed();
        assert!(elapsed >= Duration::from_millis(250), "{start:?}: after {elapsed:?}");
        assert!(elapsed < Duration::from_secs(5), "{start:?}: after {elapsed:?}");
        assert_eq!(bytes.starts_with(b"HTTP/1.1 200"), answers, "{start:?}");
    }
}

/// With room for one connection, the next is served only once that one has ended.
#[tokio::test]
async fn a_reader_that_takes_nothing_makes_room_for_the_next() {
    let page = page();
    let server = Server::start(router(page.path(), None).unwrap(), short(1)).await;
    let mut idle = server.ask("GET /large.bin HTTP/1.1").await;
    let start = Instant::now();
    let answer = timeout(Duration::from_secs(10), server.answer("GET / HTTP/1.1")).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(start.elapsed() >= Duration::from_millis(250), "after {:?}", start.elapsed());
    assert!(rest(&mut idle).await < LARGE_BYTES);
}

/// A reader whose pauses are shorter than the limit gets all, however long that takes in sum.
#[tokio::test]
async fn a_slow_reader_gets_the_whole_file() {
    let page = page();
    let server = Server::start(router(page.path(), None).unwrap(), short(9)).await;
    let mut stream = server.ask("GET /large.bin HTTP/1.1").await;
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
async fn a_server_that_ends_finishes_what_it_has_begun() {
    let page = page();
    let (stop, stopped) = oneshot::channel();
    let stopped = async { stopped.await.unwrap() };
    let limits = Limits { grace: Duration::from_secs(30), ..short(9) };
    let mut server = Server::start_until(router(page.path(), None).unwrap(), limits, stopped).await;
    let mut download = server.ask("GET /large.bin HTTP/1.1").await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    download.read_exact(&mut [0; 1000]).await.unwrap();
    stop.send(()).unwrap();
    assert!(1000 + rest(&mut download).await > LARGE_BYTES);
    assert_eq!(rest(&mut silent).await, 0);
    assert_eq!(timeout(Duration::from_secs(10), &mut server.task).await.unwrap().unwrap(), 0);
    assert!(TcpStream::connect(server.address).await.is_err(), "it listens no more");
}

#[tokio::test]
async fn a_server_that_ends_waits_no_longer_than_its_limit() {
    let page = page();
    let (stop, stopped) = oneshot::channel();
    let stopped = async { stopped.await.unwrap() };
    let limits = Limits { write_timeout: Duration::from_secs(600), ..short(9) };
    let mut server = Server::start_until(router(page.path(), None).unwrap(), limits, stopped).await;
    let _idle = server.ask("GET /large.bin HTTP/1.1").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    stop.send(()).unwrap();
    assert_eq!(timeout(Duration::from_secs(10), &mut server.task).await.unwrap().unwrap(), 1);
}
