//! A worker that ends or hangs is replaced, with its model and scans. If every worker ends, the
//! page says what to do.

use std::time::{Duration, Instant};

use fantoccini::Client;
use serde_json::json;

use super::fixtures::{self, command_worker, drop_on, script, texts};
use super::{Programs, click, reach, screenshot, status, text, wait_for, wait_for_model};

#[test]
fn a_worker_that_ended_is_replaced() {
    let Some(programs) = Programs::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let page = fixtures::make_page(&programs, folder.path(), &fixtures::model("Sturdy", true));
    let (_serve, address) = programs.serve(folder.path(), &page);
    programs.in_browser(folder.path(), "workers", |client| end_workers(client, address));
}

async fn end_workers(client: Client, address: String) {
    client.goto(&address).await.unwrap();
    wait_for_model(&client).await;
    click(&client, "#demo").await;
    reach(&client, "ready", 60).await;

    // The worker ends during a run, without a message.
    begin_run(&client).await;
    script(&client, "window.workers.at(-1).terminate()").await;
    expect_new_worker(&client, 2, "ended from outside").await;
    screenshot(&client, "replaced.png").await;

    // The worker fails between runs, and during a run.
    command_worker(&client, "die").await;
    expect_new_worker(&client, 3, "killed by the test").await;
    begin_run(&client).await;
    command_worker(&client, "die").await;
    expect_new_worker(&client, 4, "killed by the test").await;

    // The worker hangs and does not receive the request to stop.
    begin_run(&client).await;
    command_worker(&client, "hang").await;
    let start = Instant::now();
    click(&client, "#cancel").await;
    expect_new_worker(&client, 5, "did not stop within five seconds").await;
    println!("a run that hung was ended after {:.1} s", start.elapsed().as_secs_f64());
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());

    // The worker hangs without a request to stop. The test simulates the three minutes.
    begin_run(&client).await;
    command_worker(&client, "hang").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    script(&client, "for (let n = 0; n < 180; n++) window.tick()").await;
    expect_new_worker(&client, 6, "three minutes").await;

    // The new worker does everything that the first one did.
    click(&client, "#segment").await;
    reach(&client, "done", 400).await;
    assert!(text(&client, ".result dl").await.contains("Sturdy"));

    // A result remains, and a run that stops in time does not replace the worker.
    command_worker(&client, "die").await;
    wait_for(&client, ".notice", 60, "to report it", |text| text.contains("killed")).await;
    reach(&client, "done", 60).await;
    assert!(text(&client, "#regions").await.contains("lesion"));
    click(&client, "#segment").await;
    wait_for(&client, "#status", 60, "to show the progress", |text| text.contains(" %")).await;
    click(&client, "#cancel").await;
    reach(&client, "ready", 60).await;
    assert_eq!(script(&client, "return window.workers.length").await, json!(7));

    // If every worker ends, the page offers nothing that needs a worker.
    script(&client, "window.endsWorkers = true").await;
    command_worker(&client, "die").await;
    let message =
        wait_for(&client, ".error", 60, "to report it", |text| text.contains("again")).await;
    assert!(message.contains("load this page again"), "{message}");
    screenshot(&client, "given-up.png").await;
    assert!(text(&client, ".model").await.contains("No model is open"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        script(&client, "return window.workers.length").await,
        json!(8),
        "the page started another worker"
    );
    drop_on(&client, &[&[fixtures::file("own.safetensors", &fixtures::model("Own", true))]]).await;
    let message =
        wait_for(&client, ".error", 60, "to report it", |text| text.contains("stopped")).await;
    assert!(message.contains("load this page again"), "{message}");
}

/// Starts a run, and waits for its first progress.
async fn begin_run(client: &Client) {
    click(client, "#segment").await;
    wait_for(client, "#status", 60, "to show the progress", |text| text.contains(" %")).await;
}

/// Waits until the page is ready with a new worker and states the reason.
async fn expect_new_worker(client: &Client, num_workers: usize, reason: &str) {
    wait_for(client, ".notice", 60, "to state the reason", |text| text.contains(reason)).await;
    reach(client, "ready", 60).await;
    assert_eq!(script(client, "return window.workers.length").await, json!(num_workers));
    assert_eq!(text(client, "#status").await, "Ready to segment", "{}", status(client).await);
    assert_eq!(texts(client, ".slot.loaded").await.len(), 1);
    click(client, ".notice button").await;
}
