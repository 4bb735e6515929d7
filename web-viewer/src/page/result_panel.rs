//! The result panel: the regions with their volumes, and where the result comes from.

use std::sync::Arc;

use leptos::prelude::*;
use model_core::formats::nifti;
use web_sys::HtmlInputElement;

use super::correcting::edited_text;
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
    let edited = edited_text(&result.labels, result.num_edited);
    let edited = (!edited.is_empty())
        .then(|| view! { <p id="edited" class="warning" role="note">{edited}</p> });
    let preparation = result.preparation.iter().flat_map(|record| record.sentences());
    let preparation = preparation.collect::<Vec<_>>().join(" ");
    let preparation = (!preparation.is_empty())
        .then(|| view! { <p id="prepared" class="warning" role="note">{preparation}</p> });
    view! {
        {warning}
        {preparation}
        {edited}
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
            <td class="number">{messages::milliliters(region.volume_ml)}</td>
        </tr>
    }
}
