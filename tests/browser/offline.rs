//! After the first visit the page opens and segments without its server, and it never asks another one.

use std::path::Path;

use fantoccini::{Client, Locator};
use serde_json::Value;

use super::chrome::Running;
use super::fixtures::script;
use super::page::{click, open_page, reach, text, wait_for_model};

/// Waits until the service worker has kept the page, and returns the names of the kept files.
const KEPT_FILES_SCRIPT: &str = r#"
const [done] = arguments;
(async () => {
    await navigator.serviceWorker.ready;
    const name = (await caches.keys()).find(name => name.startsWith("rewind-page-"));
    const kept = await (await caches.open(name)).keys();
    return kept.map(request => new URL(request.url).pathname);
})().then(done, error => done(String(error)));
"#;

/// Returns the addresses that the page requested from anyone but its server.
const FOREIGN_REQUESTS_SCRIPT: &str = r#"
const entries = performance.getEntriesByType("resource").map(entry => entry.name);
return entries.filter(name => !name.startsWith(location.origin) && !name.startsWith("blob:"));
"#;

/// Visits the page, ends its server, opens the page again and segments `scan`.
pub async fn segment_without_server(
    client: Client,
    serve: Running,
    address: String,
    scan: impl AsRef<Path>,
) {
    open_page(&client, &address, "processor").await;
    wait_for_model(&client).await;
    let kept = client.execute_async(KEPT_FILES_SCRIPT, vec![]).await.unwrap();
    let kept: Vec<String> =
        serde_json::from_value(kept.clone()).unwrap_or_else(|_| panic!("{kept}"));
    for file in ["/index.html", "/style.css", "/web_viewer.js", "/web_viewer_bg.wasm"] {
        assert!(kept.iter().any(|path| path == file), "expected {file} among {kept:?}");
    }
    // Under the service worker's control the list of models is kept too.
    client.refresh().await.unwrap();
    wait_for_model(&client).await;
    let foreign = script(&client, FOREIGN_REQUESTS_SCRIPT).await;
    assert_eq!(foreign, Value::Array(Vec::new()), "requests to others");

    drop(serve);
    client.refresh().await.unwrap();
    wait_for_model(&client).await;
    let input = client.find(Locator::Css(".slot input[type=file]")).await.unwrap();
    input.send_keys(scan.as_ref().to_str().unwrap()).await.unwrap();
    reach(&client, "ready", 60).await;
    click(&client, "#segment").await;
    reach(&client, "done", 400).await;
    assert!(text(&client, "#regions").await.contains(" ml"));
}
