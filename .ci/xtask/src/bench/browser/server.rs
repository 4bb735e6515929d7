//! A small HTTP server for the benchmark's page and for the page's reports.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::{Context, Result, ensure};

/// The size limit of a report. Larger logits are not compared.
const MAX_REPORT_BYTES: usize = 1 << 30;

/// A server that runs until the process ends.
pub struct Server {
    /// The address on which the server listens.
    pub address: SocketAddr,
    /// The reports of pages: path and body.
    pub reports: Receiver<(String, Vec<u8>)>,
    folders: Arc<Mutex<Vec<(&'static str, PathBuf)>>>,
}

impl Server {
    /// Starts on a free port of this machine. Each folder is served under the name beside it.
    ///
    /// # Errors
    /// If there is no free port.
    pub fn start(folders: Vec<(&'static str, PathBuf)>) -> Result<Server> {
        let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen on 127.0.0.1")?;
        let address = listener.local_addr()?;
        let (sender, reports) = channel();
        let folders = Arc::new(Mutex::new(folders));
        let served = folders.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (sender, served) = (sender.clone(), served.clone());
                // A browser opens connections in advance, so each needs a thread of its own.
                thread::spawn(move || {
                    let folders = served.lock().expect("no thread panics with it").clone();
                    // A connection that the browser closed is not an error.
                    let _ = answer(&stream, &folders, &sender);
                });
            }
        });
        Ok(Server { address, reports, folders })
    }

    /// Serves another folder under a name.
    pub fn replace(&self, name: &'static str, folder: &Path) {
        let mut folders = self.folders.lock().expect("no thread panics with it");
        folders.retain(|(served, _)| *served != name);
        folders.push((name, folder.to_path_buf()));
    }
}

/// Answers one request: a file, or the receipt of a report.
fn answer(
    mut stream: &TcpStream,
    folders: &[(&'static str, PathBuf)],
    reports: &Sender<(String, Vec<u8>)>,
) -> Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default().trim_start_matches('/').to_string();
    let mut length = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
    }
    let (status, kind, body) = if method == "POST" {
        ensure!(length <= MAX_REPORT_BYTES, "expected a report, found {length} bytes");
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        // After a time limit nobody receives the report.
        let _ = reports.send((path, body));
        ("200 OK", "text/plain", Vec::new())
    } else {
        match read(folders, &path) {
            Some(body) => ("200 OK", content_type(&path), body),
            None => ("404 Not Found", "text/plain", Vec::new()),
        }
    };
    // Only a page isolated from other origins can share memory between threads.
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\
         Cross-Origin-Opener-Policy: same-origin\r\nCross-Origin-Embedder-Policy: require-corp\r\n\
         Cache-Control: no-store\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)?;
    Ok(())
}

/// Returns the file of a path. The folder is that of the longest name that the path begins with.
fn read(folders: &[(&'static str, PathBuf)], path: &str) -> Option<Vec<u8>> {
    let path = if path.is_empty() { "index.html" } else { path };
    let is_plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    let named =
        folders.iter().filter_map(|(name, folder)| Some((path.strip_prefix(name)?, folder)));
    let (rest, folder) = named.min_by_key(|(rest, _)| rest.len())?;
    is_plain.then(|| fs::read(folder.join(rest)).ok()).flatten()
}

fn content_type(path: &str) -> &'static str {
    match Path::new(path).extension().and_then(|ending| ending.to_str()) {
        None | Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some(_) => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn files_are_served_reports_are_received_and_outside_files_are_not_found() {
        let folder = std::env::temp_dir().join(format!("rewind-server-{}", std::process::id()));
        fs::create_dir_all(folder.join("inside")).unwrap();
        fs::write(folder.join("secret.js"), "outside").unwrap();
        fs::write(folder.join("inside/a.js"), "export {}").unwrap();
        let server = Server::start(vec![("", folder.join("inside"))]).unwrap();
        let response = get(server.address, "GET /a.js?x=1 HTTP/1.1\r\n\r\n");
        assert!(
            response.starts_with("HTTP/1.1 200") && response.ends_with("export {}"),
            "{response}"
        );
        assert!(response.contains("text/javascript"), "{response}");
        for path in ["/../secret.js", "/missing.js", "//etc/hostname"] {
            let response = get(server.address, &format!("GET {path} HTTP/1.1\r\n\r\n"));
            assert!(response.starts_with("HTTP/1.1 404"), "{path}: {response}");
        }
        get(server.address, "POST /done HTTP/1.1\r\nContent-Length: 3\r\n\r\nyes");
        assert_eq!(server.reports.recv().unwrap(), ("done".to_string(), b"yes".to_vec()));
        fs::remove_dir_all(folder).unwrap();
    }
}
