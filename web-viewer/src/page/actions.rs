//! The user's actions. Each action is one async function from its first to its last step. When another
//! action begins, the earlier one ends silently.

use js_sys::Uint8Array;
use leptos::prelude::*;
use model_core::prepare::PreparationRecord;
use model_core::{LabelMap, texts};
use wasm_bindgen_futures::spawn_local;
use web_sys::{DataTransfer, File};

use super::browser::DroppedFile;
use super::client::{self, request};
use super::opened::{Model, open_model};
use super::probabilities::Probabilities;
use super::saved_result::{show_saved, take_result};
use super::scans;
use super::series::ScanFile;
use super::state::{Interruption, Page};
use super::status::Phase;
use super::{browser, offered, recovery};
use crate::messages;
use crate::protocol::{EngineChoice, RunSummary, WorkerRequest, WorkerResponse};
use crate::share::{self, SharedModel, SharedRegion, SharedResult};

/// Opens the shared result in the address, or else the server's model.
pub fn open_address(page: Page) {
    let (_, fragment) = browser::address();
    if share::is_share_fragment(&fragment) {
        open_link(page, fragment);
        return;
    }
    let token = page.begin_action();
    page.run(token, async move {
        page.set_status(Phase::Loading, "Loading the model");
        offered::open_first(page).await?;
        page.check_current(token)?;
        page.update_status();
        Ok(())
    });
}

/// Checks whether this browser can run the network. If not, the page shows the reason and a remedy.
pub fn check_gpu(page: Page) {
    spawn_local(async move {
        page.gpu_problem.set(match (browser::has_webgpu(), browser::is_secure()) {
            (false, true) => Some(messages::NO_WEBGPU),
            (false, false) => Some(messages::NOT_SECURE),
            _ => (!browser::has_gpu().await).then_some(messages::NO_GPU),
        });
        if page.status.with_untracked(|status| status.phase == Phase::Ready) {
            page.update_status();
        }
    });
}

fn open_link(page: Page, fragment: String) {
    let token = page.begin_action();
    page.run(token, async move {
        page.set_status(Phase::Loading, "Reading the link");
        let response = request(&WorkerRequest::ReadLink { fragment }, None).await?;
        let (WorkerResponse::Link { header, central_voxel }, arrays) = response else {
            return Err(Interruption::Failed("the worker did not return the link's result".into()));
        };
        page.check_current(token)?;
        let shared = header.join(Uint8Array::from(arrays.get(0)).to_vec());
        page.is_from_link.set(true);
        page.convention.set(shared.convention);
        page.reset_slots(vec!["Scan".into()]);
        page.show_result(shared, central_voxel);
        page.update_status();
        Ok(())
    });
}

/// Closes a shared result, so that the user can segment scans.
pub fn close_link(page: Page) {
    page.is_from_link.set(false);
    page.reset_slots(Vec::new());
    open_address(page);
}

/// Opens a model bundle, then the scans that were chosen with it.
pub fn open_bundle(page: Page, bundle: File, scans: Vec<DroppedFile>) {
    let token = page.begin_action();
    page.run(token, async move {
        page.set_status(Phase::Loading, format!("Opening {}", bundle.name()));
        let model = open_model(&bundle.name(), bundle.clone().into()).await?;
        page.check_current(token)?;
        page.is_from_link.set(false);
        page.show_model(model, None);
        match scans.is_empty() {
            true => page.update_status(),
            false => scans::load(page, token, read_scan_files(scans).await?, None).await?,
        }
        Ok(())
    });
}

/// Opens chosen or dropped files: a model bundle, scans, or both.
///
/// Scans go into `slot`, or into the slots that their names and channels determine.
pub fn open_files(page: Page, files: Vec<DroppedFile>, slot: Option<usize>) {
    if files.is_empty() || page.status.with_untracked(|s| s.phase == Phase::Running) {
        return;
    }
    let is_bundle =
        |dropped: &DroppedFile| dropped.path.to_ascii_lowercase().ends_with(".safetensors");
    let (mut bundles, scans): (Vec<DroppedFile>, Vec<DroppedFile>) =
        files.into_iter().partition(is_bundle);
    if bundles.len() > 1 {
        let names: Vec<String> = bundles.into_iter().map(|dropped| dropped.path).collect();
        let (count, names) = (names.len(), names.join(", "));
        return page
            .show_error(format!("expected one model bundle at a time, found {count}: {names}"));
    }
    if let Some(bundle) = bundles.pop() {
        return open_bundle(page, bundle.file, scans);
    }
    let token = page.begin_action();
    page.run(token, async move {
        page.set_status(Phase::Loading, "Reading the scan");
        let (scans, saved) = take_result(read_scan_files(scans).await?)?;
        page.check_current(token)?;
        if !scans.is_empty() {
            if page.slots.with_untracked(Vec::is_empty) {
                let message = "open a model bundle first: it names the scans that it needs";
                return Err(Interruption::Failed(message.into()));
            }
            scans::load(page, token, scans, slot).await?;
            page.check_current(token)?;
        }
        match saved {
            Some(saved) => show_saved(page, saved),
            None => Ok(()),
        }
    });
}

/// Opens a drop of files and folders, as [`open_files`] does.
pub fn open_drop(page: Page, data: Option<DataTransfer>, slot: Option<usize>) {
    let (entries, files) = browser::dropped_entries(data);
    if entries.is_empty() {
        return open_files(page, files, slot);
    }
    spawn_local(async move {
        match browser::entry_files(entries).await {
            Ok(files) => {
                let slot = slot.filter(|_| files.len() == 1);
                open_files(page, files, slot);
            }
            Err(error) => page.show_error(error),
        }
    });
}

async fn read_scan_files(files: Vec<DroppedFile>) -> Result<Vec<ScanFile>, String> {
    let mut scan_files = Vec::new();
    for DroppedFile { path, file } in files {
        let bytes = browser::read_file(&file).await?;
        scan_files.push(ScanFile { path, bytes });
    }
    Ok(scan_files)
}

/// Changes the memory budget, and plans the run again.
pub fn set_budget(page: Page, mib: u64) {
    plan_again(page, || page.set_budget(mib));
}

/// Changes the engine, and plans the run again.
pub fn set_engine(page: Page, engine: EngineChoice) {
    plan_again(page, || page.set_engine(engine));
}

fn plan_again(page: Page, change: impl FnOnce()) {
    if page.status.with_untracked(|status| status.phase.is_busy()) {
        return;
    }
    let token = page.begin_action();
    change();
    page.plan.set(None);
    page.run(token, async move { scans::plan_run(page, token).await });
}

/// Runs the network on the whole scan or, if `tiled`, on overlapping tiles.
pub fn segment(page: Page, tiled: bool) {
    let (Some(model), Some(inputs)) = (page.model.get_untracked(), page.run_inputs()) else {
        return;
    };
    let token = page.begin_action();
    page.run(token, async move {
        page.clear_result();
        page.is_canceling.set(false);
        page.set_status(Phase::Running, "Starting");
        let response = request(&WorkerRequest::Segment { inputs, tiled }, None).await;
        page.check_current(token)?;
        page.is_canceling.set(false);
        page.progress.set(None);
        let (response, arrays) = response?;
        if let WorkerResponse::Segmented { model: id, grid, central_voxel, summary } = response {
            if id != model.id() {
                return Err(Interruption::Failed(messages::wrong_model(&model.hash, &id.hash)));
            }
            let labels = Uint8Array::from(arrays.get(0)).to_vec();
            let num_tiles = summary.num_tiles;
            let tiles =
                num_tiles.map(|n| messages::tiles(n, summary.plan.dims)).unwrap_or_default();
            page.run_summary.set(run_summary(&summary, &tiles));
            page.fallbacks.set(summary.fallbacks);
            let labels = LabelMap::new(grid, labels).map_err(|error| error.to_string())?;
            let record = page.preparation.with_untracked(|p| p.as_ref().map(|p| p.record()));
            let result = shared_result(&model, labels, tiles, record);
            page.show_result(result, central_voxel);
            page.probabilities.set(Probabilities::new(&model.card, &arrays));
        }
        page.update_status();
        Ok(())
    });
}

/// Describes a completed run in one line.
fn run_summary(summary: &RunSummary, tiles: &str) -> String {
    let RunSummary { elapsed_secs, plan, .. } = summary;
    let (duration, engine) = (messages::duration(*elapsed_secs), messages::engine(&plan.engine));
    let extent = if tiles.is_empty() { "the whole scan at once" } else { tiles };
    let (precision, memory) = (messages::precision(plan.bits), texts::bytes_rounded_up(plan.bytes));
    format!("Computed in {duration} on {engine}: {extent}, {precision}, {memory} of memory.")
}

/// Stops the run. The page shows it at once; a worker that does not stop is replaced.
pub fn cancel(page: Page) {
    page.is_canceling.set(true);
    page.set_status(Phase::Running, "Canceling");
    client::notify(&WorkerRequest::Cancel);
    recovery::replace_unless_stopped(page);
}

fn shared_result(
    model: &Model,
    labels: LabelMap,
    tiles: String,
    preparation: Option<PreparationRecord>,
) -> SharedResult {
    let regions = model.card.task.regions.iter().map(|region| SharedRegion {
        name: region.name.clone(),
        color: region.color,
        codes: region.labels.clone(),
        volume_ml: labels.volume_ml(&region.labels),
    });
    SharedResult {
        convention: Default::default(),
        regions: regions.collect(),
        model: SharedModel {
            name: model.card.name.clone(),
            warning: model.card.warning.clone(),
            hash: model.hash.clone(),
            tiles,
        },
        preparation: preparation.filter(PreparationRecord::is_remarkable),
        labels,
        num_edited: 0,
        measurements: Vec::new(),
    }
}

/// Puts the share link into the address and onto the clipboard.
pub fn copy_link(page: Page) {
    let Some(result) = page.result.get_untracked() else { return };
    let shared = SharedResult {
        convention: page.convention.get_untracked(),
        measurements: page.measurements.get_untracked(),
        ..(*result).clone()
    };
    page.run(page.current_action(), async move {
        let fragment = share::encode(&shared).map_err(|error| error.to_string())?;
        let (address, _) = browser::address();
        let link = format!("{address}#{fragment}");
        browser::set_address(&link);
        page.share_link.set(link.clone());
        let length_kb = link.len() as f64 / 1000.0;
        let text = match browser::copy(&link).await {
            true => "Link copied",
            false => "Link made: copy it from the field",
        };
        page.set_status(Phase::Done, format!("{text} ({length_kb:.1} kB)"));
        Ok(())
    });
}
