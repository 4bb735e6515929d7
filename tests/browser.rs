//! The whole path in a real browser: a network is trained, exported, served, and run by the page on
//! software WebGPU. The page's label map equals the trainer's.
//!
//! `cargo xtask test` builds the programs and sets their paths: `REWIND_BIN`, `REWIND_SERVE_BIN`,
//! `REWIND_PAGE`, `CHROME` and `CHROMEDRIVER`.

mod chrome;
mod correcting;
mod examination;
mod fixtures;
mod looking;
mod model_identity;
mod offline;
mod page;
mod processor;
mod shapes;
mod tabs;
mod tiles;
mod untrusted_input;
mod workers;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use fantoccini::Client;
use integration_tests::skipped;
use model_core::{EmptyRule, LabelMap, Region, formats::nifti, metrics, phantom};
use serde_json::json;
use web_viewer::share::{self, SharedResult};

use chrome::{Gpu, Running};
use page::{
    click, link, open_demo, open_page, reach, screenshot, state, status, text, wait_for,
    wait_for_model,
};

/// Voxels of a phantom along each axis, few because software WebGPU is slow.
const PHANTOM_SIZE: &str = "32";
/// Half a minute of training on two cores, enough to find the tumor.
const TRAINING_STEPS: &str = "150";
/// The page may differ from the trainer by rounding, at voxels with almost equal logits.
const MIN_DICE: f64 = 0.999;
const DISCLAIMER: &str = "Research use only, not a medical device";

/// Paths of the programs and of the page, from the environment.
struct Programs {
    rewind: PathBuf,
    serve: PathBuf,
    page: PathBuf,
    browser: PathBuf,
    driver: PathBuf,
}

impl Programs {
    /// Finds the programs, or skips the test if one is missing and the browser is not required.
    fn find() -> Option<Programs> {
        let path_in = |name: &str| {
            let path = env::var_os(name).map(PathBuf::from).filter(|path| path.exists());
            path.ok_or(format!(
                "no {name}; `cargo xtask test` builds the programs and sets their paths"
            ))
        };
        let programs = || {
            let [rewind, serve] = [path_in("REWIND_BIN")?, path_in("REWIND_SERVE_BIN")?];
            let [browser, driver] = [path_in("CHROME")?, path_in("CHROMEDRIVER")?];
            Ok(Programs { rewind, serve, page: path_in("REWIND_PAGE")?, browser, driver })
        };
        match programs() {
            Ok(programs) => Some(programs),
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

    /// Trains, predicts and exports in `folder`. Returns the trainer's prediction for the case in
    /// the folder `demo`.
    fn train(&self, folder: &Path) -> LabelMap {
        let start = Instant::now();
        self.rewind(
            folder,
            &format!("phantom --out data --cases 10 --seed 1 --size {PHANTOM_SIZE}"),
        );
        self.rewind(
            folder,
            &format!("phantom --out unseen --cases 1 --seed 1000001 --size {PHANTOM_SIZE}"),
        );
        let fast = "--set augment.preset=none --set cache=cache";
        let options = format!("--preset demo --foreground nonzero {fast} --steps {TRAINING_STEPS}");
        self.rewind(folder, &format!("train --data data {options} --out run"));
        println!("trained in {:.0} s", start.elapsed().as_secs_f64());
        self.rewind(folder, "predict --model run --data unseen --out predictions");
        let demo = folder.join("demo");
        fs::create_dir(&demo).unwrap();
        self.rewind(folder, "export --run run --out demo/model.safetensors --name Test");
        let name = only_scan(&folder.join("predictions"));
        fs::copy(folder.join("unseen/imagesTr").join(&name), demo.join(&name)).unwrap();
        let manifest = json!({ "models": [{
            "name": "Test",
            "bundle": "model.safetensors",
            "case": { "name": "an unseen phantom", "files": [name] },
        }] });
        fs::write(demo.join("manifest.json"), manifest.to_string()).unwrap();
        let predicted = fs::read(folder.join("predictions").join(&name)).unwrap();
        nifti::read_labels(&predicted).unwrap()
    }

    /// Serves a page with the demonstration of `folder`. Returns the server and its address.
    fn serve(&self, folder: &Path, page: &Path) -> (Running, String) {
        let log = folder.join(page.file_name().unwrap()).with_extension("log");
        let mut serve = Command::new(&self.serve);
        serve.arg("--page").arg(page).arg("--demo").arg(folder.join("demo"));
        serve.args(["--listen", "127.0.0.1:0"]);
        let mut serve = Running::start(&mut serve, &log);
        let address = format!("http://{}", serve.wait_for("http://", &['/', ' ', '\n']));
        (serve, address)
    }

    /// Runs `work` in a new browser with a software GPU. Returns the lines of the page's console.
    fn in_browser<F>(
        &self,
        folder: &Path,
        name: &str,
        work: impl FnOnce(Client) -> F,
    ) -> Vec<String>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.in_browser_with(Gpu::Software, folder, name, work)
    }

    /// Runs `work` in a new browser. Returns the lines of the page's console.
    fn in_browser_with<F>(
        &self,
        gpu: Gpu,
        folder: &Path,
        name: &str,
        work: impl FnOnce(Client) -> F,
    ) -> Vec<String>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let log = folder.join(format!("{name}.log"));
        let (driver, driver_address) = chrome::start_driver(&self.driver, &log);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let outcome = runtime.block_on(async {
            let profile = folder.join(format!("profile-{name}"));
            let client = chrome::open(&driver_address, &self.browser, &profile, gpu).await;
            let client = client.expect("a browser");
            // A separate task, so that the browser is closed in order even if `work` panics.
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

/// Returns the name of the only scan in a folder.
fn only_scan(folder: &Path) -> String {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    let names: Vec<String> = names.filter(|name| name.ends_with(".nii.gz")).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    names[0].clone()
}

#[test]
fn the_page_and_the_trainer_give_the_same_result() {
    let Some(programs) = Programs::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let predicted = programs.train(folder.path());

    let (_serve, address) = programs.serve(folder.path(), &programs.page);
    let segment = |client| segment_and_share(client, address.clone(), predicted.clone());
    let console = programs.in_browser(folder.path(), "segment", segment);
    let errors = chrome::error_lines(&console);
    assert!(errors.is_empty(), "on the page's console: {errors:#?}");

    let scan = processor::long_scan(&programs, folder.path());
    let work = |client| processor::segment(client, address.clone(), predicted.clone(), scan);
    let console = programs.in_browser_with(Gpu::None, folder.path(), "processor", work);
    let errors = chrome::error_lines(&console);
    assert!(errors.is_empty(), "on the page's console: {errors:#?}");

    let saved = folder.path().join("saved");
    fs::create_dir(&saved).unwrap();
    let correct = |client| {
        let (address, saved) = (address.clone(), saved.clone());
        async move { correcting::correct_and_measure(client, address, &saved).await }
    };
    let console = programs.in_browser_with(Gpu::None, folder.path(), "correct", correct);
    let errors = chrome::error_lines(&console);
    assert!(errors.is_empty(), "on the page's console: {errors:#?}");

    let (serve, local) = programs.serve(folder.path(), &programs.page);
    let demo = folder.path().join("demo");
    let scan = demo.join(only_scan(&demo));
    let visit = |client| offline::segment_without_server(client, serve, local, scan);
    // The console holds the refused requests, so it is not checked.
    programs.in_browser_with(Gpu::None, folder.path(), "offline", visit);

    if let Some(files) = examination::files() {
        let work = |client| examination::prepare_and_segment(client, address.clone(), files);
        programs.in_browser_with(Gpu::None, folder.path(), "examination", work);
    }

    let large_scan = tiles::LargeScan::new(&programs, folder.path());
    let segment_tiled = |client| tiles::segment(client, address.clone(), large_scan);
    let console = programs.in_browser(folder.path(), "tiles", segment_tiled);
    let errors = chrome::error_lines(&console);
    assert!(errors.is_empty(), "on the page's console: {errors:#?}");

    let failing = include_str!("browser/failing_gpu.js");
    let page = page_with_script(&programs.page, folder.path(), "failing-page", failing);
    let (_serve, address) = programs.serve(folder.path(), &page);
    let fail = |client| recover_from_gpu_failures(client, address.clone(), predicted.clone());
    // The console holds the provoked errors, so it is not checked.
    programs.in_browser(folder.path(), "fail", fail);
    let fail = |client| processor::take_over_from_the_gpu(client, address.clone(), predicted);
    programs.in_browser(folder.path(), "take-over", fail);
}

/// Copies the page to `folder`, with a script before its own.
fn page_with_script(page: &Path, folder: &Path, name: &str, first_script: &str) -> PathBuf {
    let copy = folder.join(name);
    copy_folder(page, &copy);
    let script = copy.join("web_viewer.js");
    let both = [first_script, &fs::read_to_string(&script).unwrap()].concat();
    fs::write(script, both).unwrap();
    copy
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (source, copy) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        match source.is_dir() {
            true => copy_folder(&source, &copy),
            false => {
                fs::copy(&source, &copy).unwrap();
            }
        }
    }
}

/// Segments in two tabs, shares the result, opens the link, and visits the page again.
async fn segment_and_share(client: Client, address: String, predicted: LabelMap) {
    let regions = phantom::task().regions.clone();
    open_page(&client, &address, "gpu").await;
    assert!(text(&client, "#disclaimer").await.contains(DISCLAIMER));
    let start = Instant::now();
    let [link, other_link] = tabs::segment_in_two_tabs(&client, &address).await;
    println!("segmented in two tabs in {:.1} s", start.elapsed().as_secs_f64());
    assert_eq!(link, other_link, "the tabs disturbed each other");
    screenshot(&client, "result.png").await;
    check_table(&client, &regions, &predicted).await;
    check_probabilities(&client, &regions).await;
    println!("the link has {} characters", link.len());
    let (page, fragment) = link.split_once('#').expect("a link with a fragment");
    assert_eq!(page.trim_end_matches('/'), address);
    let shared = share::decode(fragment).unwrap();
    compare(&shared, &predicted, &regions);

    // The addresses differ only by the fragment, so the browser loads nothing without a page
    // between.
    client.goto("about:blank").await.unwrap();
    client.goto(&link).await.unwrap();
    check_table(&client, &regions, &predicted).await;
    assert!(text(&client, "#disclaimer").await.contains(DISCLAIMER));
    screenshot(&client, "link.png").await;

    let start = Instant::now();
    tabs::check_model_cache(&client, &address).await;
    tabs::check_stored_budget(&client, &address).await;
    println!("visited again in {:.1} s", start.elapsed().as_secs_f64());
}

/// After a refused allocation and a lost GPU, the page reports both and gives the same result.
async fn recover_from_gpu_failures(client: Client, address: String, predicted: LabelMap) {
    open_page(&client, &address, "gpu").await;
    open_demo(&client).await;
    click(&client, "#segment").await;
    reach(&client, "done", 400).await;
    let fallbacks = text(&client, "#fallbacks").await;
    println!("the page reports: {fallbacks}");
    for expected in ["The GPU had no ", "The connection to the GPU was lost", "Ran within "] {
        assert!(fallbacks.contains(expected), "expected {expected:?} in {fallbacks:?}");
    }
    screenshot(&client, "fallbacks.png").await;
    click(&client, "#copy-link").await;
    let shared = share::decode(link(&client).await.split_once('#').unwrap().1).unwrap();
    compare(&shared, &predicted, &phantom::task().regions);
}

/// Checks that a shared label map is on the scan's grid and equals the trainer's.
fn compare(shared: &SharedResult, predicted: &LabelMap, regions: &[Region]) {
    predicted.grid().check_same(shared.labels.grid()).unwrap();
    let mut num_compared = 0;
    for region in regions {
        if predicted.volume_ml(&region.labels) == 0.0 {
            continue;
        }
        let (page_labels, trainer_labels) = (shared.labels.labels(), predicted.labels());
        let dice = metrics::dice(page_labels, trainer_labels, &region.labels, EmptyRule::Brats2023);
        println!("{}: Dice {dice:.5} between the page and the trainer", region.name);
        assert!(dice >= MIN_DICE, "{}: {dice}", region.name);
        num_compared += 1;
    }
    assert!(num_compared > 0, "expected a region that is not empty; the network learned nothing");
}

/// The model was calibrated at the end of its training, so the numbers under the crosshair are
/// percentages. The crosshair is in the middle of the tumor.
async fn check_probabilities(client: &Client, regions: &[Region]) {
    let shown = text(client, "#probabilities").await;
    let percent = |name: &str| -> f64 {
        let after = shown.split(name).nth(1).unwrap_or_else(|| panic!("no {name} in {shown:?}"));
        after.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap()
    };
    assert!(percent(&regions[0].name) >= 50.0, "{shown}");
    assert!(text(client, ".display").await.contains("calibrated on 2 held-out cases"));
    let drawn = "return document.querySelector('.views canvas').toDataURL()";
    let filled = fixtures::script(client, drawn).await;
    let choose = "[...document.querySelectorAll('.display button')]\
                  .find(button => button.textContent.includes('Soft outline')).click()";
    fixtures::script(client, choose).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    screenshot(client, "soft-outline.png").await;
    assert_ne!(fixtures::script(client, drawn).await, filled, "the outline is drawn");
}

/// Checks that the table shows every region with its rounded volume.
async fn check_table(client: &Client, regions: &[Region], predicted: &LabelMap) {
    let table = wait_for(client, "#regions", 60, "to hold every region", |text| {
        regions.iter().all(|region| text.contains(&region.name))
    });
    let table = table.await;
    for region in regions {
        let row = table.split(&region.name).nth(1).expect("wait_for checked it");
        let number = row.split_whitespace().find_map(|word| word.parse::<f64>().ok());
        let (shown, volume_ml) = (number.expect("a number"), predicted.volume_ml(&region.labels));
        let difference = (shown - volume_ml).abs();
        // The tolerance covers three digits and the difference allowed between the label maps.
        assert!(difference <= 0.01 * volume_ml + 0.002, "{}: {table}", region.name);
    }
}
