//! The result panel: the regions with their volumes, the label map's file and the share link.

use std::sync::Arc;

use leptos::prelude::*;
use model_core::formats::nifti;
use web_sys::HtmlInputElement;

use super::actions;
use super::state::Page;
use crate::messages;
use crate::share::{SharedRegion, SharedResult};

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
                <Show when=move || page.result.with(|r| r.as_ref().is_some_and(|r| r.preparation.is_some()))>
                    <button id="save-preparation" on:click=move |_| actions::save_preparation(page)>
                        "Save preparation"
                    </button>
                </Show>
                <p class="hint">"NIfTI (.nii.gz) on the scan's grid. Research use only."</p>
            </section>
            <SharePanel page />
        </Show>
    }
}

#[component]
fn Regions(page: Page, result: Arc<SharedResult>) -> impl IntoView {
    let rows = result.regions.iter().cloned().enumerate();
    let rows = rows.map(|(n, region)| view! { <RegionRow page n region /> }).collect_view();
    let model = result.model.clone();
    let warning =
        (!model.warning.is_empty()).then(|| view! { <p class="warning">{model.warning}</p> });
    let tiles = (!model.tiles.is_empty()).then(|| {
        view! {
            <p id="tiles" class="warning" role="note">
                {format!("{}. {}", messages::capitalized(&model.tiles), messages::TILES_NOTE)}
            </p>
        }
    });
    // The volumes depend on the voxel size in the header, so its warnings belong to the result.
    let geometry_warnings =
        nifti::warnings(&result.labels.grid().transforms).into_iter().map(|text| {
            view! { <p class="warning geometry" role="note">{text}</p> }
        });
    let preparation = result.preparation.iter().flat_map(|record| record.sentences());
    let preparation = preparation.collect::<Vec<_>>().join(" ");
    let preparation = (!preparation.is_empty())
        .then(|| view! { <p id="prepared" class="warning" role="note">{preparation}</p> });
    view! {
        {warning}
        {preparation}
        {tiles}
        {geometry_warnings.collect_view()}
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
            <dd class="hash" title=model.hash.clone()>{messages::short_hash(&model.hash)}</dd>
        </dl>
        <p id="run-summary" class="hint">{move || page.run_summary.get()}</p>
        {move || page.fallbacks.with(|text| (!text.is_empty()).then(|| view! {
            <p id="fallbacks" class="warning" role="note">{text.clone()}</p>
        }))}
    }
}

#[component]
fn RegionRow(page: Page, n: usize, region: SharedRegion) -> impl IntoView {
    let [r, g, b] = region.color;
    let is_visible =
        move || page.visible_regions.with(|visible| visible.get(n).copied().unwrap_or(true));
    let on_change = move |event| {
        let input: HtmlInputElement = event_target(&event);
        page.visible_regions.update(|visible| {
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

/// Formats a volume with three significant digits. The error of a segmentation is larger.
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
    let has_link = move || !page.share_link.with(String::is_empty);
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
                    prop:value=move || page.share_link.get()
                    on:focus=select
                />
            </Show>
            <p class="hint">
                <strong>"Anyone who has this link can read the result."</strong>
                " The link holds the label map, its position and the volumes, but no scan and no \
                 name of a person or a file. Nothing is uploaded: the result is in the link itself."
            </p>
        </section>
    }
}
