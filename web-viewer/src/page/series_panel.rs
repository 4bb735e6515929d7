//! The opened series: each with a thumbnail, its use, and the reason.

use leptos::html::Canvas;
use leptos::prelude::*;
use model_core::formats::study::Thumbnail;
use model_core::prepare::Role;
use wasm_bindgen::{Clamped, JsCast, JsValue};
use web_sys::{CanvasRenderingContext2d, DragEvent, HtmlCanvasElement, ImageData};

use super::opened::SeriesEntry;
use super::preparation_actions::choose_role;
use super::state::Page;
use super::status::Phase;

/// The type of the data of a dragged series: its index.
pub const DRAGGED_SERIES: &str = "application/x-rewind-series";

/// The value of the menu for a series that is left aside.
const SPARE: &str = "spare";
/// The value of the menu for a series with all channels.
const ALL: &str = "all";

#[component]
pub fn SeriesPanel(page: Page) -> impl IntoView {
    // One file for each channel needs no list: the slots show it.
    let is_shown = move || {
        let needs_list = page.series.with(|series| {
            series.iter().any(|entry| !entry.is_used() || entry.summary.num_files > 1)
        });
        let has_notes = page.study_notes.with(|notes| !notes.is_empty());
        (needs_list || has_notes) && !page.is_from_link.get()
    };
    let entries = move || page.series.get().into_iter().enumerate();
    let notes = move || {
        let note = |text| view! { <p class="hint note">{text}</p> };
        page.study_notes.get().into_iter().map(note).collect_view()
    };
    view! {
        <section class="panel series" class:hidden=move || !is_shown()>
            <h2>"Series"</h2>
            <p class="hint">
                "Check the channel of each series. Change it with the menu, or drag a series onto a channel."
            </p>
            <ul id="series">
                {move || entries().map(|(n, entry)| view! { <SeriesRow page n entry /> }).collect_view()}
            </ul>
            {notes}
        </section>
    }
}

#[component]
fn SeriesRow(page: Page, n: usize, entry: SeriesEntry) -> impl IntoView {
    let summary = entry.summary.clone();
    let [i, j, k] = summary.dims;
    let [x, y, z] = summary.spacing_mm.map(|mm| (mm * 100.0).round() / 100.0);
    let size = format!(
        "{} {}, {i} × {j} × {k} voxels of {x} × {y} × {z} mm",
        summary.plane.name(),
        summary.format.name()
    );
    let name = entry.name();
    let reason = entry.proposal.reason.clone();
    let problem = summary.problem.clone().map(|text| view! { <p class="warning">{text}</p> });
    let is_spare = matches!(entry.proposal.role, Role::Spare);
    let is_undecided = matches!(entry.proposal.role, Role::Undecided);
    let on_drag = move |event: DragEvent| {
        if let Some(data) = event.data_transfer() {
            let _ = data.set_data(DRAGGED_SERIES, &n.to_string());
        }
    };
    let title = format!("{name}: {size}");
    view! {
        <li class="entry" class:spare=is_spare class:undecided=is_undecided draggable="true" title=title on:dragstart=on_drag>
            <Picture thumbnail=entry.thumbnail.as_deref().cloned() />
            <div>
                <strong><bdi>{name.clone()}</bdi></strong>
                <span class="hint">{size}</span>
                <RoleMenu page n name role=entry.proposal.role num_channels=summary.num_channels />
                <span class="hint reason">{reason}</span>
                {problem}
            </div>
        </li>
    }
}

/// The menu of a series' use.
#[component]
fn RoleMenu(page: Page, n: usize, name: String, role: Role, num_channels: usize) -> impl IntoView {
    let channels = page.channel_names();
    let options: Vec<(String, String, bool)> = match num_channels {
        1 => channels
            .iter()
            .enumerate()
            .map(|(c, channel)| (c.to_string(), channel.clone(), role == Role::Channel(c)))
            .collect(),
        count if count == channels.len() => {
            vec![(ALL.into(), "All channels".into(), role == Role::AllChannels)]
        }
        _ => Vec::new(),
    };
    let spare = (SPARE.to_string(), "Not used".to_string(), role == Role::Spare);
    let undecided =
        (role == Role::Undecided).then(|| (String::new(), "Choose a channel".to_string(), true));
    let option = |(value, text, is_chosen): (String, String, bool)| {
        view! { <option value=value selected=is_chosen>{text}</option> }
    };
    let on_change = move |event| {
        let role = match event_target_value(&event).as_str() {
            "" => return,
            SPARE => Role::Spare,
            ALL => Role::AllChannels,
            channel => match channel.parse() {
                Ok(channel) => Role::Channel(channel),
                Err(_) => return,
            },
        };
        choose_role(page, n, role);
    };
    let is_busy = move || page.status.with(|status| status.phase == Phase::Running);
    let options: Vec<_> = undecided.into_iter().chain(options).chain([spare]).map(option).collect();
    view! {
        <select aria-label=format!("Channel of {name}") disabled=is_busy on:change=on_change>
            {options}
        </select>
    }
}

/// A thumbnail on a canvas.
#[component]
fn Picture(thumbnail: Option<Thumbnail>) -> impl IntoView {
    let canvas_ref = NodeRef::<Canvas>::new();
    Effect::new(move |_| {
        if let (Some(canvas), Some(thumbnail)) = (canvas_ref.get(), &thumbnail) {
            // Without memory the picture stays empty.
            let _ = draw(&canvas, thumbnail);
        }
    });
    view! { <canvas class="thumbnail" node_ref=canvas_ref aria-hidden="true"></canvas> }
}

fn draw(canvas: &HtmlCanvasElement, thumbnail: &Thumbnail) -> Result<(), JsValue> {
    let (width, height) = (thumbnail.width as u32, thumbnail.height as u32);
    canvas.set_width(width);
    canvas.set_height(height);
    let rgba: Vec<u8> = thumbnail.pixels.iter().flat_map(|&gray| [gray, gray, gray, 255]).collect();
    let image = ImageData::new_with_u8_clamped_array_and_sh(Clamped(&rgba), width, height)?;
    let context = canvas.get_context("2d")?.ok_or(JsValue::NULL)?;
    context.unchecked_into::<CanvasRenderingContext2d>().put_image_data(&image, 0.0, 0.0)
}
