//! The scan: one slot for each channel that the model asks for.

use leptos::prelude::*;
use model_core::Grid;
use web_sys::{DragEvent, HtmlInputElement};

use super::state::{Page, Phase, Slot};
use super::{actions, browser};
use crate::messages;

#[component]
pub fn ScanPanel(page: Page) -> impl IntoView {
    let is_running = move || page.status.with(|status| status.phase == Phase::Running);
    let slots = move || page.slots.get().into_iter().enumerate();
    let hint = move || match (page.is_from_link.get(), page.slots.with(Vec::len)) {
        (true, _) => "The scan is compared with the result's dimensions and position.",
        (false, 0) => "The model says which scans it needs.",
        (false, 1) => "Choose a file, or drop it anywhere.",
        _ => "Choose files, or drop all at once: their names tell the channel. Click to change.",
    };
    view! {
        <section class="panel scan">
            <h2>"Scan"</h2>
            <div class="slots">
                {move || slots().map(|(n, slot)| view! { <SlotView page n content=slot /> }).collect_view()}
            </div>
            <Show when=move || page.shown().is_some() fallback=move || view! { <p class="hint">{hint}</p> }>
                <p class="hint">{move || page.shown().map(|shown| lies(shown.volume.grid()))}</p>
            </Show>
            {move || page.slots.with(|slots| warnings(slots)).into_iter().map(|text| view! {
                <p class="warning geometry" role="note">{text}</p>
            }).collect_view()}
            <button
                id="demo"
                disabled=is_running
                title="Opens the server's model and an example scan"
                on:click=move |_| actions::demo(page)
            >
                "Open the demo case"
            </button>
        </section>
    }
}

/// What should be known of where the scans lie.
fn warnings(slots: &[Slot]) -> Vec<String> {
    let filled = slots.iter().filter_map(|slot| slot.filled.as_ref());
    let said = filled.map(|f| (f.file.clone(), f.warnings.clone()));
    messages::of_files(&said.collect::<Vec<_>>())
}

/// A grid in a line: voxels, their size, and where the file's axes point.
fn lies(grid: &Grid) -> String {
    let [i, j, k] = grid.dims;
    let letters: String = grid.orientation().letters().iter().collect();
    let spacing = grid.world_from_voxel.spacing_mm();
    let [x, y, z] = spacing.map(|mm| format!("{}", (mm * 100.0).round() / 100.0));
    format!("{i} × {j} × {k} voxels of {x} × {y} × {z} mm, stored {letters}")
}

#[component]
fn SlotView(page: Page, n: usize, content: Slot) -> impl IntoView {
    let is_running = move || page.status.with(|status| status.phase == Phase::Running);
    let on_file = move |event| {
        let input: HtmlInputElement = event_target(&event);
        let files = browser::list(input.files());
        input.set_value("");
        choose(page, files, n);
    };
    let on_drop = move |event: DragEvent| {
        event.prevent_default();
        event.stop_propagation();
        choose(page, browser::list(event.data_transfer().and_then(|data| data.files())), n);
    };
    let is_filled = content.filled.is_some();
    let text = match &content.filled {
        None => "Choose a file".to_string(),
        Some(filled) => filled.file.clone(),
    };
    let title = text.clone();
    view! {
        <label class="slot" class:filled=is_filled on:drop=on_drop title=title>
            <span class="channel">{content.name}</span>
            <span class="file"><bdi>{text}</bdi></span>
            <input
                type="file"
                multiple
                accept=".nii,.gz,.nii.gz"
                disabled=is_running
                on:change=on_file
            />
        </label>
    }
}

/// One file is for this slot; several find their own.
fn choose(page: Page, files: Vec<web_sys::File>, n: usize) {
    let slot = (files.len() == 1).then_some(n);
    actions::choose(page, files, slot);
}
