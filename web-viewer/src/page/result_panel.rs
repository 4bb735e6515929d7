//! The result: regions with their volumes, the file, the link.

use std::sync::Arc;

use leptos::prelude::*;
use model_core::formats::nifti;
use web_sys::HtmlInputElement;

use super::actions;
use super::state::Page;
use crate::messages;
use crate::share::{Shared, SharedRegion};

#[component]
pub fn ResultPanel(page: Page) -> impl IntoView {
    view! {
        <section class="panel result">
            <h2>"Result"</h2>
            {move || match page.result.get() {
                None => view! { <p class="hint">"Volumes appear here after segmentation."</p> }.into_any(),
                Some(result) => view! { <Regions page result /> }.into_any(),
            }}
        </section>
        <Show when=move || page.result.with(Option::is_some)>
            <section class="panel">
                <h2>"Save"</h2>
                <button id="save" on:click=move |_| actions::save(page)>
                    "Save label map"
                </button>
                <p class="hint">"NIfTI (.nii.gz) on the grid of the scan. Research use only."</p>
            </section>
            <SharePanel page />
        </Show>
    }
}

#[component]
fn Regions(page: Page, result: Arc<Shared>) -> impl IntoView {
    let rows = result.regions.iter().cloned().enumerate();
    let rows = rows.map(|(n, region)| view! { <RegionRow page n region /> }).collect_view();
    let model = result.model.clone();
    let warning =
        (!model.warning.is_empty()).then(|| view! { <p class="warning">{model.warning}</p> });
    let windows = (!model.windows.is_empty()).then(|| {
        view! {
            <p id="windows" class="warning" role="note">
                {format!("{}. {}", messages::capitalized(&model.windows), messages::WINDOWS_NOTE)}
            </p>
        }
    });
    // Volumes are those of the voxels that the header tells of.
    let geometry = nifti::warnings(&result.labels.grid().transforms).into_iter().map(|text| {
        view! { <p class="warning geometry" role="note">{text}</p> }
    });
    view! {
        {warning}
        {windows}
        {geometry.collect_view()}
        <table id="regions">
            <thead>
                <tr>
                    <th>"Region"</th>
                    <th class="number">"Volume"</th>
                </tr>
            </thead>
            <tbody>{rows}</tbody>
        </table>
        <dl>
            <dt>"Model"</dt>
            <dd>{model.name}</dd>
            <dt>"Hash"</dt>
            <dd class="hash" title=model.hash.clone()>{super::short_hash(&model.hash)}</dd>
        </dl>
        <p id="made" class="hint">{move || page.made.get()}</p>
        {move || page.setbacks.with(|text| (!text.is_empty()).then(|| view! {
            <p id="setbacks" class="warning" role="note">{text.clone()}</p>
        }))}
    }
}

#[component]
fn RegionRow(page: Page, n: usize, region: SharedRegion) -> impl IntoView {
    let [r, g, b] = region.color;
    let is_visible = move || page.visible.with(|visible| visible.get(n).copied().unwrap_or(true));
    let on_change = move |event| {
        let input: HtmlInputElement = event_target(&event);
        page.visible.update(|visible| {
            if let Some(visible) = visible.get_mut(n) {
                *visible = input.checked();
            }
        });
    };
    view! {
        <tr>
            <td>
                <label class="region">
                    <input type="checkbox" prop:checked=is_visible on:change=on_change />
                    <span class="swatch" style:background-color=format!("rgb({r}, {g}, {b})")></span>
                    <span>{region.name}</span>
                </label>
            </td>
            <td class="number">{milliliters(region.volume_ml)}</td>
        </tr>
    }
}

/// Three significant digits below a liter: a voxel's error is larger.
fn milliliters(volume_ml: f64) -> String {
    match volume_ml {
        v if v >= 100.0 => format!("{v:.0} ml"),
        v if v >= 10.0 => format!("{v:.1} ml"),
        v if v >= 1.0 || v == 0.0 => format!("{v:.2} ml"),
        v => format!("{v:.3} ml"),
    }
}

#[component]
fn SharePanel(page: Page) -> impl IntoView {
    let select = |event: web_sys::FocusEvent| {
        let input: HtmlInputElement = event_target(&event);
        input.select();
    };
    let has_link = move || !page.link.with(String::is_empty);
    view! {
        <section class="panel share">
            <h2>"Share"</h2>
            <button id="copy-link" on:click=move |_| actions::copy_link(page)>
                "Copy link"
            </button>
            <Show when=has_link>
                <input
                    id="share-link"
                    type="text"
                    readonly
                    aria-label="Link to this result"
                    prop:value=move || page.link.get()
                    on:focus=select
                />
            </Show>
            <p class="hint">
                <strong>"Anyone who has this link can read the result."</strong>
                " It holds the label map, its position and the volumes; not the scan, not a name. "
                "Nothing is uploaded: the result is in the link itself."
            </p>
        </section>
    }
}
