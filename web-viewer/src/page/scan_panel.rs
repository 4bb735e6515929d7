//! The scan panel: one slot for each channel of the model.

use leptos::prelude::*;
use model_core::Grid;
use web_sys::{DragEvent, File, HtmlInputElement};

use super::state::{ChannelSlot, LoadedChannel, Page, Phase};
use super::{actions, browser};
use crate::messages;

#[component]
pub fn ScanPanel(page: Page) -> impl IntoView {
    let is_running = move || page.status.with(|status| status.phase == Phase::Running);
    let slots = move || page.slots.get().into_iter().enumerate();
    let hint = move || match (page.is_from_link.get(), page.slots.with(Vec::len)) {
        (true, _) => "The scan must have the result's dimensions and position.",
        (false, 0) => "The model determines the scans that it needs.",
        (false, 1) => "Choose a file, or drop it anywhere.",
        _ => "Choose files, or drop all at once: their names give the channels. Click to change.",
    };
    view! {
        <section class="panel scan">
            <h2>"Scan"</h2>
            <div class="slots">
                {move || slots().map(|(n, slot)| view! { <SlotView page n content=slot /> }).collect_view()}
            </div>
            <Show when=move || page.shown_channel().is_some() fallback=move || view! { <p class="hint">{hint}</p> }>
                <p class="hint">
                    {move || page.shown_channel().map(|shown| describe(shown.volume.grid()))}
                </p>
            </Show>
            {move || page.slots.with(|slots| geometry_warnings(slots)).into_iter().map(|text| view! {
                <p class="warning geometry" role="note">{text}</p>
            }).collect_view()}
            <button
                id="demo"
                disabled=is_running
                title="Opens the server's model and an example scan"
                on:click=move |_| actions::open_demo(page)
            >
                "Open the demo case"
            </button>
        </section>
    }
}

/// Returns the warnings about the scans' geometry.
fn geometry_warnings(slots: &[ChannelSlot]) -> Vec<String> {
    let loaded = slots.iter().filter_map(|slot| slot.loaded.as_ref());
    let warnings = loaded.map(|channel| (channel.file.clone(), channel.warnings.clone()));
    messages::merged_warnings(&warnings.collect::<Vec<_>>())
}

/// Describes a grid in one line: number of voxels, voxel size, and the directions of the file's axes.
fn describe(grid: &Grid) -> String {
    let [i, j, k] = grid.dims;
    let letters: String = grid.orientation().letters().iter().collect();
    let spacing = grid.world_from_voxel.spacing_mm();
    let [x, y, z] = spacing.map(|mm| format!("{}", (mm * 100.0).round() / 100.0));
    format!("{i} × {j} × {k} voxels of {x} × {y} × {z} mm, stored {letters}")
}

#[component]
fn SlotView(page: Page, n: usize, content: ChannelSlot) -> impl IntoView {
    let is_running = move || page.status.with(|status| status.phase == Phase::Running);
    let on_file = move |event| {
        let input: HtmlInputElement = event_target(&event);
        let files = browser::files(input.files());
        input.set_value("");
        open_in_slot(page, files, n);
    };
    let on_drop = move |event: DragEvent| {
        event.prevent_default();
        event.stop_propagation();
        let files = event.data_transfer().and_then(|data| data.files());
        open_in_slot(page, browser::files(files), n);
    };
    let ChannelSlot { name, loaded } = content;
    let is_loaded = loaded.is_some();
    let file = match loaded {
        None => "Choose a file".to_string(),
        Some(LoadedChannel { file, .. }) => file,
    };
    let title = file.clone();
    view! {
        <label class="slot" class:loaded=is_loaded on:drop=on_drop title=title>
            <span class="channel">{name}</span>
            <span class="file"><bdi>{file}</bdi></span>
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

/// Opens a single file in this slot; several files are assigned by their names.
fn open_in_slot(page: Page, files: Vec<File>, n: usize) {
    let slot = (files.len() == 1).then_some(n);
    actions::open_files(page, files, slot);
}
