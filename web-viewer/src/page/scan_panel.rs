//! The scan panel: one slot for each channel of the model.

use leptos::html::Input;
use leptos::prelude::*;
use model_core::Grid;
use model_core::prepare::Role;
use web_sys::{DragEvent, HtmlInputElement};

use super::browser::DroppedFile;
use super::opened::{ChannelSlot, LoadedChannel};
use super::preparation_actions::choose_role;
use super::series_panel::DRAGGED_SERIES;
use super::state::Page;
use super::status::Phase;
use super::{actions, browser, offered};
use crate::messages;

#[component]
pub fn ScanPanel(page: Page) -> impl IntoView {
    let is_running = move || page.status.with(|status| status.phase == Phase::Running);
    let slots = move || page.slots.get().into_iter().enumerate();
    let hint = move || match (page.is_from_link.get(), page.slots.with(Vec::len)) {
        (true, _) => "The scan must have the result's dimensions and position.",
        (false, 0) => "The model determines the scans that it needs.",
        (false, 1) => "Choose a file or a folder, or drop it anywhere.",
        _ => "Choose files or the folder of an examination, or drop all at once.",
    };
    // The attribute is not standard, but all current browsers know it.
    let folder_ref = NodeRef::<Input>::new();
    Effect::new(move |_| {
        if let Some(input) = folder_ref.get() {
            let _ = input.set_attribute("webkitdirectory", "");
        }
    });
    let on_folder = move |event| {
        let input: HtmlInputElement = event_target(&event);
        let files = browser::files(input.files());
        input.set_value("");
        actions::open_files(page, files, None);
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
            <label class="folder" class:hidden=move || page.slots.with(Vec::is_empty)>
                "Choose a folder"
                <input
                    id="folder"
                    type="file"
                    node_ref=folder_ref
                    disabled=is_running
                    on:change=on_folder
                />
            </label>
            <button
                id="demo"
                disabled=is_running
                title="Opens the server's model and an example scan"
                on:click=move |_| offered::open_demo(page)
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
        let data = event.data_transfer();
        let series = data.as_ref().and_then(|data| data.get_data(DRAGGED_SERIES).ok());
        match series.and_then(|series| series.parse().ok()) {
            Some(series) => choose_role(page, series, Role::Channel(n)),
            None => actions::open_drop(page, data, Some(n)),
        }
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
                disabled=is_running
                on:change=on_file
            />
        </label>
    }
}

/// Opens a single file in this slot; several files are assigned by their names.
fn open_in_slot(page: Page, files: Vec<DroppedFile>, n: usize) {
    let slot = (files.len() == 1).then_some(n);
    actions::open_files(page, files, slot);
}
