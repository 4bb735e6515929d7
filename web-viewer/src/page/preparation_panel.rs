//! The preparation: the reference, the placement of each channel, and the brain.

use leptos::prelude::*;
use model_core::prepare::{BrainChoice, BrainStep, ChannelRecord, ChannelStep, PlacementChoice};
use web_sys::HtmlInputElement;

use super::correct_panel::RadiusSlider;
use super::preparation_actions::{change_choices, compare, skip_preparation};
use super::prepared::{Preparation, PreparationChoices, placement_choice};
use super::state::{Comparison, Page};
use super::tools::Tool;
use crate::protocol::RunStage;

#[component]
pub fn PreparationPanel(page: Page) -> impl IntoView {
    let progress = move || {
        let progress = page.progress.get()?;
        let is_preparing = matches!(progress.stage, RunStage::PlaceChannels | RunStage::FindBrain);
        is_preparing.then_some(progress.fraction)
    };
    let is_shown = move || {
        let is_remarkable = page.preparation.with(|preparation| {
            preparation.as_ref().is_some_and(|preparation| {
                let is_used =
                    page.choices.with(|choices| *choices != PreparationChoices::default());
                preparation.record().is_remarkable() || is_used
            })
        });
        let is_missing = page.tolerates_missing();
        !page.is_from_link.get() && (is_remarkable || progress().is_some() || is_missing)
    };
    view! {
        <section class="panel preparation" class:hidden=move || !is_shown()>
            <h2>"Preparation"</h2>
            <MissingChannels page />
            {move || progress().map(|fraction| view! {
                <div class="progress"><progress max="1" prop:value=fraction></progress></div>
                <button
                    id="skip-preparation"
                    title="Takes the scans as they are stored, with the skull"
                    on:click=move |_| skip_preparation(page)
                >
                    "Skip"
                </button>
            })}
            {move || page.preparation.get().map(|preparation| view! { <Steps page preparation /> })}
        </section>
    }
}

/// States which channels are missing, and offers to run without them.
#[component]
fn MissingChannels(page: Page) -> impl IntoView {
    let accepts = move || page.choices.with(|choices| choices.accepts_missing);
    let text = move || {
        let missing = page.missing_channels().join(", ");
        format!(
            "Missing: {missing}. The model was trained to tolerate that; the result is less certain."
        )
    };
    view! {
        <Show when=move || page.tolerates_missing()>
            <p class="warning" role="note">{text}</p>
            <Show when=move || !accepts()>
                <button
                    id="accept-missing"
                    on:click=move |_| change_choices(page, |choices| choices.accepts_missing = true)
                >
                    "Continue without"
                </button>
            </Show>
        </Show>
    }
}

#[component]
fn Steps(page: Page, preparation: Preparation) -> impl IntoView {
    let reference = preparation.reference;
    let rows = preparation.records.iter().cloned().enumerate();
    let rows = rows.filter(|(_, record)| record.step != ChannelStep::Missing);
    let rows = rows.map(|(n, record)| {
        view! { <ChannelRow page n record is_reference=n == reference /> }
    });
    let rows = rows.collect_view();
    let has_several = preparation.channels.len() > 1;
    view! {
        <ul id="preparation" class:hidden=!has_several>{rows}</ul>
        <ComparisonChoice page preparation=preparation.clone() />
        <BrainControls page preparation />
    }
}

#[component]
fn ChannelRow(page: Page, n: usize, record: ChannelRecord, is_reference: bool) -> impl IntoView {
    let step = match &record.step {
        _ if is_reference => "the reference: results are on its grid".to_string(),
        ChannelStep::Unchanged => "on the grid already".into(),
        ChannelStep::Missing => "missing".into(),
        ChannelStep::Resampled { coverage } => {
            format!("resampled{}", covered(*coverage))
        }
        ChannelStep::Registered { rotation_deg, translation_mm, coverage, .. } => {
            let mm = translation_mm.iter().map(|x| x * x).sum::<f64>().sqrt();
            format!(
                "registered: turned by {rotation_deg:.1}°, moved by {mm:.1} mm{}",
                covered(*coverage)
            )
        }
    };
    let choice = page.choices.with_untracked(|choices| placement_choice(choices, n));
    let num_channels = page.slots.with_untracked(Vec::len);
    let set_choice = move |choice| {
        change_choices(page, move |choices| {
            let all = &mut choices.placement.choices;
            let others = all.last().copied().unwrap_or_default();
            all.resize(num_channels, others);
            all[n] = choice;
        });
    };
    let is_registered = matches!(record.step, ChannelStep::Registered { .. });
    let buttons = (!is_reference).then(|| {
        let other = match is_registered {
            true => ("As stored", PlacementChoice::AsStored, "Takes the registration back"),
            false => ("Register", PlacementChoice::Registered, "Moves it so that the anatomy matches"),
        };
        let make_reference = move |_| {
            change_choices(page, move |choices| choices.placement.reference = Some(n));
        };
        view! {
            <button class="quiet" title=other.2 on:click=move |_| set_choice(other.1)>{other.0}</button>
            <button class="quiet" title="Places the others, and the result, on its grid" on:click=make_reference>
                "Use as reference"
            </button>
        }
    });
    let chosen =
        (choice != PlacementChoice::Automatic && !is_reference).then_some(" (you chose this)");
    view! {
        <li class="step">
            <strong>{record.channel}</strong>
            <span class="hint">{step}{chosen}</span>
            {buttons}
        </li>
    }
}

fn covered(coverage: f32) -> String {
    match coverage {
        c if c > 0.995 => String::new(),
        c => format!(", covers {:.0} %", 100.0 * c),
    }
}

/// The comparison of the shown channel with the reference.
#[component]
fn ComparisonChoice(page: Page, preparation: Preparation) -> impl IntoView {
    let is_other = move || {
        let shown = page.shown_index();
        let preparation = &preparation;
        shown.is_some_and(|n| n != preparation.reference && preparation.is_present(n))
    };
    let button = move |comparison, name: &'static str, title: &'static str| {
        view! {
            <button
                class="choice"
                class:chosen=move || page.comparison.get() == comparison
                title=title
                on:click=move |_| compare(page, comparison)
            >
                {name}
            </button>
        }
    };
    view! {
        <div class="field" class:hidden=move || !is_other()>
            <span>"Compare"</span>
            <div class="choices" id="comparison">
                {button(Comparison::Off, "Off", "Shows the channel alone")}
                {button(Comparison::Before, "Before", "Checkerboard with the reference, as the files place both")}
                {button(Comparison::After, "After", "Checkerboard with the reference, as prepared")}
            </div>
        </div>
    }
}

/// The brain: shown, switched off, painted.
#[component]
fn BrainControls(page: Page, preparation: Preparation) -> impl IntoView {
    let text = match preparation.brain {
        BrainStep::NotNeeded => String::new(),
        BrainStep::AlreadyStripped => "The scans have no skull.".into(),
        BrainStep::KeptByUser => "The skull is kept, although the model expects none.".into(),
        BrainStep::Extracted { volume_ml, is_edited } => {
            let edited = if is_edited { ", edited" } else { "" };
            format!("Brain: {volume_ml:.0} ml{edited}. Only the brain is segmented.")
        }
    };
    let has_mask = preparation.mask.is_some();
    let is_kept = preparation.brain == BrainStep::KeptByUser;
    let keep = move |_| change_choices(page, |choices| choices.brain = BrainChoice::Keep);
    let extract = move |_| change_choices(page, |choices| choices.brain = BrainChoice::Extract);
    let toggle = move |event| {
        let input: HtmlInputElement = event_target(&event);
        page.shows_mask.set(input.checked());
    };
    view! {
        <p class="hint" id="brain">{text}</p>
        <div class:hidden=!has_mask>
            <label class="region">
                <input type="checkbox" prop:checked=move || page.shows_mask.get() on:change=toggle />
                <span>"Show its outline"</span>
            </label>
            <BrushControls page />
            <button class="quiet" id="keep-skull" on:click=keep>"Keep the skull"</button>
        </div>
        <button class="quiet" id="extract-brain" class:hidden=!is_kept on:click=extract>
            "Extract the brain"
        </button>
    }
}

/// The brush that paints the mask.
#[component]
fn BrushControls(page: Page) -> impl IntoView {
    let button = move |tool: Tool, name: &'static str, title: &'static str| {
        view! {
            <button
                class="choice"
                class:chosen=move || page.tool.get() == tool
                title=title
                on:click=move |_| page.choose_tool(tool)
            >
                {name}
            </button>
        }
    };
    let paints = move || matches!(page.tool.get(), Tool::Brain { .. });
    view! {
        <div class="field">
            <span>"Paint"</span>
            <div class="choices" id="brush">
                {button(Tool::Crosshair, "Off", "The pointer moves the crosshair")}
                {button(Tool::Brain { adds: true }, "Add", "Adds a ball to the brain")}
                {button(Tool::Brain { adds: false }, "Erase", "Removes a ball from the brain")}
            </div>
        </div>
        <Show when=paints>
            <RadiusSlider page />
        </Show>
        <Show when=move || page.can_undo_mask()>
            <button
                class="quiet"
                id="undo-mask"
                on:click=move |_| page.undo_stroke()
            >
                "Undo"
            </button>
        </Show>
    }
}
