//! The model panel: the model's card with its task, training data and scores.

use std::sync::Arc;

use leptos::prelude::*;
use web_sys::HtmlInputElement;

use super::opened::Model;
use super::state::Page;
use super::status::Phase;
use super::{actions, browser, offered};
use crate::messages;

#[component]
pub fn ModelPanel(page: Page) -> impl IntoView {
    let is_running = move || page.status.with(|status| status.phase == Phase::Running);
    let on_file = move |event| {
        let input: HtmlInputElement = event_target(&event);
        let file = browser::files(input.files()).into_iter().next();
        input.set_value("");
        if let Some(file) = file {
            actions::open_bundle(page, file.file, Vec::new());
        }
    };
    view! {
        <section class="panel model">
            <h2>"Model"</h2>
            <Show when=move || page.offered.with(|models| models.len() > 1)>
                <ModelChoice page />
            </Show>
            {move || match page.model.get() {
                Some(model) => view! { <ModelCard model /> }.into_any(),
                None => view! { <p class="hint">"No model is open."</p> }.into_any(),
            }}
            <label class="button" class:disabled=is_running>
                "Open a model bundle"
                <input
                    type="file"
                    accept=".safetensors"
                    disabled=is_running
                    on:change=on_file
                />
            </label>
        </section>
    }
}

/// The choice among the models that the server offers.
#[component]
fn ModelChoice(page: Page) -> impl IntoView {
    let is_busy = move || page.status.with(|status| status.phase.is_busy());
    let option = move |(index, name): (usize, String)| {
        let is_chosen = move || page.chosen.get() == Some(index);
        view! { <option value=index.to_string() prop:selected=is_chosen>{name}</option> }
    };
    let options = move || {
        let names = page.offered.get().into_iter().map(|model| model.name);
        names.enumerate().map(option).collect_view()
    };
    let is_other = move || page.chosen.get().is_none();
    let on_change = move |event| {
        if let Ok(index) = event_target_value(&event).parse() {
            offered::open_offered(page, index);
        }
    };
    view! {
        <label class="field">
            <span>"Choose"</span>
            <select id="model" disabled=is_busy on:change=on_change>
                {options}
                <option value="" disabled=true hidden=true prop:selected=is_other>
                    "From this computer"
                </option>
            </select>
        </label>
    }
}

#[component]
fn ModelCard(model: Arc<Model>) -> impl IntoView {
    let card = &model.card;
    let provenance = &card.provenance;
    let or_not_stated = |text: &str| if text.is_empty() { "not stated" } else { text }.to_string();
    let has_hd95 = provenance.held_out.iter().any(|score| score.hd95_mm.is_some());
    let score_rows = provenance.held_out.iter().map(|score| {
        view! {
            <tr>
                <td>{score.region.clone()}</td>
                <td class="number">
                    {match score.dice_deviation {
                        Some(deviation) => format!("{:.2} ± {deviation:.2}", score.dice),
                        None => format!("{:.3}", score.dice),
                    }}
                </td>
                {has_hd95.then(|| view! {
                    <td class="number">
                        {score.hd95_mm.map_or("–".into(), |hd95_mm| format!("{hd95_mm:.1}"))}
                    </td>
                })}
                <td class="number">{score.n}</td>
            </tr>
        }
    });
    let scores = match provenance.held_out.is_empty() {
        true => view! { <p class="hint">"No held-out scores are stated."</p> }.into_any(),
        false => view! {
            <table class="scores">
                <thead>
                    <tr>
                        <th>"Held-out Dice"</th>
                        <th class="number">"mean"</th>
                        {has_hd95.then(|| view! {
                            <th class="number" title="Median, in mm">"HD95"</th>
                        })}
                        <th class="number">"n"</th>
                    </tr>
                </thead>
                <tbody>{score_rows.collect_view()}</tbody>
            </table>
        }
        .into_any(),
    };
    view! {
        <p class="name">{card.name.clone()}</p>
        <dl>
            <dt>"Task"</dt>
            <dd>{card.task.name.clone()}</dd>
            <dt>"Data"</dt>
            <dd>{or_not_stated(&provenance.data)}</dd>
            <dt>"License"</dt>
            <dd>{or_not_stated(&provenance.license)}</dd>
            <dt>"Trained on"</dt>
            <dd>{num_cases(provenance.training_cases)}</dd>
            <dt>"Hash"</dt>
            <dd class="hash" title=model.hash.clone()>{messages::short_hash(&model.hash)}</dd>
        </dl>
        {scores}
        {(provenance.folds > 0).then(|| view! {
            <p class="hint">
                {format!(
                    "The scores are those of a cross-validation in {} folds with the same settings; \
                     this model was trained on all cases.",
                    provenance.folds,
                )}
            </p>
        })}
        {(!card.known_failures.is_empty()).then(|| view! {
            <p>"Known failures:"</p>
            <ul class="failures">
                {card
                    .known_failures
                    .iter()
                    .map(|failure| view! { <li>{failure.clone()}</li> })
                    .collect_view()}
            </ul>
        })}
    }
}

fn num_cases(n: usize) -> String {
    match n {
        0 => "not stated".into(),
        1 => "1 case".into(),
        n => format!("{n} cases"),
    }
}
