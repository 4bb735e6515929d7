//! Segmentation on the processor, in a browser without WebGPU, and after a GPU that failed.

use std::path::{Path, PathBuf};

use fantoccini::{Client, Locator};
use model_core::{EmptyRule, LabelMap, metrics, phantom};
use serde_json::{Value, json};
use web_viewer::share;

use super::page::{
    click, link, open_demo, open_page, reach, screenshot, text, wait_for, wait_for_model,
};
use super::tabs::REPLACE_BUDGET_SCRIPT;
use super::{Programs, compare, only_scan};

/// Returns the browser's GPU, or null.
const ADAPTER_SCRIPT: &str = r##"
const adapter = navigator.gpu ? navigator.gpu.requestAdapter() : Promise.resolve(null);
adapter.then(adapter => arguments[0](adapter && String(adapter.info.description)));
"##;

/// Starts a run, cancels it after 300 ms, and returns the milliseconds until the page has stopped it.
const CANCEL_SCRIPT: &str = r##"
const done = arguments[0];
const status = document.querySelector("#status");
document.querySelector("#segment").click();
setTimeout(() => {
    const start = performance.now();
    const observer = new MutationObserver(() => {
        if (status.dataset.state === "running") return;
        observer.disconnect();
        done([status.dataset.state, performance.now() - start]);
    });
    observer.observe(status, { attributes: true });
    document.querySelector("#cancel").click();
}, 300);
"##;

/// Starts a run, and returns the longest time in milliseconds between two frames of the page.
const LONGEST_FRAME_SCRIPT: &str = r##"
const done = arguments[0];
const status = document.querySelector("#status");
document.querySelector("#segment").click();
let [last, longest] = [performance.now(), 0];
const tick = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    if (status.dataset.state === "running") setTimeout(tick, 5); else done(longest);
};
setTimeout(tick, 5);
"##;

/// Makes a scan whose run can be canceled, and returns its file.
pub fn long_scan(programs: &Programs, folder: &Path) -> PathBuf {
    programs.rewind(folder, "phantom --out long --cases 1 --seed 5 --size 128");
    let images = folder.join("long/imagesTr");
    images.join(only_scan(&images))
}

/// Segments twice, cancels a run, and copies the diagnostics.
pub async fn segment(client: Client, address: String, predicted: LabelMap, long_scan: PathBuf) {
    open_page(&client, &address, "automatic").await;
    let adapter = client.execute_async(ADAPTER_SCRIPT, vec![]).await.unwrap();
    assert_eq!(adapter, Value::Null, "a browser without WebGPU");
    open_demo(&client).await;
    assert!(text(&client, "#plan").await.contains("this computer's processor"));
    let mut maps = Vec::new();
    for _ in 0..2 {
        click(&client, "#segment").await;
        reach(&client, "done", 400).await;
        click(&client, "#copy-link").await;
        let shared = share::decode(link(&client).await.split_once('#').unwrap().1).unwrap();
        compare(&shared, &predicted, &phantom::task().regions);
        maps.push(shared.labels);
    }
    assert_eq!(maps[0], maps[1], "the same input gives the same labels");
    let summary = text(&client, "#run-summary").await;
    println!("{summary}");
    for expected in ["Computed in ", "this computer's processor", "32-bit", " of memory"] {
        assert!(summary.contains(expected), "expected {expected:?} in {summary:?}");
    }
    screenshot(&client, "processor.png").await;
    check_diagnostics(&client).await;

    let input = client.find(Locator::Css(".slot input[type=file]")).await.unwrap();
    input.send_keys(long_scan.to_str().unwrap()).await.unwrap();
    wait_for(&client, "#plan", 60, "to plan", |text| text.contains(" × 1")).await;
    reach(&client, "ready", 60).await;
    let canceled = client.execute_async(CANCEL_SCRIPT, vec![]).await.unwrap();
    println!("canceled: {canceled}");
    assert_eq!(canceled[0], json!("ready"), "{canceled}");
    assert!(canceled[1].as_f64().unwrap() < 1000.0, "{canceled}");
    // The workers that were ended are replaced.
    let longest = client.execute_async(LONGEST_FRAME_SCRIPT, vec![]).await.unwrap();
    println!("the page's longest pause in a run: {longest} ms");
    assert!(longest.as_f64().unwrap() < 1000.0, "{longest}");
    reach(&client, "done", 400).await;
    println!("{}", text(&client, "#run-summary").await);
    segment_in_tiles(&client).await;
    segment_a_real_case(&client, &address).await;
}

/// Checks that the diagnostics describe the computer and the run, and nothing of the scan.
async fn check_diagnostics(client: &Client) {
    let keep = "navigator.clipboard.writeText = async text => { window.copied = text; };";
    client.execute(keep, vec![]).await.unwrap();
    click(client, "#copy-diagnostics").await;
    wait_for(client, ".notice", 10, "to confirm", |text| text.contains("clipboard")).await;
    let copied = client.execute("return window.copied", vec![]).await.unwrap();
    let Value::String(copied) = copied else { panic!("{copied}") };
    for expected in ["Chrome/", "processor", "Test (", "last run: Computed in"] {
        assert!(copied.contains(expected), "expected {expected:?} in {copied}");
    }
    assert!(!copied.contains(".nii"), "{copied}");
    click(client, ".notice button").await;
}

/// A scan that exceeds every budget is refused with the memory that it needs, and can be run in
/// tiles.
async fn segment_in_tiles(client: &Client) {
    let budget = json!(16 << 20);
    client.execute(REPLACE_BUDGET_SCRIPT, vec![budget.clone(), budget]).await.unwrap();
    let select = client.find(Locator::Css("#budget")).await.unwrap();
    select.select_by_value("2048").await.unwrap();
    let refused = wait_for(client, "#exceeds", 60, "to refuse", |text| !text.is_empty()).await;
    for expected in ["needs at least ", " of memory with this network", "16 MiB are allowed"] {
        assert!(refused.contains(expected), "expected {expected:?} in {refused:?}");
    }
    click(client, "#segment-tiles").await;
    reach(client, "done", 100).await;
    let summary = text(client, "#run-summary").await;
    println!("{summary}");
    assert!(summary.contains("overlapping tiles") && summary.contains("processor"), "{summary}");
}

/// Segments a whole case of real scans with one worker and with two. The labels agree.
async fn segment_a_real_case(client: &Client, address: &str) {
    let Some(folder) = integration_tests::data("brats/BraTS-GLI-00000-000") else { return };
    // The browser takes no path with "..".
    let folder = folder.canonicalize().unwrap();
    let mut maps: Vec<LabelMap> = Vec::new();
    for num_workers in [1, 2] {
        client.goto("about:blank").await.unwrap();
        client.goto(&format!("{address}/?workers={num_workers}")).await.unwrap();
        wait_for_model(client).await;
        for (slot, channel) in ["t1n", "t1c", "t2w", "t2f"].into_iter().enumerate() {
            let file = folder.join(format!("BraTS-GLI-00000-000-{channel}.nii.gz"));
            let inputs = client.find_all(Locator::Css(".slot input[type=file]")).await.unwrap();
            inputs[slot].send_keys(file.to_str().unwrap()).await.unwrap();
            wait_for(client, ".scan", 60, "to show the file", |text| {
                text.matches(".nii.gz").count() > slot
            })
            .await;
        }
        reach(client, "ready", 60).await;
        // The second run has no code to compile.
        for _ in 0..2 {
            click(client, "#segment").await;
            reach(client, "done", 100).await;
            println!("{num_workers} workers: {}", text(client, "#run-summary").await);
        }
        if num_workers == 2 {
            screenshot(client, "real-case.png").await;
        }
        click(client, "#copy-link").await;
        let shared = share::decode(link(client).await.split_once('#').unwrap().1).unwrap();
        maps.push(shared.labels);
    }
    for region in &phantom::task().regions {
        let dice =
            metrics::dice(maps[0].labels(), maps[1].labels(), &region.labels, EmptyRule::Brats2023);
        assert!(dice >= super::MIN_DICE, "{}: {dice}", region.name);
    }
}

/// A GPU that is lost twice: the processor takes over, and the page says so.
pub async fn take_over_from_the_gpu(client: Client, address: String, predicted: LabelMap) {
    open_page(&client, &format!("{address}/?hardware"), "automatic").await;
    open_demo(&client).await;
    let plan = text(&client, "#plan").await;
    assert!(!plan.contains("processor"), "{plan}");
    click(&client, "#segment").await;
    reach(&client, "done", 400).await;
    let fallbacks = text(&client, "#fallbacks").await;
    println!("the page reports: {fallbacks}");
    assert!(fallbacks.contains("The graphics card failed"), "{fallbacks}");
    assert!(text(&client, "#run-summary").await.contains("this computer's processor"));
    click(&client, "#copy-link").await;
    let shared = share::decode(link(&client).await.split_once('#').unwrap().1).unwrap();
    compare(&shared, &predicted, &phantom::task().regions);
}
