//! The panel that compares the result with another label map.

use std::sync::Arc;

use js_sys::Uint8Array;
use leptos::prelude::*;
use web_sys::HtmlInputElement;

use super::browser;
use super::other_map::Shown;
use super::state::{Interruption, Page};
use crate::compare::{OtherMap, RegionComparison};
use crate::messages;

#[component]
pub fn ComparePanel(page: Page) -> impl IntoView {
    let choose = move |event| {
        let input: HtmlInputElement = event_target(&event);
        let file = browser::files(input.files()).into_iter().next();
        // The same file can be chosen again.
        input.set_value("");
        let Some(file) = file else { return };
        page.run(page.current_action(), async move {
            let bytes = Uint8Array::new(&browser::read_file(&file.file).await?).to_vec();
            let Some(result) = page.result.get_untracked() else { return Ok(()) };
            let map = OtherMap::read(&file.path, &bytes, &result).map_err(Interruption::Failed)?;
            let region = page.correction_settings.get_untracked().region;
            page.other.set(Some(Shown { map: Arc::new(map), region, marks: true }));
            Ok(())
        });
    };
    view! {
        <Show when=move || page.result.with(Option::is_some)>
            <section class="panel compare">
                <h2>"Compare"</h2>
                <label class="button" title="Of another reader, or of an earlier study (NIfTI)">
                    "Open another label map"
                    <input type="file" id="other-map" accept=".nii,.gz" on:change=choose />
                </label>
                {move || page.other.get().map(|shown| view! { <Comparison page shown /> })}
            </section>
        </Show>
    }
}

#[component]
fn Comparison(page: Page, shown: Shown) -> impl IntoView {
    let is_aligned = shown.map.labels.is_some();
    let file = shown.map.file.clone();
    // Not during a stroke: a step of the history ends it.
    let regions = page.comparisons();
    let names = untrack(|| page.region_names());
    let options = names.into_iter().enumerate().map(|(n, name)| {
        view! { <option value=n.to_string() selected=n == shown.region>{name}</option> }
    });
    let choose = move |event| {
        let region = event_target_value(&event).parse().unwrap_or_default();
        page.other.update(|other| other.iter_mut().for_each(|other| other.region = region));
    };
    let mark = move |event| {
        let input: HtmlInputElement = event_target(&event);
        let marks = input.checked();
        page.other.update(|other| other.iter_mut().for_each(|other| other.marks = marks));
    };
    let note = match is_aligned {
        true => "White: the outline in the other map.",
        false => "It lies on another grid, as of another study: only volumes are compared.",
    };
    view! {
        <table id="comparison">
            <thead>
                <tr><th>"Region"</th><th class="number">"There"</th><th class="number">"Here"</th></tr>
            </thead>
            <tbody>{regions.into_iter().map(row).collect_view()}</tbody>
        </table>
        <p class="hint">{file}": "{note}</p>
        <Show when=move || is_aligned>
            <label class="region">
                <input type="checkbox" id="marks" prop:checked=shown.marks on:change=mark />
                <span>"Mark where they disagree"</span>
            </label>
        </Show>
        <div class="operation">
            <select id="other-region" aria-label="The region that is drawn" on:change=choose>
                {options.collect_view()}
            </select>
            <button class="quiet" id="close-other" on:click=move |_| page.other.set(None)>"Close"</button>
        </div>
    }
}

fn row(region: RegionComparison) -> impl IntoView {
    let dice = region.dice.map(|dice| format!("Dice {dice:.3}"));
    let disagreement =
        region.disagreement_ml.map(|ml| format!("{} differ", messages::milliliters(ml)));
    let details = [Some(region.change_text()), dice, disagreement];
    let details = details.into_iter().flatten().collect::<Vec<_>>().join(", ");
    view! {
        <tr>
            <td>{region.name}</td>
            <td class="number">{messages::milliliters(region.other_ml)}</td>
            <td class="number">{messages::milliliters(region.volume_ml)}</td>
        </tr>
        <tr class="details"><td colspan="3" class="hint">{details}</td></tr>
    }
}

impl Page {
    /// Compares the result with the other map; empty if there is none.
    pub fn comparisons(self) -> Vec<RegionComparison> {
        self.corrections.track();
        let Some(shown) = self.other.get() else { return Vec::new() };
        self.result.with_untracked(|result| {
            result.as_ref().map(|result| shown.map.compare(result)).unwrap_or_default()
        })
    }
}
