//! Files become the channels of a scan: read by the worker, put into slots, checked against each
//! other, and planned once all are there.

use std::sync::Arc;

use js_sys::Float32Array;
use leptos::prelude::*;
use model_core::{DEFAULT_TOLERANCE_VOXELS, Grid, Volume};
use wasm_bindgen::JsValue;

use super::actions::{Stop, check};
use super::client::{Held, ask};
use super::state::{ActionToken, Filled, Page, Phase, Slot};
use crate::channel_guess::Guess;
use crate::protocol::{WorkerRequest, WorkerResponse};
use crate::slice::Window;
use crate::{budget, channel_guess, messages};

/// A file's bytes with its name.
pub struct Source {
    /// The name.
    pub name: String,
    /// An `ArrayBuffer`, which goes to the worker.
    pub bytes: JsValue,
}

/// Reads files into one slot, or where their names and channels say; then plans a run.
pub async fn load(
    page: Page,
    turn: ActionToken,
    sources: Vec<Source>,
    slot: Option<usize>,
) -> Result<(), Stop> {
    if page.is_from_link.get_untracked() {
        return load_linked(page, turn, sources).await;
    }
    let names: Vec<String> =
        page.slots.with_untracked(|s| s.iter().map(|s| s.name.clone()).collect());
    let files: Vec<String> = sources.iter().map(|source| source.name.clone()).collect();
    let guesses = match slot {
        // Whoever chooses one file for a channel knows what it is.
        Some(slot) => vec![Guess::Channel(slot); files.len()],
        None => channel_guess::guesses(&files, &names),
    };
    let (mut used, mut left) = (Vec::new(), Vec::new());
    for (source, guess) in sources.into_iter().zip(guesses) {
        match guess {
            Guess::Channel(channel) => used.push((source, Some(channel))),
            Guess::Any => used.push((source, None)),
            Guess::Other(what) => left.push(format!("{} is {what}", source.name)),
        }
    }
    if used.is_empty() && !left.is_empty() {
        let wanted = names.join(", ");
        let left = left.join("; ");
        return Err(Some(format!(
            "expected scans of {wanted}, found none by their names: {left}. Click a channel to choose \
             its file in any case."
        )));
    }
    // A whole new case replaces the old one, so that its files are not compared with others.
    if used.len() >= names.len() && slot.is_none() {
        page.set_slots(names.clone());
    }
    for (source, hint) in used {
        let file = source.name.clone();
        let read = read(page, source).await?;
        check(page.is_current(turn))?;
        page.drop_result();
        match read.len() {
            1 => {
                let target = hint.or_else(|| first_empty(page));
                let target = target.ok_or_else(|| {
                    format!(
                        "every channel has its scan already: click one to replace it (in {file})"
                    )
                })?;
                read.into_iter().for_each(|filled| page.fill(target, filled));
            }
            n if n == names.len() => {
                page.set_slots(names.clone());
                read.into_iter().enumerate().for_each(|(n, filled)| page.fill(n, filled));
            }
            n => {
                let wanted = match names.len() {
                    1 => "one".to_string(),
                    wanted => format!("one, or all {wanted} ({})", names.join(", ")),
                };
                let message =
                    format!("expected a file with {wanted}, found {n} channels (in {file})");
                return Err(Some(message));
            }
        }
    }
    plan(page, turn).await?;
    if !left.is_empty() {
        let left = left.join("; ");
        page.status.update(|status| status.text += &format!(". Not used: {left}"));
    }
    Ok(())
}

fn first_empty(page: Page) -> Option<usize> {
    page.slots.with_untracked(|slots| slots.iter().position(|slot| slot.filled.is_none()))
}

/// The channels of one file.
async fn read(page: Page, source: Source) -> Result<Vec<Filled>, String> {
    page.say(Phase::Loading, format!("Reading {}", source.name));
    let held = Held::new();
    let file = source.name;
    let asked = WorkerRequest::ReadScan { number: held.number(), file: file.clone() };
    let (WorkerResponse::Scan { grid, warnings }, arrays) = ask(&asked, Some(source.bytes)).await?
    else {
        return Err(format!("the worker did not answer with a scan (in {file})"));
    };
    let values = arrays.iter().map(|array| Float32Array::from(array).to_vec());
    let filled = values.enumerate().map(|(n, values)| {
        Ok(Filled {
            source: (held.clone(), n),
            file: file.clone(),
            robust: Window::robust(&values),
            warnings: warnings.clone(),
            volume: Arc::new(Volume::new(grid.clone(), values).map_err(|e| e.to_string())?),
        })
    });
    filled.collect()
}

/// The same scan in the axis order of a grid, so that both are drawn on each other.
///
/// # Errors
/// [`model_core::Error::Geometry`] where it lies elsewhere.
fn on_grid(grid: &Grid, filled: &Filled) -> model_core::Result<Filled> {
    let alignment = grid.align(filled.volume.grid(), DEFAULT_TOLERANCE_VOXELS)?;
    let mut filled = filled.clone();
    let is_new = |warning: &String| !filled.warnings.contains(warning);
    if let Some(warning) = alignment.warning().filter(is_new) {
        filled.warnings.push(warning);
    }
    if !alignment.is_same_order() {
        let voxels = alignment.reorder(filled.volume.values().to_vec());
        filled.volume = Arc::new(Volume::new(grid.clone(), voxels)?);
    }
    Ok(filled)
}

/// A scan for a result that came with a link: it must lie where the result lies.
async fn load_linked(page: Page, turn: ActionToken, sources: Vec<Source>) -> Result<(), Stop> {
    let Some(result) = page.result.get_untracked() else { return Err(None) };
    let mut slots = Vec::new();
    for source in sources {
        for filled in read(page, source).await? {
            let name = format!("Scan {}", slots.len() + 1);
            let filled = on_grid(result.labels.grid(), &filled).map_err(|error| {
                format!(
                    "this is not the scan of the linked result: {error} (in {}). Choose the scan \
                     that was segmented, or one of the same series on the same grid.",
                    filled.file
                )
            })?;
            slots.push(Slot { name, filled: Some(filled) });
        }
    }
    check(page.is_current(turn))?;
    page.windows.set(vec![None; slots.len()]);
    page.channel.set(0);
    page.slots.set(slots);
    page.say_what_is_next();
    Ok(())
}

/// Once every channel is chosen, has the worker make the network's input.
async fn plan(page: Page, turn: ActionToken) -> Result<(), Stop> {
    let filled = page.slots.with_untracked(|slots| {
        let filled = |(n, slot): (usize, &Slot)| Some((n, slot.name.clone(), slot.filled.clone()?));
        slots.iter().enumerate().filter_map(filled).collect::<Vec<_>>()
    });
    if let Some((_, name, first)) = filled.first() {
        for (slot, other, filled) in &filled[1..] {
            let aligned = on_grid(first.volume.grid(), filled).map_err(|error| {
                format!(
                    "{other} ({}) does not lie on {name} ({}): {error}. Choose scans of one \
                     examination that are resampled to one grid.",
                    filled.file, first.file
                )
            })?;
            page.slots.update(|slots| slots[*slot].filled = Some(aligned));
        }
    }
    plan_again(page, turn).await
}

/// Has the worker say what a run within the budget will take, once every channel is chosen.
pub async fn plan_again(page: Page, turn: ActionToken) -> Result<(), Stop> {
    if let Some(inputs) = page.inputs()
        && !page.is_from_link.get_untracked()
    {
        page.say(Phase::Loading, "Preparing the scan for the network");
        let budget_bytes = page.budget_mib.get_untracked() << 20;
        let most_bytes = budget::MOST_MIB << 20;
        let expected = inputs.model.clone();
        let answer = ask(&WorkerRequest::Plan { inputs, budget_bytes, most_bytes }, None).await;
        check(page.is_current(turn))?;
        if let (WorkerResponse::Planned { model, planned }, _) = answer? {
            if model != expected {
                return Err(Some(messages::other_model(&expected.hash, &model.hash)));
            }
            page.plan.set(Some(planned));
        }
    }
    check(page.is_current(turn))?;
    page.say_what_is_next();
    Ok(())
}
