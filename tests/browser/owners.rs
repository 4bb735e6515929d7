//! The model that is named is the model that ran, whatever else was opened meanwhile; and what the
//! page does not hold, the worker does not keep.

use std::slice::from_ref;
use std::time::Duration;

use fantoccini::{Client, Locator};
use serde_json::json;
use web_viewer::share::{self, Shared};

use super::stage::{self, Dropped, drop_on, file, script, tell_worker};
use super::{Setup, click, link, model_shown, reach, state, text, wait_for};

/// Asks the worker how much memory it has.
const MEMORY: &str = r#"
const [done] = arguments;
const channel = new BroadcastChannel("tests");
channel.onmessage = ({ data }) => done(data);
channel.postMessage("memory");
"#;

#[test]
fn a_result_is_of_the_model_that_it_names() {
    let Some(setup) = Setup::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let page = stage::set(&setup, folder.path(), &stage::model("Server's", false));
    let (_serve, address) = setup.serve(folder.path(), &page);
    setup.in_a_browser(folder.path(), "owners", |client| open_at_once(client, address));
}

async fn open_at_once(client: Client, address: String) {
    let own = file("own.safetensors", &stage::model("Own", true));
    let mut damaged: Dropped = ("damaged.safetensors".into(), own.1.clone());
    *damaged.1.last_mut().unwrap() ^= 1;
    let scan: Dropped = ("scan.nii.gz".into(), stage::scan(stage::grid()));

    // The server's model arrives after the person's own.
    client.goto(&format!("{address}/?slow")).await.unwrap();
    wait_for(&client, "#status", 60, "to load", |text| text == "Loading the model").await;
    drop_on(&client, &[from_ref(&own)]).await;
    wait_for(&client, ".model .name", 60, "to be the own", |text| text == "Own").await;
    script(&client, "window.release()").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    expect_result(&client, &scan, "Own", true).await;

    // A damaged one that comes with it, before or after, changes nothing but the message.
    for (bundles, expected, finds) in [
        ([own.clone(), damaged.clone()], "Server's", false),
        ([damaged.clone(), own.clone()], "Own", true),
    ] {
        client.goto("about:blank").await.unwrap();
        client.goto(&address).await.unwrap();
        model_shown(&client).await;
        drop_on(&client, &[&bundles[..1], &bundles[1..]]).await;
        if expected == "Own" {
            wait_for(&client, ".model .name", 60, "to be the own", |text| text == "Own").await;
        } else {
            wait_for(&client, ".error", 60, "to say so", |text| text.contains("damaged")).await;
            click(&client, ".error button").await;
        }
        expect_result(&client, &scan, expected, finds).await;
    }

    // Of two in one drop, none is chosen; one with its scan is opened with it.
    client.goto("about:blank").await.unwrap();
    client.goto(&address).await.unwrap();
    model_shown(&client).await;
    drop_on(&client, &[&[own.clone(), damaged]]).await;
    wait_for(&client, ".error", 60, "to refuse", |text| text.contains("found 2")).await;
    assert_eq!(text(&client, ".model .name").await, "Server's");
    drop_on(&client, &[&[scan.clone(), own]]).await;
    wait_for(&client, "#status", 60, "to be ready", |text| text == "Ready to segment").await;
    assert_eq!(text(&client, ".model .name").await, "Own");

    loads_do_not_pile_up(&client, &address, scan).await;
}

/// Segments, and reads name, hash and what was found from the result that anyone can open.
async fn expect_result(client: &Client, scan: &Dropped, name: &str, finds: bool) {
    drop_on(client, &[from_ref(scan)]).await;
    reach(client, "ready", 60).await;
    click(client, "#segment").await;
    reach(client, "done", 400).await;
    let shared = shared(client).await;
    assert_eq!(shared.model.name, name);
    assert_eq!(shared.model.hash, stage::model(name, finds).hash(), "{name}");
    let found = shared.labels.labels().contains(&7);
    assert_eq!(found, finds, "the model that ran is another than {name}");
    assert_eq!(text(client, ".model .name").await, name);
    assert!(text(client, ".result dl").await.contains(name));
}

async fn shared(client: &Client) -> Shared {
    click(client, "#copy-link").await;
    share::decode(link(client).await.split_once('#').unwrap().1).unwrap()
}

/// Whatever way loading ends, the worker keeps what the page holds and no more.
async fn loads_do_not_pile_up(client: &Client, address: &str, scan: Dropped) {
    let memory = async || {
        let bytes = client.execute_async(MEMORY, vec![]).await.unwrap();
        bytes.as_u64().expect("the worker's memory in bytes")
    };
    let held = async || script(client, "return window.held.size").await;
    let large = |name: &str, dims| -> Dropped {
        let grid = model_core::Grid { dims, ..stage::grid() };
        (name.into(), stage::scan(grid))
    };

    // Onto a linked result: scans that lie on it, and scans that do not.
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
        wait_for(client, "#status", 60, "to lie", |text| text.contains("lies on its scan")).await;
        drop_on(client, &[from_ref(&other)]).await;
        wait_for(client, ".error", 60, "to refuse", |text| text.contains("not the scan")).await;
        click(client, ".error button").await;
        sizes.push(memory().await);
    }
    assert_eq!(held().await, json!(1), "a linked result holds its scan alone");
    assert_eq!(sizes[1], sizes[7], "the worker's memory grows: {sizes:?}");

    // Onto a model: files that are refused, and one after the other without a pause.
    client.goto("about:blank").await.unwrap();
    client.goto(address).await.unwrap();
    model_shown(client).await;
    let broken: Dropped = ("broken.nii.gz".into(), scan.1[..200].to_vec());
    for _ in 0..3 {
        let group = [large("a.nii.gz", [64, 64, 64]), large("b.nii.gz", [64, 64, 64])];
        drop_on(client, &[from_ref(&broken), &group, from_ref(&scan)]).await;
        reach(client, "ready", 60).await;
    }
    // Those that were superseded have been answered once this one is.
    drop_on(client, &[&[scan]]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    reach(client, "ready", 60).await;
    assert_eq!(held().await, json!(2), "the model and its scan");
    assert_eq!(state(client).await, "ready");
    tell_worker(client, "nothing").await;
    assert!(client.find(Locator::Css("#segment")).await.unwrap().is_enabled().await.unwrap());
}
