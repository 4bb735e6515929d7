//! Tests of the program `rewind-serve`: its memory and its shutdown.
#![cfg(unix)]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The size of the downloaded file: more than the buffers of both ends.
const LARGE_BYTES: usize = 64 << 20;

/// The running program, whose page's folder has a large file.
struct Server {
    child: Child,
    address: SocketAddr,
    _page: TempDir,
}

impl Server {
    fn start() -> Server {
        let page = tempfile::tempdir().unwrap();
        fs::write(page.path().join("index.html"), "page").unwrap();
        let large = File::create(page.path().join("large.bin")).unwrap();
        large.set_len(LARGE_BYTES as u64).unwrap();
        let mut serve = Command::new(env!("CARGO_BIN_EXE_rewind-serve"));
        serve.args(["--listen", "127.0.0.1:0", "--page"]).arg(page.path());
        let mut child = serve.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
        Server { child, address: address.unwrap().parse().unwrap(), _page: page }
    }

    /// Begins a download of the large file without reading.
    fn begin_download(&self) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let request = b"GET /large.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Waits for the program's end, at most ten seconds.
    fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < Duration::from_secs(10), "the server has not ended");
            sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_signal_lets_downloads_in_progress_finish() {
    for signal in ["INT", "TERM"] {
        let mut server = Server::start();
        let mut download = server.begin_download();
        download.read_exact(&mut [0; 1000]).unwrap();
        server.signal(signal);
        sleep(Duration::from_millis(200));
        assert!(TcpStream::connect(server.address).is_err(), "{signal}: the server still listens");
        let count = std::io::copy(&mut download, &mut std::io::sink()).unwrap();
        assert!(count as usize > LARGE_BYTES - 1000, "{signal}: {count} bytes");
        let status = server.wait();
        assert!(status.success(), "{signal}: {status}");
    }
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let mut server = Server::start();
    let _download = server.begin_download();
    sleep(Duration::from_millis(200));
    server.signal("TERM");
    sleep(Duration::from_millis(200));
    assert!(server.child.try_wait().unwrap().is_none(), "the server did not wait for the download");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(130));
}

/// The memory is the peak resident size that Linux reports.
#[cfg(target_os = "linux")]
#[test]
fn slow_readers_of_a_large_file_take_little_memory() {
    let server = Server::start();
    let mut downloads: Vec<TcpStream> = (0..24).map(|_| server.begin_download()).collect();
    for _ in 0..10 {
        downloads.iter_mut().for_each(|stream| stream.read_exact(&mut [0; 64 << 10]).unwrap());
        sleep(Duration::from_millis(50));
    }
    let status = fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_kib: usize = peak.trim().strip_suffix(" kB").unwrap().trim().parse().unwrap();
    println!("24 slow readers of 64 MiB: {} MiB", peak_kib >> 10);
    assert!(peak_kib < 64 << 10, "{peak_kib} KiB for 24 readers");
}
