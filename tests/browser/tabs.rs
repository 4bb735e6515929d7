//! What the browser keeps between visits, and two tabs at a time.

use fantoccini::{Client, Locator};
use serde_json::{Value, json};

use super::{click, link, model_shown, open_demo, reach, text, wait_for};

/// The kept copy of the model: its tag, and whether its checksum holds; `null` where there is none.
/// With `true` its bytes are damaged first.
const KEPT: &str = r#"
const [damages, done] = arguments;
const hex = bytes => [...new Uint8Array(bytes)].map(b => b.toString(16).padStart(2, "0")).join("");
(async () => {
    const name = (await caches.keys()).find(name => name.startsWith("rewind-models"));
    if (!name) return null;
    const cache = await caches.open(name);
    const [request, ...others] = await cache.keys();
    if (!request || others.length) return null;
    let kept = await cache.match(request);
    if (damages) {
        const bytes = new Uint8Array(await kept.arrayBuffer());
        bytes[bytes.length >> 1] ^= 1;
        await cache.put(request, new Response(bytes, { headers: kept.headers }));
        kept = await cache.match(request);
    }
    const sum = hex(await crypto.subtle.digest("SHA-256", await kept.arrayBuffer()));
    return { tag: kept.headers.get("etag"), holds: sum === kept.headers.get("x-rewind-sha256") };
})().then(done, error => done(String(error)));
"#;

/// What the server answered when this page asked for the model.
const ANSWERED: &str = r#"
const asked = performance.getEntriesByType("resource").filter(e => e.name.endsWith(".safetensors"));
return asked.map(entry => entry.responseStatus);
"#;

/// Has the page ask its worker for another budget than the person's, and name another as the most that
/// it offers: a phantom exceeds none of those. Zero leaves what the page says.
pub const ALLOW: &str = r#"
const [budget, most] = arguments;
window.post ??= Worker.prototype.postMessage;
const changed = (text, name, bytes) =>
    bytes ? text.replace(new RegExp(`"${name}":\\d+`), `"${name}":${bytes}`) : text;
Worker.prototype.postMessage = function ([id, text, file], transferred) {
    const asked = changed(changed(text, "budget_bytes", budget), "most_bytes", most);
    return window.post.call(this, [id, asked, file], transferred);
};
"#;

async fn kept(client: &Client, damages: bool) -> Value {
    client.execute_async(KEPT, vec![json!(damages)]).await.unwrap()
}

async fn answered(client: &Client) -> Value {
    client.execute(ANSWERED, vec![]).await.unwrap()
}

/// The model is loaded once; a damaged copy is noticed, and loaded again.
pub async fn keeps_the_model(client: &Client, address: &str) {
    let visit = async || {
        client.goto("about:blank").await.unwrap();
        client.goto(address).await.unwrap();
        model_shown(client).await;
    };
    visit().await;
    let whole = kept(client, false).await;
    assert_eq!(whole["holds"], json!(true), "{whole}");
    visit().await;
    assert_eq!(answered(client).await, json!([304]), "a kept model is not sent again");

    let damaged = kept(client, true).await;
    assert_eq!(damaged["holds"], json!(false), "{damaged}");
    visit().await;
    assert_eq!(answered(client).await, json!([200]), "a damaged copy is of no use");
    assert_eq!(kept(client, false).await, whole);
}

/// The memory allowed is the person's choice, and is there again the next time.
pub async fn remembers_the_budget(client: &Client, address: &str) {
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
    for said in [" × 32 × ", "MiB", "Multiply-adds", "million", "32-bit maps"] {
        assert!(plan.contains(said), "expected {said:?} in {plan:?}");
    }

    client.execute(ALLOW, vec![json!(1 << 20), json!(0)]).await.unwrap();
    select.select_by_value("2048").await.unwrap();
    let refused = wait_for(client, "#exceeds", 60, "to refuse", |text| !text.is_empty()).await;
    for said in ["needs at least ", " MiB of GPU memory", "1 MiB are allowed"] {
        assert!(refused.contains(said), "expected {said:?} in {refused:?}");
    }
    assert_eq!(text(client, "#allow").await, "Allow 512 MiB");
    client.execute(ALLOW, vec![json!(0), json!(0)]).await.unwrap();
    click(client, "#allow").await;
    reach(client, "ready", 60).await;
    client.refresh().await.unwrap();
    assert_eq!(chosen().await, "512");
}

/// Two tabs segment at the same time; gives the links to their results.
pub async fn segment_at_the_same_time(client: &Client, address: &str) -> [String; 2] {
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
