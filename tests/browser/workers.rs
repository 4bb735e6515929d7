//! A worker that ends, hangs or falls silent is replaced, with its model and scans; what ends every
//! worker ends in words that say what to do.

use std::time::{Duration, Instant};

use fantoccini::Client;
use serde_json::json;

use super::stage::{self, drop_on, script, tell_worker, texts};
use super::{Setup, click, model_shown, reach, screenshot, status, text, wait_for};

#[test]
fn a_worker_that_ended_is_replaced() {
    let Some(setup) = Setup::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let page = stage::set(&setup, folder.path(), &stage::model("Sturdy", true));
    let (_serve, address) = setup.serve(folder.path(), &page);
    setup.in_a_browser(folder.path(), "workers", |client| end_workers(client, address));
}

async fn end_workers(client: Client, address: String) {
    client.goto(&address).await.unwrap();
    model_shown(&client).await;
    click(&client, "#demo").await;
    reach(&client, "ready", 60).await;

    // It is gone in the middle of a run, without a word.
    run_a_while(&client).await;
    script(&client, "window.workers.at(-1).terminate()").await;
    expect_a_new_one(&client, 2, "ended from outside").await;
    screenshot(&client, "replaced.png").await;

    // It dies while nothing runs, and in a run.
    tell_worker(&client, "die").await;
    expect_a_new_one(&client, 3, "killed by the test").await;
    run_a_while(&client).await;
    tell_worker(&client, "die").await;
    expect_a_new_one(&client, 4, "killed by the test").await;

    // It hangs, and does not even hear that it should stop.
    run_a_while(&client).await;
    tell_worker(&client, "hang").await;
    let start = Instant::now();
    click(&client, "#cancel").await;
    expect_a_new_one(&client, 5, "did not stop within five seconds").await;
    println!("a run that hung was ended after {:.1} s", start.elapsed().as_secs_f64());
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());

    // It hangs, and nobody asks it to stop: three minutes, which the test does not wait for.
    run_a_while(&client).await;
    tell_worker(&client, "hang").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    script(&client, "for (let n = 0; n < 180; n++) window.second()").await;
    expect_a_new_one(&client, 6, "three minutes").await;

    // The new one does all that the first did.
    click(&client, "#segment").await;
    reach(&client, "done", 400).await;
    assert!(text(&client, ".result dl").await.contains("Sturdy"));

    // A result stays, and a run that is cancelled in time costs no worker.
    tell_worker(&client, "die").await;
    wait_for(&client, ".notice", 60, "to say so", |text| text.contains("killed")).await;
    reach(&client, "done", 60).await;
    assert!(text(&client, "#regions").await.contains("lesion"));
    click(&client, "#segment").await;
    wait_for(&client, "#status", 60, "to tell of the run", |text| text.contains(" %")).await;
    click(&client, "#cancel").await;
    reach(&client, "ready", 60).await;
    assert_eq!(script(&client, "return window.workers.length").await, json!(7));

    // Where every worker ends, nothing that needs one seems possible.
    script(&client, "window.isDeadly = true").await;
    tell_worker(&client, "die").await;
    let told = wait_for(&client, ".error", 60, "to say so", |text| text.contains("again")).await;
    assert!(told.contains("load this page again"), "{told}");
    screenshot(&client, "given-up.png").await;
    assert!(text(&client, ".model").await.contains("No model is open"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(script(&client, "return window.workers.length").await, json!(8), "it goes on");
    drop_on(&client, &[&[stage::file("own.safetensors", &stage::model("Own", true))]]).await;
    let told = wait_for(&client, ".error", 60, "to say so", |text| text.contains("stopped")).await;
    assert!(told.contains("load this page again"), "{told}");
}

async fn run_a_while(client: &Client) {
    click(client, "#segment").await;
    wait_for(client, "#status", 60, "to tell of the run", |text| text.contains(" %")).await;
}

/// Ready again, and open about why.
async fn expect_a_new_one(client: &Client, number: usize, why: &str) {
    wait_for(client, ".notice", 60, "to tell why", |text| text.contains(why)).await;
    reach(client, "ready", 60).await;
    assert_eq!(script(client, "return window.workers.length").await, json!(number));
    assert_eq!(text(client, "#status").await, "Ready to segment", "{}", status(client).await);
    assert_eq!(texts(client, ".slot.filled").await.len(), 1);
    click(client, ".notice button").await;
}
