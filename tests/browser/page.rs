//! Reads and operates the page as a user does: waits for texts and states, clicks, and takes
//! screenshots.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fantoccini::{Client, Locator};

/// Returns an element's text.
pub async fn text(client: &Client, css: &str) -> String {
    let element = client.wait().at_most(Duration::from_secs(60)).for_element(Locator::Css(css));
    let element = element.await.unwrap_or_else(|e| panic!("expected {css} on the page: {e}"));
    element.text().await.unwrap_or_default()
}

/// Waits until an element's text is as expected. Returns the text.
pub async fn wait_for(
    client: &Client,
    css: &str,
    limit_secs: u64,
    expected: &str,
    is_expected: impl Fn(&str) -> bool,
) -> String {
    let start = Instant::now();
    loop {
        let found = text(client, css).await;
        if is_expected(&found) {
            return found;
        }
        let is_late = start.elapsed() > Duration::from_secs(limit_secs);
        assert!(!is_late, "expected {css} {expected} within {limit_secs} s, found {found:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Clicks an element as soon as it exists and is enabled.
pub async fn click(client: &Client, css: &str) {
    let start = Instant::now();
    loop {
        let element = client.find(Locator::Css(css)).await;
        if let Ok(element) = element
            && element.is_enabled().await.unwrap_or(false)
            && element.click().await.is_ok()
        {
            return;
        }
        let is_late = start.elapsed() > Duration::from_secs(60);
        assert!(
            !is_late,
            "expected to be able to click {css} within 60 s: {}",
            status(client).await
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits for the server's model. It changes the layout, so that an earlier click would miss its
/// button.
pub async fn wait_for_model(client: &Client) {
    wait_for(client, ".model", 60, "to show the model", |text| text.contains("Hash")).await;
}

/// Opens the page with the engine `automatic`, `gpu` or `processor`.
pub async fn open_page(client: &Client, address: &str, engine: &str) {
    client.goto(address).await.unwrap();
    let store = format!("localStorage.setItem('rewind.engine', {engine:?})");
    client.execute(&store, Vec::new()).await.unwrap();
    client.refresh().await.unwrap();
}

/// Opens the demonstration's case, and waits until it is planned.
pub async fn open_demo(client: &Client) {
    wait_for_model(client).await;
    click(client, "#demo").await;
    reach(client, "ready", 60).await;
}

/// Describes the page's status line for error messages.
pub async fn status(client: &Client) -> String {
    let Ok(element) = client.find(Locator::Css("#status")).await else {
        return "the page has no #status".into();
    };
    let (state, text) = (state(client).await, element.text().await.unwrap_or_default());
    format!("the page is {state:?} with the status {text:?}")
}

/// Returns the page's `data-state`, empty if there is none.
pub async fn state(client: &Client) -> String {
    let Ok(element) = client.find(Locator::Css("#status")).await else { return String::new() };
    element.attr("data-state").await.ok().flatten().unwrap_or_default()
}

/// Waits for a state of the page.
pub async fn reach(client: &Client, expected: &str, limit_secs: u64) {
    let start = Instant::now();
    loop {
        let found = state(client).await;
        if found == expected {
            return;
        }
        assert_ne!(found, "error", "{}", status(client).await);
        if start.elapsed() > Duration::from_secs(limit_secs) {
            panic!("expected {expected:?} within {limit_secs} s: {}", status(client).await);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Returns the link in the field for sharing.
pub async fn link(client: &Client) -> String {
    let input = client.wait().at_most(Duration::from_secs(60));
    let input = input.for_element(Locator::Css("#share-link")).await.expect("#share-link");
    for _ in 0..100 {
        let link = input.prop("value").await.unwrap().unwrap_or_default();
        if !link.is_empty() {
            return link;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("expected a link in #share-link within 10 s: {}", status(client).await);
}

/// Saves a screenshot in `$REWIND_SCREENSHOT` or else in cargo's target folder.
pub async fn screenshot(client: &Client, name: &str) {
    let folder = env::var_os("REWIND_SCREENSHOT").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).into());
    let png = client.screenshot().await.unwrap_or_default();
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), png).unwrap();
    println!("screenshot: {}", folder.join(name).display());
}
