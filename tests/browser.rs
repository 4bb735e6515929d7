//! The whole path in a real browser: a network trained here, exported, served, and run by the page
//! on software WebGPU; the page's label map is the trainer's own.
//!
//! `cargo xtask test` builds what this needs and names it: `REWIND_BIN`, `REWIND_SERVE_BIN`,
//! `REWIND_PAGE`, `CHROME` and `CHROMEDRIVER`.

mod chrome;
mod outside;
mod owners;
mod stage;
mod tabs;
mod windows;
mod workers;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use fantoccini::{Client, Locator};
use model_core::{EmptyRule, LabelMap, Region, formats::nifti, metrics, phantom};
use promises::skipped;
use serde_json::json;
use web_viewer::share::{self, Shared};

use chrome::Running;

/// Voxels of a phantom along each axis: software WebGPU is slow.
const SIZE: &str = "32";
/// Half a minute on two cores: enough to find the tumor.
const STEPS: &str = "150";
/// The page may differ from the trainer by rounding, at voxels that are almost undecided.
const LEAST_DICE: f64 = 0.999;
const DISCLAIMER: &str = "Research use only, not a medical device";

/// Programs and folders of the environment.
struct Setup {
    rewind: PathBuf,
    serve: PathBuf,
    page: PathBuf,
    browser: PathBuf,
    driver: PathBuf,
}

impl Setup {
    fn find() -> Option<Setup> {
        let named = |name: &str| {
            let path = env::var_os(name).map(PathBuf::from).filter(|path| path.exists());
            path.ok_or(format!("no {name}; `cargo xtask test` builds and names what this needs"))
        };
        let setup = || {
            let [rewind, serve] = [named("REWIND_BIN")?, named("REWIND_SERVE_BIN")?];
            let [browser, driver] = [named("CHROME")?, named("CHROMEDRIVER")?];
            Ok(Setup { rewind, serve, page: named("REWIND_PAGE")?, browser, driver })
        };
        match setup() {
            Ok(setup) => Some(setup),
            Err(missing) => {
                let missing: String = missing;
                let is_required = env::var("REWIND_REQUIRE_BROWSER").is_ok_and(|v| v == "1");
                assert!(!is_required, "{missing}");
                skipped(&missing);
                None
            }
        }
    }

    /// Runs the command `rewind`.
    fn rewind(&self, folder: &Path, args: &str) {
        let mut command = Command::new(&self.rewind);
        let output = command.args(args.split(' ')).current_dir(folder).output().unwrap();
        let (out, error) = (&output.stdout, &output.stderr);
        let text = [String::from_utf8_lossy(out), String::from_utf8_lossy(error)].concat();
        assert!(output.status.success(), "rewind {args}: {text}");
    }

    /// Trains, predicts and exports in `folder`; gives the trainer's prediction of the case that
    /// the folder `demo` shows.
    fn train(&self, folder: &Path) -> LabelMap {
        let start = Instant::now();
        self.rewind(folder, &format!("phantom --out data --cases 10 --seed 1 --size {SIZE}"));
        self.rewind(
            folder,
            &format!("phantom --out unseen --cases 1 --seed 1000001 --size {SIZE}"),
        );
        let light = "--set augment.preset=none --set cache=cache";
        let options = format!("--preset demo --foreground nonzero {light} --steps {STEPS}");
        self.rewind(folder, &format!("train --data data {options} --out run"));
        println!("trained in {:.0} s", start.elapsed().as_secs_f64());
        self.rewind(folder, "predict --model run --data unseen --out predictions");
        let demo = folder.join("demo");
        fs::create_dir(&demo).unwrap();
        self.rewind(folder, "export --run run --out demo/model.safetensors --name Test");
        let name = only_scan(&folder.join("predictions"));
        fs::copy(folder.join("unseen/imagesTr").join(&name), demo.join(&name)).unwrap();
        let manifest = json!({
            "bundle": "model.safetensors",
            "case": { "name": "an unseen phantom", "files": [name] },
        });
        fs::write(demo.join("manifest.json"), manifest.to_string()).unwrap();
        let predicted = fs::read(folder.join("predictions").join(&name)).unwrap();
        nifti::read_labels(&predicted).unwrap()
    }

    /// Serves a page with the demonstration of `folder`; gives its address.
    fn serve(&self, folder: &Path, page: &Path) -> (Running, String) {
        let log = folder.join(page.file_name().unwrap()).with_extension("log");
        let mut serve = Command::new(&self.serve);
        serve.arg("--page").arg(page).arg("--demo").arg(folder.join("demo"));
        serve.args(["--listen", "127.0.0.1:0"]);
        let mut serve = Running::start(&mut serve, &log);
        let address = format!("http://{}", serve.wait_for("http://", &['/', ' ', '\n']));
        (serve, address)
    }

    /// Does `work` in a browser of its own; gives what the page wrote to its console.
    fn in_a_browser<F>(
        &self,
        folder: &Path,
        name: &str,
        work: impl FnOnce(Client) -> F,
    ) -> Vec<String>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let log = folder.join(format!("{name}.log"));
        let (driver, at) = chrome::start_driver(&self.driver, &log);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let outcome = runtime.block_on(async {
            let profile = folder.join(format!("profile-{name}"));
            let client = chrome::open(&at, &self.browser, &profile).await.expect("a browser");
            // A task of its own, so that the browser is closed in order even when this panics.
            let work = tokio::spawn(work(client.clone()));
            let outcome = tokio::time::timeout(Duration::from_secs(600), work).await;
            if !matches!(outcome, Ok(Ok(()))) {
                screenshot(&client, "failed.png").await;
            }
            let _ = tokio::time::timeout(Duration::from_secs(20), client.close()).await;
            outcome
        });
        let log = driver.log();
        let console: Vec<String> = chrome::console(&log).into_iter().map(String::from).collect();
        match outcome {
            Ok(Ok(())) => console,
            Ok(Err(panic)) => {
                eprintln!("the page's console:\n{}", console.join("\n"));
                std::panic::resume_unwind(panic.into_panic());
            }
            Err(_) => panic!("expected an end within 600 s; console:\n{}", console.join("\n")),
        }
    }
}

fn only_scan(folder: &Path) -> String {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    let names: Vec<String> = names.filter(|name| name.ends_with(".nii.gz")).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    names[0].clone()
}

#[test]
fn the_page_gives_the_trainers_result() {
    let Some(setup) = Setup::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let predicted = setup.train(folder.path());

    let (_serve, address) = setup.serve(folder.path(), &setup.page);
    let look = |client| look(client, address.clone(), predicted.clone());
    let console = setup.in_a_browser(folder.path(), "look", look);
    let complaints = chrome::complaints(&console);
    assert!(complaints.is_empty(), "on the page's console: {complaints:#?}");

    let wide = windows::Wide::new(&setup, folder.path());
    let in_windows = |client| windows::segment(client, address.clone(), wide);
    let console = setup.in_a_browser(folder.path(), "windows", in_windows);
    let complaints = chrome::complaints(&console);
    assert!(complaints.is_empty(), "on the page's console: {complaints:#?}");

    let failing = include_str!("browser/failing_gpu.js");
    let page = page_with(&setup.page, folder.path(), "failing-page", failing);
    let (_serve, address) = setup.serve(folder.path(), &page);
    let fail = |client| get_through_failures(client, address, predicted);
    // The browser complains of the failures too.
    setup.in_a_browser(folder.path(), "fail", fail);
}

/// The page, with a script before its own.
fn page_with(page: &Path, folder: &Path, name: &str, first: &str) -> PathBuf {
    let changed = folder.join(name);
    fs::create_dir(&changed).unwrap();
    for entry in fs::read_dir(page).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), changed.join(entry.file_name())).unwrap();
    }
    let script = changed.join("web_viewer.js");
    let whole = [first, &fs::read_to_string(&script).unwrap()].concat();
    fs::write(script, whole).unwrap();
    changed
}

/// What a person does with the page.
async fn look(client: Client, address: String, predicted: LabelMap) {
    let regions = phantom::task().regions;
    client.goto(&address).await.unwrap();
    assert!(text(&client, "#disclaimer").await.contains(DISCLAIMER));
    let start = Instant::now();
    let [link, other] = tabs::segment_at_the_same_time(&client, &address).await;
    println!("segmented in two tabs in {:.1} s", start.elapsed().as_secs_f64());
    assert_eq!(link, other, "one tab disturbed the other");
    screenshot(&client, "result.png").await;
    check_table(&client, &regions, &predicted).await;
    println!("the link has {} characters", link.len());
    let (page, fragment) = link.split_once('#').expect("a link with a fragment");
    assert_eq!(page.trim_end_matches('/'), address);
    let shared = share::decode(fragment).unwrap();
    compare(&shared, &predicted, &regions);

    // Only the fragment changes between the two, so without a page between nothing is loaded.
    client.goto("about:blank").await.unwrap();
    client.goto(&link).await.unwrap();
    check_table(&client, &regions, &predicted).await;
    assert!(text(&client, "#disclaimer").await.contains(DISCLAIMER));
    screenshot(&client, "link.png").await;

    let start = Instant::now();
    tabs::keeps_the_model(&client, &address).await;
    tabs::remembers_the_budget(&client, &address).await;
    println!("visited again in {:.1} s", start.elapsed().as_secs_f64());
}

/// Without memory, and with the GPU lost in the middle, the page says so and gives the same result.
async fn get_through_failures(client: Client, address: String, predicted: LabelMap) {
    client.goto(&address).await.unwrap();
    open_demo(&client).await;
    click(&client, "#segment").await;
    reach(&client, "done", 400).await;
    let told = text(&client, "#setbacks").await;
    println!("the page says: {told}");
    for said in ["The GPU had no ", "The connection to the GPU was lost", "Ran within "] {
        assert!(told.contains(said), "expected {said:?} in {told:?}");
    }
    screenshot(&client, "setbacks.png").await;
    click(&client, "#copy-link").await;
    let shared = share::decode(link(&client).await.split_once('#').unwrap().1).unwrap();
    compare(&shared, &predicted, &phantom::task().regions);
}

/// The page's label map lies on the scan's grid and is the trainer's.
fn compare(shared: &Shared, predicted: &LabelMap, regions: &[Region]) {
    predicted.grid().check_same(shared.labels.grid()).unwrap();
    let mut num_compared = 0;
    for region in regions {
        if predicted.volume_ml(&region.labels) == 0.0 {
            continue;
        }
        let (ours, theirs) = (shared.labels.labels(), predicted.labels());
        let dice = metrics::dice(ours, theirs, &region.labels, EmptyRule::Brats2023);
        println!("{}: Dice {dice:.5} between the page and the trainer", region.name);
        assert!(dice >= LEAST_DICE, "{}: {dice}", region.name);
        num_compared += 1;
    }
    assert!(num_compared > 0, "expected a region that is not empty; the network learned nothing");
}

/// The table shows every region with its volume, as it rounds it.
async fn check_table(client: &Client, regions: &[Region], predicted: &LabelMap) {
    let table = wait_for(client, "#regions", 60, "to hold every region", |text| {
        regions.iter().all(|region| text.contains(&region.name))
    });
    let table = table.await;
    for region in regions {
        let row = table.split(&region.name).nth(1).expect("wait_for has seen it");
        let number = row.split_whitespace().find_map(|word| word.parse::<f64>().ok());
        let (shown, volume_ml) = (number.expect("a number"), predicted.volume_ml(&region.labels));
        let difference = (shown - volume_ml).abs();
        // Three digits, and what the two may differ by.
        assert!(difference <= 0.01 * volume_ml + 0.002, "{}: {table}", region.name);
    }
}

async fn text(client: &Client, css: &str) -> String {
    let element = client.wait().at_most(Duration::from_secs(60)).for_element(Locator::Css(css));
    let element = element.await.unwrap_or_else(|e| panic!("expected {css} on the page: {e}"));
    element.text().await.unwrap_or_default()
}

/// Waits until an element's text is as expected; gives the text.
async fn wait_for(
    client: &Client,
    css: &str,
    limit_secs: u64,
    expected: &str,
    is_so: impl Fn(&str) -> bool,
) -> String {
    let start = Instant::now();
    loop {
        let found = text(client, css).await;
        if is_so(&found) {
            return found;
        }
        let late = start.elapsed() > Duration::from_secs(limit_secs);
        assert!(!late, "expected {css} {expected} within {limit_secs} s, found {found:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Clicks as soon as the element is there and enabled.
async fn click(client: &Client, css: &str) {
    let start = Instant::now();
    loop {
        let element = client.find(Locator::Css(css)).await;
        if let Ok(element) = element
            && element.is_enabled().await.unwrap_or(false)
            && element.click().await.is_ok()
        {
            return;
        }
        let late = start.elapsed() > Duration::from_secs(60);
        assert!(!late, "expected to be able to click {css} within 60 s: {}", status(client).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits for the server's model, with which the page moves: a click before would miss its button.
async fn model_shown(client: &Client) {
    wait_for(client, ".model", 60, "to show the model", |text| text.contains("Hash")).await;
}

async fn open_demo(client: &Client) {
    model_shown(client).await;
    click(client, "#demo").await;
    reach(client, "ready", 60).await;
}

async fn status(client: &Client) -> String {
    let Ok(element) = client.find(Locator::Css("#status")).await else {
        return "the page has no #status".into();
    };
    let (state, text) = (state(client).await, element.text().await.unwrap_or_default());
    format!("the page is {state:?} and says {text:?}")
}

async fn state(client: &Client) -> String {
    let Ok(element) = client.find(Locator::Css("#status")).await else { return String::new() };
    element.attr("data-state").await.ok().flatten().unwrap_or_default()
}

/// Waits for a state of the page.
async fn reach(client: &Client, wanted: &str, limit_secs: u64) {
    let start = Instant::now();
    loop {
        let found = state(client).await;
        if found == wanted {
            return;
        }
        assert_ne!(found, "error", "{}", status(client).await);
        if start.elapsed() > Duration::from_secs(limit_secs) {
            panic!("expected {wanted:?} within {limit_secs} s: {}", status(client).await);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn link(client: &Client) -> String {
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

/// Saves what the page looks like, in `$REWIND_SCREENSHOT` or else cargo's target folder.
async fn screenshot(client: &Client, name: &str) {
    let folder = env::var_os("REWIND_SCREENSHOT").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).into());
    let png = client.screenshot().await.unwrap_or_default();
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), png).unwrap();
    println!("screenshot: {}", folder.join(name).display());
}
