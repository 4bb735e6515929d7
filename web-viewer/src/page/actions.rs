//! What a person can make the page do. Each action is one story from first to last step; when
//! another begins, the earlier one ends without a word.

use js_sys::{Array, Uint8Array};
use leptos::prelude::*;
use model_core::LabelMap;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Blob, File};

use super::client::{Held, ask, tell};
use super::scans::{self, Source};
use super::state::{ActionToken, Model, Page, Phase};
use super::{browser, model_cache, recovery};
use crate::demo::Manifest;
use crate::messages;
use crate::protocol::{Plan, WorkerRequest, WorkerResponse};
use crate::share::{self, Shared, SharedModel, SharedRegion};

/// Why an action ends early: words to show, or nothing where another action took over.
pub(super) type Stop = Option<String>;

/// Runs an action, and shows what went wrong, unless another began meanwhile.
fn act(page: Page, turn: ActionToken, action: impl Future<Output = Result<(), Stop>> + 'static) {
    spawn_local(async move {
        if let Err(Some(message)) = action.await
            && page.is_current(turn)
        {
            page.fail(message);
        }
    });
}

/// Opens what the address asks for: a shared result, or else the server's model.
pub fn begin(page: Page) {
    let (_, fragment) = browser::address();
    if share::is_shared(&fragment) {
        open_link(page, fragment);
        return;
    }
    let turn = page.begin();
    act(page, turn, async move {
        page.say(Phase::Loading, "Loading the model");
        // Without a demonstration the page waits for a model; that is no error.
        if let Ok(manifest) = manifest().await {
            let model = open_servers(&manifest.bundle).await?;
            // Whoever opened another meanwhile wants that one.
            if page.model.with_untracked(Option::is_none) && !page.is_from_link.get_untracked() {
                show_model(page, model);
            }
        }
        check(page.is_current(turn))?;
        page.say_what_is_next();
        Ok(())
    });
}

/// Finds out whether this browser can run a network, and has the page say what to do where not.
pub fn look_for_a_gpu(page: Page) {
    spawn_local(async move {
        page.no_gpu.set(match (browser::has_webgpu(), browser::is_secure()) {
            (false, true) => Some(messages::NO_WEBGPU),
            (false, false) => Some(messages::NOT_SECURE),
            _ => (!browser::has_gpu().await).then_some(messages::NO_GPU),
        });
        if page.status.with_untracked(|status| status.phase == Phase::Ready) {
            page.say_what_is_next();
        }
    });
}

/// Ends an action that is no longer current.
pub(super) fn check(is_current: bool) -> Result<(), Stop> {
    if is_current { Ok(()) } else { Err(None) }
}

fn open_link(page: Page, fragment: String) {
    let turn = page.begin();
    act(page, turn, async move {
        page.say(Phase::Loading, "Reading the link");
        let read = ask(&WorkerRequest::ReadLink { fragment }, None).await?;
        let (WorkerResponse::Link { header, middle }, arrays) = read else {
            return Err(Some("the worker did not answer with a result".into()));
        };
        check(page.is_current(turn))?;
        let shared = header.with(Uint8Array::from(arrays.get(0)).to_vec());
        page.is_from_link.set(true);
        page.convention.set(shared.convention);
        page.set_slots(vec!["Scan".into()]);
        page.show_result(shared, middle);
        page.say_what_is_next();
        Ok(())
    });
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
    act(page, turn, async move {
        page.say(Phase::Loading, "Loading the demonstration");
        let manifest = manifest().await.map_err(|error| {
            format!(
                "there is no demonstration here: {error}. `cargo xtask demo` makes one; a server \
                 is given it with --demo."
            )
        })?;
        let model = open_servers(&manifest.bundle).await?;
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

/// Opens a model bundle from a file, and then scans that came with it.
pub fn open_bundle(page: Page, file: File, scans: Vec<File>) {
    let turn = page.begin();
    act(page, turn, async move {
        page.say(Phase::Loading, format!("Opening {}", file.name()));
        let model = open(&file.name(), file.clone().into()).await?;
        check(page.is_current(turn))?;
        page.is_from_link.set(false);
        show_model(page, model);
        match scans.is_empty() {
            true => page.say_what_is_next(),
            false => scans::load(page, turn, sources(scans).await?, None).await?,
        }
        Ok(())
    });
}

async fn open_servers(bundle: &str) -> Result<Model, String> {
    let bytes = model_cache::fetched(&format!("demo/{bundle}")).await?;
    let blob = Blob::new_with_buffer_source_sequence(&Array::of1(&bytes));
    open(bundle, blob.map_err(|error| browser::text_of(&error))?).await
}

/// Has the worker open a model. The page alone says whether it is the one that is shown and run.
async fn open(file: &str, source: Blob) -> Result<Model, String> {
    let bytes = JsFuture::from(source.array_buffer()).await.map_err(|error| {
        format!("cannot read {file}: {}. Was it moved or changed?", browser::text_of(&error))
    })?;
    let held = Held::new();
    let number = held.number();
    recovery::remember(number, source);
    match ask(&WorkerRequest::OpenBundle { number, file: file.to_string() }, Some(bytes)).await? {
        (WorkerResponse::Bundle { card, model }, _) if model.number == number => {
            Ok(Model { held, card: *card, hash: model.hash })
        }
        _ => Err("the worker did not answer with the model".into()),
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
    let is_bundle = |file: &File| file.name().to_lowercase().ends_with(".safetensors");
    let (mut bundles, scans): (Vec<File>, Vec<File>) = files.into_iter().partition(is_bundle);
    if bundles.len() > 1 {
        let names: Vec<String> = bundles.iter().map(File::name).collect();
        let (number, names) = (names.len(), names.join(", "));
        return page.fail(format!("expected one model bundle at a time, found {number}: {names}"));
    }
    if let Some(bundle) = bundles.pop() {
        return open_bundle(page, bundle, scans);
    }
    if page.slots.with_untracked(Vec::is_empty) {
        return page.fail("open a model bundle first: it says which scans it needs");
    }
    let turn = page.begin();
    act(page, turn, async move {
        page.say(Phase::Loading, "Reading the scan");
        scans::load(page, turn, sources(scans).await?, slot).await
    });
}

async fn sources(files: Vec<File>) -> Result<Vec<Source>, String> {
    let mut sources = Vec::new();
    for file in files {
        let bytes = browser::bytes_of(&file).await?;
        sources.push(Source { name: file.name(), bytes });
    }
    Ok(sources)
}

/// Allows a run so much of the GPU's memory, and says what one will take then.
pub fn allow(page: Page, mib: u64) {
    if page.status.with_untracked(|status| status.phase.is_busy()) {
        return;
    }
    let turn = page.begin();
    page.set_budget(mib);
    page.plan.set(None);
    act(page, turn, async move { scans::plan_again(page, turn).await });
}

/// Runs the network: on the whole scan, or in overlapping windows.
pub fn segment(page: Page, in_windows: bool) {
    let (Some(model), Some(inputs)) = (page.model.get_untracked(), page.inputs()) else { return };
    let turn = page.begin();
    act(page, turn, async move {
        page.drop_result();
        page.is_stopping.set(false);
        page.say(Phase::Running, "Starting");
        let answer = ask(&WorkerRequest::Segment { inputs, in_windows }, None).await;
        check(page.is_current(turn))?;
        page.is_stopping.set(false);
        page.progress.set(None);
        let (answer, arrays) = answer?;
        if let WorkerResponse::Segmented {
            model: ran,
            grid,
            middle,
            elapsed_secs,
            adapter,
            plan,
            num_windows,
            setbacks,
        } = answer
        {
            if ran != model.id() {
                return Err(Some(messages::other_model(&model.hash, &ran.hash)));
            }
            let labels = Uint8Array::from(arrays.get(0)).to_vec();
            let windows = num_windows.map(|n| messages::windows(n, plan.dims)).unwrap_or_default();
            let labels = LabelMap::new(grid, labels).map_err(|e| Some(e.to_string()))?;
            page.made.set(made(elapsed_secs, &adapter, &plan, &windows));
            page.setbacks.set(setbacks);
            page.show_result(result(&model, labels, windows), middle);
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
    let (maps, memory) = (messages::maps(plan.bits), messages::bytes(plan.gpu_bytes));
    format!("Computed in {elapsed_secs:.1} s on {place}: {seen}, {maps}, {memory} of its memory.")
}

/// Stops the network, and says so before the worker does; one that does not stop is ended.
pub fn cancel(page: Page) {
    page.is_stopping.set(true);
    page.say(Phase::Running, "Cancelling");
    tell(&WorkerRequest::Cancel);
    recovery::end_soon(page);
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
    let description = messages::description(&result.model.windows);
    let bytes =
        model_core::formats::nifti::write_labels_with_description(&result.labels, &description);
    let name = "segmentation_research_use_only.nii.gz";
    if let Err(error) = browser::save(name, "application/gzip", &bytes) {
        page.fail(format!("cannot save {name}: {}", browser::text_of(&error)));
    }
}

/// Puts the result into the address and onto the clipboard.
pub fn copy_link(page: Page) {
    let Some(result) = page.result.get_untracked() else { return };
    let shared = Shared { convention: page.convention.get_untracked(), ..(*result).clone() };
    act(page, page.current(), async move {
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
