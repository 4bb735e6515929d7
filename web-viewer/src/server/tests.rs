use std::fs;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A parent with `secret.txt`, the page's folder and the demonstration's.
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
    parent
}

/// The answer to a request's first lines, as it stands on the wire.
async fn answer(parent: &TempDir, lines: &str) -> String {
    let (page, demo) = (parent.path().join("page"), parent.path().join("demo"));
    let router = router(&page, Some(&demo)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async { axum::serve(listener, router).await });
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{lines}\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    server.abort();
    String::from_utf8_lossy(&bytes).into_owned()
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
    ] {
        let answer = answer(&parent, &format!("GET {path} HTTP/1.1")).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{path}: {answer}");
        assert!(answer.contains(&format!("content-type: {content_type}\r\n")), "{path}: {answer}");
    }
}

#[tokio::test]
async fn nothing_outside_the_folders_is_served() {
    let parent = folders();
    #[cfg(unix)]
    std::os::unix::fs::symlink(
        parent.path().join("secret.txt"),
        parent.path().join("page/link.txt"),
    )
    .unwrap();
    for path in [
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
        let answer = answer(&parent, &format!("GET {path} HTTP/1.1")).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{path}: {answer}");
        assert!(!answer.ends_with("secret"), "{path}: {answer}");
    }
    let answer = answer(&parent, "POST /index.html HTTP/1.1").await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
}

#[tokio::test]
async fn every_answer_carries_the_guarding_headers() {
    let parent = folders();
    for path in ["/", "/nothing"] {
        let answer = answer(&parent, &format!("GET {path} HTTP/1.1")).await;
        for wanted in [
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cross-origin-opener-policy: same-origin",
            "cache-control: no-cache",
            "default-src 'none'; script-src 'self' 'wasm-unsafe-eval' 'sha256-",
            "frame-ancestors 'none'",
        ] {
            assert!(answer.contains(wanted), "{path}: expected {wanted}, found {answer}");
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
async fn text_is_compressed_and_known_versions_are_not_sent_again() {
    let parent = folders();
    let compressed = answer(&parent, "GET /web_viewer.js HTTP/1.1\r\nAccept-Encoding: gzip").await;
    assert!(compressed.contains("content-encoding: gzip"), "{compressed}");
    let scan = answer(&parent, "GET /demo/case.nii.gz HTTP/1.1\r\nAccept-Encoding: gzip").await;
    assert!(!scan.contains("content-encoding"), "{scan}");

    let first = answer(&parent, "GET /style.css HTTP/1.1").await;
    let tag = first.split("etag: ").nth(1).and_then(|r| r.split("\r\n").next()).unwrap();
    let again = answer(&parent, &format!("GET /style.css HTTP/1.1\r\nIf-None-Match: {tag}")).await;
    assert!(again.starts_with("HTTP/1.1 304"), "{again}");
}

#[test]
fn a_folder_without_a_page_is_refused_by_name() {
    let empty = tempfile::tempdir().unwrap();
    let error = router(empty.path(), None).unwrap_err().to_string();
    assert!(error.contains("index.html") && error.contains("in "), "{error}");
}
