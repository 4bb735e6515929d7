//! The browser's storage between visits, and two tabs at the same time.

use fantoccini::{Client, Locator};
use serde_json::{Value, json};

use super::{click, link, open_demo, reach, text, wait_for, wait_for_model};

/// Returns the cached model's entity tag, and whether its checksum matches; `null` if there is
/// none. The argument `true` damages the cached bytes first.
const CACHED_MODEL_SCRIPT: &str = r#"
const [damage, done] = arguments;
const hex = bytes => [...new Uint8Array(bytes)].map(b => b.toString(16).padStart(2, "0")).join("");
(async () => {
    const name = (await caches.keys()).find(name => name.startsWith("rewind-models"));
    if (!name) return null;
    const cache = await caches.open(name);
    const [request, ...others] = await cache.keys();
    if (!request || others.length) return null;
    let cached = await cache.match(request);
    if (damage) {
        const bytes = new Uint8Array(await cached.arrayBuffer());
        bytes[bytes.length >> 1] ^= 1;
        await cache.put(request, new Response(bytes, { headers: cached.headers }));
        cached = await cache.match(request);
    }
    const sum = hex(await crypto.subtle.digest("SHA-256", await cached.arrayBuffer()));
    return { etag: cached.headers.get("etag"), is_valid: sum === cached.headers.get("x-rewind-sha256") };
})().then(done, error => done(String(error)));
"#;

/// Returns the statuses of the server's responses to requests for the model.
const MODEL_STATUSES_SCRIPT: &str = r#"
const entries = performance.getEntriesByType("resource").filter(e => e.name.endsWith(".safetensors"));
return entries.map(entry => entry.responseStatus);
"#;

/// Replaces the budget and the largest budget in the page's requests, because a phantom exceeds
/// none of the choices. Zero leaves the page's value.
pub const REPLACE_BUDGET_SCRIPT: &str = r#"
const [budget, maxBudget] = arguments;
window.post ??= Worker.prototype.postMessage;
const replaced = (text, name, bytes) =>
    bytes ? text.replace(new RegExp(`"${name}":\\d+`), `"${name}":${bytes}`) : text;
Worker.prototype.postMessage = function ([id, text, file], transferred) {
    const changed = replaced(replaced(text, "budget_bytes", budget), "max_budget_bytes", maxBudget);
    return window.post.call(this, [id, changed, file], transferred);
};
"#;

async fn cached_model(client: &Client, damage: bool) -> Value {
    client.execute_async(CACHED_MODEL_SCRIPT, vec![json!(damage)]).await.unwrap()
}

async fn model_statuses(client: &Client) -> Value {
    client.execute(MODEL_STATUSES_SCRIPT, vec![]).await.unwrap()
}

/// Checks that the model is downloaded once, and again if its cached copy is damaged.
pub async fn check_model_cache(client: &Client, address: &str) {
    let visit = async || {
        client.goto("about:blank").await.unwrap();
        client.goto(address).await.unwrap();
        wait_for_model(client).await;
    };
    visit().await;
    let intact = cached_model(client, false).await;
    assert_eq!(intact["is_valid"], json!(true), "{intact}");
    visit().await;
    assert_eq!(model_statuses(client).await, json!([304]), "a cached model is not sent again");

    let damaged = cached_model(client, true).await;
    assert_eq!(damaged["is_valid"], json!(false), "{damaged}");
    visit().await;
    assert_eq!(model_statuses(client).await, json!([200]), "a damaged copy is not used");
    assert_eq!(cached_model(client, false).await, intact);
}

/// Checks that the chosen memory budget applies, and is restored on the next visit.
pub async fn check_stored_budget(client: &Client, address: &str) {
    let chosen = async || {
        let select = client.wait().for_element(Locator::Css("#budget")).await.unwrap();
        select.prop("value").await.unwrap().unwrap()
    };
    client.goto(address).await.unwrap();
    open_demo(client).await;
    assert_eq!(chosen().await, "1024");
    let select = client.find(Locator::Css("#budget")).await.unwrap();
    select.select_by_value("512").await.unwrap();
    reach(client, "ready", 60).await;
    let plan = text(client, "#plan").await;
    for expected in [" × 32 × ", "MiB", "Multiply-adds", "million", "32-bit feature maps"] {
        assert!(plan.contains(expected), "expected {expected:?} in {plan:?}");
    }

    client.execute(REPLACE_BUDGET_SCRIPT, vec![json!(1 << 20), json!(0)]).await.unwrap();
    select.select_by_value("2048").await.unwrap();
    let refused = wait_for(client, "#exceeds", 60, "to refuse", |text| !text.is_empty()).await;
    for expected in ["needs at least ", " MiB of GPU memory", "1 MiB are allowed"] {
        assert!(refused.contains(expected), "expected {expected:?} in {refused:?}");
    }
    assert_eq!(text(client, "#allow").await, "Allow 512 MiB");
    client.execute(REPLACE_BUDGET_SCRIPT, vec![json!(0), json!(0)]).await.unwrap();
    click(client, "#allow").await;
    reach(client, "ready", 60).await;
    client.refresh().await.unwrap();
    assert_eq!(chosen().await, "512");
}

/// Segments in two tabs at the same time. Returns the links to their results.
pub async fn segment_in_two_tabs(client: &Client, address: &str) -> [String; 2] {
    let first = client.window().await.unwrap();
    let second = client.new_window(true).await.unwrap().handle;
    let tabs = [first.clone(), second];
    for tab in &tabs {
        client.switch_to_window(tab.clone()).await.unwrap();
        client.goto(address).await.unwrap();
        open_demo(client).await;
    }
    for tab in &tabs {
        client.switch_to_window(tab.clone()).await.unwrap();
        click(client, "#segment").await;
    }
    let mut links = Vec::new();
    for tab in &tabs {
        client.switch_to_window(tab.clone()).await.unwrap();
        reach(client, "done", 400).await;
        click(client, "#copy-link").await;
        links.push(link(client).await);
    }
    client.close_window().await.unwrap();
    client.switch_to_window(first).await.unwrap();
    links.try_into().expect("two tabs")
}
