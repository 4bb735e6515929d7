//! What a person can make the page do. Each action is one story from first to last step; when
//! another begins, the earlier one ends without a word.

use js_sys::Uint8Array;
use leptos::prelude::*;
use model_core::LabelMap;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;
use web_sys::File;

use super::browser;
use super::client::ask;
use super::model_cache;
use super::scans::{self, Source};
use super::state::{Model, Page, Phase};
use crate::demo::Manifest;
use crate::protocol::{Answer, Ask, Plan};
use crate::share::{self, Shared, SharedModel, SharedRegion};
use crate::words;

/// Why an action ends early: words to show, or nothing where another action took over.
pub(super) type Stop = Option<String>;

/// Runs an action, and shows what went wrong.
fn act(page: Page, action: impl Future<Output = Result<(), Stop>> + 'static) {
    spawn_local(async move {
        if let Err(Some(message)) = action.await {
            page.fail(message);
        }
    });
}

/// Opens what the address asks for: a shared result, or else the server's model.
pub fn begin(page: Page) {
    let (_, fragment) = browser::address();
    if share::is_shared(&fragment) {
        open_link(page, &fragment);
        return;
    }
    let turn = page.begin();
    act(page, async move {
        page.say(Phase::Loading, "Loading the model");
        // Without a demonstration the page waits for a model; that is no error.
        if let Ok(manifest) = manifest().await {
            let bytes = model_cache::fetched(&format!("demo/{}", manifest.bundle)).await?;
            let model = open(&manifest.bundle, bytes).await?;
            check(page.is_current(turn))?;
            show_model(page, model);
        }
        check(page.is_current(turn))?;
        page.say_what_is_next();
        Ok(())
    });
}

/// Ends an action that is no longer current.
pub(super) fn check(is_current: bool) -> Result<(), Stop> {
    if is_current { Ok(()) } else { Err(None) }
}

fn open_link(page: Page, fragment: &str) {
    page.begin();
    match share::decode(fragment) {
        Ok(shared) => {
            page.is_from_link.set(true);
            page.convention.set(shared.convention);
            page.set_slots(vec!["Scan".into()]);
            page.show_result(shared);
            page.say_what_is_next();
        }
        Err(error) => page.fail(error.to_string()),
    }
}

/// Leaves a shared result for segmentations of one's own.
pub fn leave_link(page: Page) {
    page.is_from_link.set(false);
    page.set_slots(Vec::new());
    begin(page);
}

async fn manifest() -> Result<Manifest, String> {
    Manifest::parse(&browser::fetched("demo/manifest.json").await?)
}

/// Opens the server's demonstration: its model and its case.
pub fn demo(page: Page) {
    let turn = page.begin();
    act(page, async move {
        page.say(Phase::Loading, "Loading the demonstration");
        let manifest = manifest().await.map_err(|error| {
            format!(
                "there is no demonstration here: {error}. `cargo xtask demo` makes one; a server \
                 is given it with --demo."
            )
        })?;
        let bytes = model_cache::fetched(&format!("demo/{}", manifest.bundle)).await?;
        let model = open(&manifest.bundle, bytes).await?;
        check(page.is_current(turn))?;
        page.is_from_link.set(false);
        show_model(page, model);
        let mut sources = Vec::new();
        for file in &manifest.case.files {
            let bytes = browser::fetched(&format!("demo/{file}")).await?;
            sources.push(Source { name: file.clone(), bytes: browser::buffer(&bytes) });
        }
        scans::load(page, turn, sources, None).await
    });
}

/// Opens a model bundle from a file.
pub fn open_bundle(page: Page, file: File) {
    let turn = page.begin();
    act(page, async move {
        page.say(Phase::Loading, format!("Opening {}", file.name()));
        let bytes = browser::bytes_of(&file).await?;
        let model = open(&file.name(), bytes).await?;
        check(page.is_current(turn))?;
        page.is_from_link.set(false);
        show_model(page, model);
        page.say_what_is_next();
        Ok(())
    });
}

async fn open(file: &str, bytes: JsValue) -> Result<Model, String> {
    match ask(&Ask::OpenBundle { file: file.to_string() }, Some(bytes)).await? {
        (Answer::Bundle { card, hash }, _) => Ok(Model { card: *card, hash }),
        _ => Err("the worker did not answer with a model".into()),
    }
}

fn show_model(page: Page, model: Model) {
    page.set_slots(model.card.task.channels.clone());
    page.model.set(Some(model.into()));
}

/// Opens what was dropped on the page: a model bundle, or scans.
pub fn files_dropped(page: Page, files: Vec<File>) {
    choose(page, files, None);
}

/// Opens chosen files: into one slot, or where their names and channels say.
pub fn choose(page: Page, files: Vec<File>, slot: Option<usize>) {
    if files.is_empty() || page.status.with_untracked(|s| s.phase == Phase::Running) {
        return;
    }
    if let Some(bundle) = files.iter().find(|file| file.name().ends_with(".safetensors")) {
        return open_bundle(page, bundle.clone());
    }
    let turn = page.begin();
    act(page, async move {
        if page.slots.with_untracked(Vec::is_empty) {
            return Err(Some("open a model bundle first: it says which scans it needs".into()));
        }
        page.say(Phase::Loading, "Reading the scan");
        let mut sources = Vec::new();
        for file in files {
            let bytes = browser::bytes_of(&file).await?;
            sources.push(Source { name: file.name(), bytes });
        }
        scans::load(page, turn, sources, slot).await
    });
}

/// Allows a run so much of the GPU's memory, and says what one will take then.
pub fn allow(page: Page, mib: u64) {
    if page.status.with_untracked(|status| status.phase.is_busy()) {
        return;
    }
    let turn = page.begin();
    page.set_budget(mib);
    page.plan.set(None);
    act(page, async move { scans::plan_again(page, turn).await });
}

/// Runs the network: on the whole scan, or in overlapping windows.
pub fn segment(page: Page, in_windows: bool) {
    let Some(model) = page.model.get_untracked() else { return };
    let turn = page.begin();
    act(page, async move {
        page.drop_result();
        page.is_stopping.set(false);
        page.say(Phase::Running, "Starting");
        let (answer, arrays) = ask(&Ask::Segment { in_windows }, None).await?;
        check(page.is_current(turn))?;
        page.progress.set(None);
        if let Answer::Segmented { grid, elapsed_secs, adapter, plan, num_windows, setbacks } =
            answer
        {
            let labels = Uint8Array::from(arrays.get(0)).to_vec();
            let windows = num_windows.map(|n| words::windows(n, plan.dims)).unwrap_or_default();
            page.made.set(made(elapsed_secs, &adapter, &plan, &windows));
            page.setbacks.set(setbacks);
            page.show_result(result(&model, LabelMap { grid, labels }, windows));
        }
        page.say_what_is_next();
        Ok(())
    });
}

/// How a result was made, in a line.
fn made(elapsed_secs: f64, adapter: &str, plan: &Plan, windows: &str) -> String {
    // Browsers may hide the GPU's name.
    let place = if adapter.starts_with("unnamed") { "your GPU" } else { adapter };
    let seen = if windows.is_empty() { "the whole scan at once" } else { windows };
    let (maps, memory) = (words::maps(plan.bits), words::bytes(plan.gpu_bytes));
    format!("Computed in {elapsed_secs:.1} s on {place}: {seen}, {maps}, {memory} of its memory.")
}

/// Stops the network, and says so before the worker does.
pub fn cancel(page: Page) {
    act(page, async move {
        page.is_stopping.set(true);
        page.say(Phase::Running, "Cancelling");
        ask(&Ask::Cancel, None).await?;
        Ok(())
    });
}

fn result(model: &Model, labels: LabelMap, windows: String) -> Shared {
    let regions = model.card.task.regions.iter().map(|region| SharedRegion {
        name: region.name.clone(),
        color: region.color,
        codes: region.labels.clone(),
        volume_ml: labels.volume_ml(&region.labels),
    });
    Shared {
        convention: Default::default(),
        regions: regions.collect(),
        model: SharedModel {
            name: model.card.name.clone(),
            warning: model.card.warning.clone(),
            hash: model.hash.clone(),
            windows,
        },
        labels,
    }
}

/// Saves the label map as a file.
pub fn save(page: Page) {
    let Some(result) = page.result.get_untracked() else { return };
    let description = words::description(&result.model.windows);
    let bytes = model_core::nifti::write_labels_described(&result.labels, &description);
    let name = "segmentation_research_use_only.nii.gz";
    if let Err(error) = browser::save(name, "application/gzip", &bytes) {
        page.fail(format!("cannot save {name}: {}", browser::text_of(&error)));
    }
}

/// Puts the result into the address and onto the clipboard.
pub fn copy_link(page: Page) {
    let Some(result) = page.result.get_untracked() else { return };
    let shared = Shared { convention: page.convention.get_untracked(), ..(*result).clone() };
    act(page, async move {
        let fragment = share::encode(&shared).map_err(|error| error.to_string())?;
        let (address, _) = browser::address();
        let link = format!("{address}#{fragment}");
        browser::set_address(&link);
        page.link.set(link.clone());
        let length = link.len() as f64 / 1000.0;
        let where_to = match browser::copy(&link).await {
            true => "Link copied",
            false => "Link made: copy it from the field",
        };
        page.say(Phase::Done, format!("{where_to} ({length:.1} kB)"));
        Ok(())
    });
}
