//! A result names the model that ran, whatever else was opened meanwhile; and the worker stores
//! only the models and scans that the page uses.

use std::slice::from_ref;
use std::time::Duration;

use fantoccini::{Client, Locator};
use serde_json::json;
use web_viewer::share::{self, SharedResult};

use super::fixtures::{self, DroppedFile, command_worker, drop_on, file, script};
use super::{Programs, click, link, reach, state, text, wait_for, wait_for_model};

/// Returns the size of the worker's memory.
const MEMORY_SCRIPT: &str = r#"
const [done] = arguments;
const channel = new BroadcastChannel("tests");
channel.onmessage = ({ data }) => done(data);
channel.postMessage("memory");
"#;

#[test]
fn a_result_names_the_model_that_ran() {
    let Some(programs) = Programs::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let page = fixtures::make_page(&programs, folder.path(), &fixtures::model("Server's", false));
    let (_serve, address) = programs.serve(folder.path(), &page);
    programs
        .in_browser(folder.path(), "model-identity", |client| open_concurrently(client, address));
}

async fn open_concurrently(client: Client, address: String) {
    let own = file("own.safetensors", &fixtures::model("Own", true));
    let mut damaged: DroppedFile = ("damaged.safetensors".into(), own.1.clone());
    *damaged.1.last_mut().unwrap() ^= 1;
    let scan: DroppedFile = ("scan.nii.gz".into(), fixtures::scan(fixtures::grid()));

    // The server's model arrives after the user's own.
    client.goto(&format!("{address}/?slow")).await.unwrap();
    wait_for(&client, "#status", 60, "to load", |text| text == "Loading the model").await;
    drop_on(&client, &[from_ref(&own)]).await;
    wait_for(&client, ".model .name", 60, "to be the user's", |text| text == "Own").await;
    script(&client, "window.release()").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    expect_result(&client, &scan, "Own", true).await;

    // The user chooses among the server's models by name. The case is that of a model that has one.
    let chosen = "return [...document.querySelectorAll('#model option')].map(o => o.text)";
    let names = json!(["A model", "Another model", "From this computer"]);
    assert_eq!(script(&client, chosen).await, names);
    let choose = "const s = document.querySelector('#model'); s.value = '1'; \
                  s.dispatchEvent(new Event('change', { bubbles: true }))";
    script(&client, choose).await;
    wait_for(&client, ".model .name", 60, "to be the other", |text| text == "Other").await;
    expect_result(&client, &scan, "Other", true).await;
    click(&client, "#demo").await;
    wait_for(&client, ".model .name", 60, "to be the server's", |text| text == "Server's").await;
    reach(&client, "ready", 60).await;

    // A damaged bundle opened just before or after it changes only the message.
    for (bundles, expected, finds_lesion) in [
        ([own.clone(), damaged.clone()], "Server's", false),
        ([damaged.clone(), own.clone()], "Own", true),
    ] {
        client.goto("about:blank").await.unwrap();
        client.goto(&address).await.unwrap();
        wait_for_model(&client).await;
        drop_on(&client, &[&bundles[..1], &bundles[1..]]).await;
        if expected == "Own" {
            wait_for(&client, ".model .name", 60, "to be the user's", |text| text == "Own").await;
        } else {
            wait_for(&client, ".error", 60, "to report it", |text| text.contains("damaged")).await;
            click(&client, ".error button").await;
        }
        expect_result(&client, &scan, expected, finds_lesion).await;
    }

    // Two bundles in one drop are refused. A bundle dropped with a scan is opened with it.
    client.goto("about:blank").await.unwrap();
    client.goto(&address).await.unwrap();
    wait_for_model(&client).await;
    drop_on(&client, &[&[own.clone(), damaged]]).await;
    wait_for(&client, ".error", 60, "to refuse", |text| text.contains("found 2")).await;
    assert_eq!(text(&client, ".model .name").await, "Server's");
    drop_on(&client, &[&[scan.clone(), own]]).await;
    wait_for(&client, "#status", 60, "to be ready", |text| text == "Ready to segment").await;
    assert_eq!(text(&client, ".model .name").await, "Own");

    loading_leaks_no_memory(&client, &address, scan).await;
}

/// Segments, and checks the model's name and hash and the labels in the share link.
async fn expect_result(client: &Client, scan: &DroppedFile, name: &str, finds_lesion: bool) {
    drop_on(client, &[from_ref(scan)]).await;
    reach(client, "ready", 60).await;
    click(client, "#segment").await;
    reach(client, "done", 400).await;
    let shared = shared_result(client).await;
    assert_eq!(shared.model.name, name);
    assert_eq!(shared.model.hash, fixtures::model(name, finds_lesion).hash(), "{name}");
    let found_lesion = shared.labels.labels().contains(&7);
    assert_eq!(found_lesion, finds_lesion, "another model than {name} ran");
    assert_eq!(text(client, ".model .name").await, name);
    assert!(text(client, ".result dl").await.contains(name));
}

/// Copies the share link and decodes it.
async fn shared_result(client: &Client) -> SharedResult {
    click(client, "#copy-link").await;
    share::decode(link(client).await.split_once('#').unwrap().1).unwrap()
}

/// However loading ends, the worker stores only the models and scans that the page uses.
async fn loading_leaks_no_memory(client: &Client, address: &str, scan: DroppedFile) {
    let memory = async || {
        let bytes = client.execute_async(MEMORY_SCRIPT, vec![]).await.unwrap();
        bytes.as_u64().expect("the worker's memory in bytes")
    };
    let num_resources = async || script(client, "return window.resources.size").await;
    let large = |name: &str, dims| -> DroppedFile {
        let grid = model_core::Grid { dims, ..fixtures::grid() };
        (name.into(), fixtures::scan(grid))
    };

    // On a linked result: scans on its grid, and scans on another grid.
    reach(client, "ready", 60).await;
    click(client, "#segment").await;
    reach(client, "done", 400).await;
    click(client, "#copy-link").await;
    let link = link(client).await;
    client.goto("about:blank").await.unwrap();
    client.goto(&link).await.unwrap();
    wait_for(client, "#regions", 60, "to be shown", |text| text.contains("lesion")).await;
    let other = large("other.nii.gz", [128, 128, 96]);
    let mut sizes = Vec::new();
    for _ in 0..8 {
        drop_on(client, &[from_ref(&scan)]).await;
        wait_for(client, "#status", 60, "to show it", |text| text.contains("shown on its scan"))
            .await;
        drop_on(client, &[from_ref(&other)]).await;
        wait_for(client, ".error", 60, "to refuse", |text| text.contains("not the scan")).await;
        click(client, ".error button").await;
        sizes.push(memory().await);
    }
    assert_eq!(num_resources().await, json!(1), "a linked result needs only its scan");
    assert_eq!(sizes[1], sizes[7], "the worker's memory grows: {sizes:?}");

    // With a model: refused files, and several drops without a pause.
    client.goto("about:blank").await.unwrap();
    client.goto(address).await.unwrap();
    wait_for_model(client).await;
    let broken: DroppedFile = ("broken.nii.gz".into(), scan.1[..200].to_vec());
    for _ in 0..3 {
        let group = [large("a.nii.gz", [64, 64, 64]), large("b.nii.gz", [64, 64, 64])];
        drop_on(client, &[from_ref(&broken), &group, from_ref(&scan)]).await;
        reach(client, "ready", 60).await;
    }
    // The response to this file comes after those to the superseded files.
    drop_on(client, &[&[scan]]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    reach(client, "ready", 60).await;
    assert_eq!(num_resources().await, json!(4), "the model, the file, its scan, the placed scan");
    assert_eq!(state(client).await, "ready");
    command_worker(client, "nothing").await;
    assert!(client.find(Locator::Css("#segment")).await.unwrap().is_enabled().await.unwrap());
}
