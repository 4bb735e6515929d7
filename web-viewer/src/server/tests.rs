use std::fs;
use std::net::SocketAddr;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;

mod waiting;

/// Makes a folder with `secret.txt`, the page's folder and the demonstration's folder.
fn folders() -> TempDir {
    let parent = tempfile::tempdir().unwrap();
    for folder in ["page", "demo"] {
        fs::create_dir(parent.path().join(folder)).unwrap();
    }
    let write = |name: &str, text: &str| fs::write(parent.path().join(name), text).unwrap();
    write("secret.txt", "secret");
    write("page/index.html", "<script type=\"module\">go()</script>");
    write("page/web_viewer.js", &"export let x = 0;\n".repeat(100));
    write("page/web_viewer_bg.wasm", "\0asm");
    write("page/style.css", "body {}");
    write("demo/manifest.json", "{}");
    write("demo/case.nii.gz", &"g".repeat(500));
    write("demo/model.safetensors", &"0123456789".repeat(50));
    write("demo/label.nii", "labels");
    parent
}

/// A server on a free port.
struct Server {
    address: SocketAddr,
    task: JoinHandle<usize>,
}

impl Server {
    async fn start(router: Router, limits: Limits) -> Server {
        Server::start_until(router, limits, std::future::pending()).await
    }

    async fn start_until(
        router: Router,
        limits: Limits,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Server { address, task: tokio::spawn(serve(listener, router, limits, stop)) }
    }

    /// Connects and sends a request that begins with `lines`.
    async fn send(&self, lines: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{lines}\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Returns the response, as sent, to a request that begins with `lines`.
    async fn response(&self, lines: &str) -> String {
        let mut bytes = Vec::new();
        self.send(lines).await.read_to_end(&mut bytes).await.unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts a server of these folders, and returns its response to a request that begins with `lines`.
async fn response(parent: &TempDir, lines: &str) -> String {
    let (page, demo) = (parent.path().join("page"), parent.path().join("demo"));
    let router = router(&page, Some(&demo)).unwrap();
    Server::start(router, Limits::default()).await.response(lines).await
}

#[tokio::test]
async fn files_come_with_their_types() {
    let parent = folders();
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/index.html", "text/html; charset=utf-8"),
        ("/web_viewer.js", "text/javascript; charset=utf-8"),
        ("/web_viewer_bg.wasm", "application/wasm"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/demo/manifest.json", "application/json"),
        ("/demo/case.nii.gz", "application/gzip"),
        ("/demo/model.safetensors", "application/octet-stream"),
        ("/demo/label.nii", "application/octet-stream"),
    ] {
        let response = response(&parent, &format!("GET {path} HTTP/1.1")).await;
        assert!(response.starts_with("HTTP/1.1 200 OK"), "{path}: {response}");
        assert!(
            response.contains(&format!("content-type: {content_type}\r\n")),
            "{path}: {response}"
        );
        assert!(!response.contains("content-encoding"), "{path}: {response}");
    }
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let parent = folders();
    for path in ["/", "/style.css", "/demo/case.nii.gz"] {
        for encoding in ["", "\r\nAccept-Encoding: gzip"] {
            let lines = format!("{path} HTTP/1.1{encoding}");
            let [head, get] =
                ["HEAD", "GET"].map(|method| sorted_headers_and_body(&parent, method, &lines));
            let (head, get) = (head.await, get.await);
            assert_eq!(head.0, get.0, "{path}");
            assert!(head.1.is_empty() && !get.1.is_empty(), "{path}");
        }
    }
}

/// Returns the sorted headers of a response, and its body. Leaves out the date and the transfer encoding,
/// which a response without a body may lack.
async fn sorted_headers_and_body(
    parent: &TempDir,
    method: &str,
    lines: &str,
) -> (Vec<String>, String) {
    let response = response(parent, &format!("{method} {lines}")).await;
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let differs = ["date:", "transfer-encoding:"];
    let lines = head.lines().filter(|line| !differs.iter().any(|name| line.starts_with(name)));
    let mut lines: Vec<String> = lines.map(String::from).collect();
    lines.sort();
    (lines, body.into())
}

#[tokio::test]
async fn nothing_outside_the_folders_is_served() {
    let parent = folders();
    let page = parent.path().join("page");
    fs::create_dir_all(page.join(".git")).unwrap();
    fs::create_dir_all(page.join("open")).unwrap();
    for hidden in [".env", ".git/config", "open/.htpasswd"] {
        fs::write(page.join(hidden), "secret").unwrap();
    }
    #[cfg(unix)]
    for (to, link) in [
        ("../secret.txt", "link.txt"),
        ("..", "up"),
        (".git", "git"),
        (".env", "env.txt"),
        ("style.css", ".style.css"),
        ("nothing.txt", "dangling.txt"),
    ] {
        std::os::unix::fs::symlink(to, page.join(link)).unwrap();
    }
    for path in [
        "/.env",
        "/%2eenv",
        "/.git/config",
        "/open/.htpasswd",
        "/open",
        "/open/",
        "/.style.css",
        "/up/secret.txt",
        "/git/config",
        "/env.txt",
        "/dangling.txt",
        "/style.css/",
        "/style.css/more",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/demo/../../secret.txt",
        "/demo/%2e%2e/secret.txt",
        "/demo/..%5csecret.txt",
        "//secret.txt",
        "/%2fetc/passwd",
        "/link.txt",
        "/index.html%00",
        "/demo/",
        "/demo",
        "/nothing",
    ] {
        for method in ["GET", "HEAD"] {
            let response = response(&parent, &format!("{method} {path} HTTP/1.1")).await;
            assert!(response.starts_with("HTTP/1.1 4"), "{path}: {response}");
            assert!(!response.ends_with("secret"), "{path}: {response}");
        }
    }
    let response = response(&parent, "POST /index.html HTTP/1.1").await;
    assert!(response.starts_with("HTTP/1.1 405"), "{response}");
}

#[tokio::test]
async fn every_response_has_the_security_headers() {
    let parent = folders();
    for path in ["/", "/nothing", "/demo/manifest.json"] {
        let response = response(&parent, &format!("GET {path} HTTP/1.1")).await;
        for expected in [
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cross-origin-opener-policy: same-origin",
            "cache-control: no-cache",
            "default-src 'none'; script-src 'self' 'wasm-unsafe-eval' 'sha256-",
            "frame-ancestors 'none'",
        ] {
            assert!(response.contains(expected), "{path}: expected {expected}, found {response}");
        }
    }
}

/// `printf 'go()' | openssl dgst -sha256 -binary | base64`
#[test]
fn the_policy_allows_the_pages_own_script_by_its_hash() {
    let policy = content_security_policy("<script type=\"module\">go()</script>");
    let hash = "'sha256-5KYv+PUboo5h+0+YAtGRPbwv5d/QxzHslP4YGnUaxRw='";
    assert!(policy.contains(hash), "{policy}");
}

#[tokio::test]
async fn text_is_compressed_and_scans_and_models_are_not() {
    let parent = folders();
    let compressed =
        response(&parent, "GET /web_viewer.js HTTP/1.1\r\nAccept-Encoding: gzip").await;
    assert!(compressed.contains("content-encoding: gzip"), "{compressed}");
    let scan = response(&parent, "GET /demo/case.nii.gz HTTP/1.1\r\nAccept-Encoding: gzip").await;
    assert!(!scan.contains("content-encoding"), "{scan}");

    let model =
        response(&parent, "GET /demo/model.safetensors HTTP/1.1\r\nAccept-Encoding: gzip").await;
    assert!(!model.contains("content-encoding"), "{model}");
    assert!(model.contains("content-length: 500\r\n"), "{model}");
}

/// Returns the value of a response's header.
fn header_value<'a>(response: &'a str, name: &str) -> &'a str {
    let line = response.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("expected {name}, found {response}"))
}

#[tokio::test]
async fn an_unchanged_file_is_not_sent_again() {
    let parent = folders();
    for path in ["/style.css", "/", "/demo/model.safetensors"] {
        let get =
            async |lines: &str| response(&parent, &format!("GET {path} HTTP/1.1{lines}")).await;
        let first = get("").await;
        let tag = header_value(&first, "etag");
        assert!(tag.starts_with('"'), "expected a strong tag, found {tag}");
        for known in [
            tag.to_string(),
            format!("W/{tag}"),
            format!("\"other\", {tag}"),
            format!("W/\"a,b\" ,W/{tag},\"c\""),
            format!("\"other\"\r\nIf-None-Match: {tag}"),
            "*".into(),
        ] {
            let again = get(&format!("\r\nIf-None-Match: {known}")).await;
            assert!(again.starts_with("HTTP/1.1 304"), "{path}, {known}: {again}");
        }
        for unknown in ["\"other\"", "W/\"other\"", &tag[1..tag.len() - 1]] {
            let again = get(&format!("\r\nIf-None-Match: {unknown}")).await;
            assert!(again.starts_with("HTTP/1.1 200"), "{path}, {unknown}: {again}");
        }
        let since = header_value(&first, "last-modified");
        let again = get(&format!("\r\nIf-Modified-Since: {since}")).await;
        assert!(again.starts_with("HTTP/1.1 304"), "{path}: {again}");
    }
}

#[tokio::test]
async fn a_compressed_file_has_a_weak_entity_tag() {
    let parent = folders();
    let request = "GET /web_viewer.js HTTP/1.1\r\nAccept-Encoding: gzip";
    let first = response(&parent, request).await;
    let tag = header_value(&first, "etag");
    assert!(tag.starts_with("W/\""), "{tag}");
    let again = response(&parent, &format!("{request}\r\nIf-None-Match: {tag}")).await;
    assert!(again.starts_with("HTTP/1.1 304"), "{again}");
    assert_eq!(header_value(&again, "etag"), tag);
}

#[tokio::test]
async fn a_download_resumes_unless_the_file_has_changed() {
    let parent = folders();
    let get = async |lines: &str| {
        response(&parent, &format!("GET /demo/model.safetensors HTTP/1.1{lines}")).await
    };
    let whole = get("").await;
    let tag = header_value(&whole, "etag");
    let rest = get(&format!("\r\nRange: bytes=495-\r\nIf-Range: {tag}")).await;
    assert!(rest.starts_with("HTTP/1.1 206"), "{rest}");
    assert_eq!(header_value(&rest, "content-range"), "bytes 495-499/500");
    assert!(rest.ends_with("\r\n\r\n56789"), "{rest}");
    let compressed = get("\r\nRange: bytes=0-1\r\nAccept-Encoding: gzip").await;
    assert!(compressed.ends_with("\r\n\r\n01"), "{compressed}");
    for lines in [
        "Range: bytes=495-\r\nIf-Range: \"other\"".to_string(),
        "Range: bytes=600-\r\nIf-Range: \"other\"".to_string(),
        format!("Range: bytes=495-\r\nIf-Range: W/{tag}"),
        "Range: bytes=495-\r\nIf-Range: Thu, 01 Jan 1970 00:00:00 GMT".to_string(),
        "Range: bytes=0-1,5-6".to_string(),
        "Range: lines=0-1".to_string(),
    ] {
        let response = get(&format!("\r\n{lines}")).await;
        assert!(response.starts_with("HTTP/1.1 200"), "{lines}: {response}");
        assert_eq!(header_value(&response, "content-length"), "500", "{lines}");
    }
    let beyond = get("\r\nRange: bytes=600-").await;
    assert!(beyond.starts_with("HTTP/1.1 416"), "{beyond}");
}

#[tokio::test]
async fn a_rebuilt_page_gets_its_own_policy() {
    let parent = folders();
    let (page, demo) = (parent.path().join("page"), parent.path().join("demo"));
    let server = Server::start(router(&page, Some(&demo)).unwrap(), Limits::default()).await;
    for script in ["go()", "run()", "walk(); run()"] {
        let index = format!("<script type=\"module\">{script}</script>");
        fs::write(page.join("index.html"), &index).unwrap();
        let policy = content_security_policy(&index);
        for path in ["/", "/index.html", "/style.css", "/nothing"] {
            let response = server.response(&format!("GET {path} HTTP/1.1")).await;
            assert_eq!(header_value(&response, "content-security-policy"), policy, "{path}");
        }
    }
    fs::remove_file(page.join("index.html")).unwrap();
    let response = server.response("GET / HTTP/1.1").await;
    assert!(response.starts_with("HTTP/1.1 404"), "{response}");
    assert_eq!(header_value(&response, "content-security-policy"), content_security_policy(""));
}

#[test]
fn a_folder_without_a_page_is_named_in_the_error() {
    let empty = tempfile::tempdir().unwrap();
    let error = router(empty.path(), None).unwrap_err().to_string();
    assert!(error.contains("index.html") && error.contains("in "), "{error}");
}
