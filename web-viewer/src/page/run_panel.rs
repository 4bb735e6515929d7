//! The run panel: the budget, the plan and the progress of a run.

use leptos::prelude::*;
use model_core::texts;

use super::state::Page;
use super::status::Phase;
use super::{actions, diagnostics};
use crate::protocol::{
    EngineChoice, PlanOutcome, PlanSummary, RunProgress, RunStage, TiledPlanSummary,
};
use crate::{budget, messages};

#[component]
pub fn RunPanel(page: Page) -> impl IntoView {
    let phase = Memo::new(move |_| page.status.with(|status| status.phase));
    let is_running = move || phase.get() == Phase::Running;
    let can_run = move || {
        let fits = page.plan.with(|outcome| matches!(outcome, Some(PlanOutcome::Fits(_))));
        fits && !phase.get().is_busy() && page.engine_problem().is_none()
    };
    let warning = move || {
        let warning = page.model.with(|model| model.as_ref().map(|m| m.card.warning.clone()));
        let warning = warning.filter(|text| !text.is_empty());
        warning.map(|text| view! { <p class="warning" role="note">{text}</p> })
    };
    view! {
        <section class="panel run" class:hidden=move || page.is_from_link.get()>
            <h2>"Segmentation"</h2>
            {move || page.engine_problem().map(|text| view! {
                <p id="gpu-problem" class="warning" role="alert">{text}</p>
            })}
            {warning}
            <EngineChoices page />
            <BudgetChoice page />
            {move || page.plan.get().map(|outcome| view! { <Plan page outcome /> })}
            <Show
                when=is_running
                fallback=move || {
                    view! {
                        <button
                            id="segment"
                            class="primary"
                            disabled=move || !can_run()
                            on:click=move |_| actions::segment(page, false)
                        >
                            "Segment"
                        </button>
                    }
                }
            >
                {move || page.progress.get().map(|progress| view! { <Progress progress /> })}
                <button
                    id="cancel"
                    disabled=move || page.is_canceling.get()
                    on:click=move |_| actions::cancel(page)
                >
                    {move || if page.is_canceling.get() { "Canceling…" } else { "Cancel" }}
                </button>
            </Show>
            <button
                id="copy-diagnostics"
                class="quiet"
                title="Copies the browser, the engine, memory, times and the model's hash; nothing of the scan"
                on:click=move |_| diagnostics::copy_diagnostics(page)
            >
                "Copy diagnostics"
            </button>
        </section>
        <Show when=move || page.is_from_link.get()>
            <section class="panel run">
                <h2>"Your own scans"</h2>
                <button on:click=move |_| actions::close_link(page)>"Close this result"</button>
            </section>
        </Show>
    }
}

/// The choice of the engine.
#[component]
fn EngineChoices(page: Page) -> impl IntoView {
    let is_busy = move || page.status.with(|status| status.phase.is_busy());
    let option = move |(choice, name, text): (EngineChoice, &'static str, &'static str)| {
        let is_chosen = move || page.engine.get() == choice;
        view! { <option value=name prop:selected=is_chosen>{text}</option> }
    };
    let on_change = move |event| {
        let name = event_target_value(&event);
        actions::set_engine(page, EngineChoice::parse(Some(&name)));
    };
    view! {
        <label
            class="budget"
            title="Automatic: the graphics card if this browser offers one, otherwise the processor. The result is the same."
        >
            <span>"Compute on"</span>
            <select id="engine" disabled=is_busy on:change=on_change>
                {EngineChoice::ALL.map(option).collect_view()}
            </select>
        </label>
    }
}

/// The choice of the memory budget.
#[component]
fn BudgetChoice(page: Page) -> impl IntoView {
    let is_busy = move || page.status.with(|status| status.phase.is_busy());
    let option = move |mib: u64| {
        let is_chosen = move || page.budget_mib.get() == mib;
        view! {
            <option value=mib.to_string() prop:selected=is_chosen>
                {texts::bytes_rounded_up(mib << 20)}
            </option>
        }
    };
    let on_change = move |event| {
        if let Ok(mib) = event_target_value(&event).parse() {
            actions::set_budget(page, mib);
        }
    };
    view! {
        <label
            class="budget"
            title="The most memory that a run may use. The screen and other programs need memory too."
        >
            <span>"Memory allowed"</span>
            <select id="budget" disabled=is_busy on:change=on_change>
                {budget::CHOICES_MIB.map(option).collect_view()}
            </select>
        </label>
    }
}

#[component]
fn Plan(page: Page, outcome: PlanOutcome) -> impl IntoView {
    match outcome {
        PlanOutcome::Fits(plan) => view! { <PlanDetails plan /> }.into_any(),
        PlanOutcome::Exceeds { smallest_bytes, message, tiled } => {
            view! { <BudgetExceeded page smallest_bytes message tiled /> }.into_any()
        }
    }
}

#[component]
fn PlanDetails(plan: PlanSummary) -> impl IntoView {
    let [i, j, k] = plan.dims;
    let num_voxels = plan.dims.iter().map(|&n| n as u64).product();
    view! {
        <dl id="plan" class="plan">
            <dt>"Voxels"</dt>
            <dd title=format!("{} voxels, cropped and resampled for the model, all at once", messages::count(num_voxels))>
                {format!("{i} × {j} × {k}")}
            </dd>
            <dt>"Computed on"</dt>
            <dd>{messages::engine(&plan.engine)}</dd>
            <dt>"Memory"</dt>
            <dd title="All memory that the run allocates, computed in advance">
                {texts::bytes_rounded_up(plan.bytes)}
            </dd>
            <dt>"Multiply-adds"</dt>
            <dd title="The amount of work: multiplications, each with an addition">
                {messages::count(plan.multiply_adds)}
            </dd>
            <dt>"Precision"</dt>
            <dd title=messages::precision_note(plan.bits)>{messages::precision(plan.bits)}</dd>
        </dl>
    }
}

/// Shows the memory that the smallest plan needs, and offers the budget that suffices. If none does,
/// offers to run in tiles.
#[component]
fn BudgetExceeded(
    page: Page,
    smallest_bytes: u64,
    message: String,
    tiled: Option<TiledPlanSummary>,
) -> impl IntoView {
    let message = messages::capitalized(&message);
    let larger_budget = budget::smallest_choice(smallest_bytes).map(|mib| {
        view! {
            <button id="allow" on:click=move |_| actions::set_budget(page, mib)>
                {format!("Allow {}", texts::bytes_rounded_up(mib << 20))}
            </button>
        }
    });
    let max_budget = texts::bytes_rounded_up(budget::MAX_MIB << 20);
    let exceeds_all =
        larger_budget.is_none().then(|| format!("; this page allows no more than {max_budget}"));
    let is_running = move || page.status.with(|status| status.phase == Phase::Running);
    let tiled = tiled.map(|TiledPlanSummary { num_tiles, tile_plan }| {
        let work = messages::count(tile_plan.multiply_adds * num_tiles as u64);
        let memory = texts::bytes_rounded_up(tile_plan.bytes);
        let precision = messages::precision(tile_plan.bits);
        let tiles = messages::tiles(num_tiles, tile_plan.dims);
        view! {
            <p class="hint">
                {format!("Instead: {tiles}, {memory}, {work} multiply-adds, {precision}. ")}
                {messages::TILES_NOTE}
            </p>
            <button
                id="segment-tiles"
                class:hidden=is_running
                on:click=move |_| actions::segment(page, true)
            >
                "Run in overlapping tiles"
            </button>
        }
    });
    view! {
        <p id="exceeds" class="warning" role="alert">{message}{exceeds_all}"."</p>
        {larger_budget}
        {tiled}
    }
}

#[component]
fn Progress(progress: RunProgress) -> impl IntoView {
    let ([done_steps, num_steps], [tile, num_tiles]) = (progress.steps, progress.tile);
    let text = match progress.stage {
        RunStage::PlaceChannels | RunStage::FindBrain => "Preparing the scans".to_string(),
        RunStage::OpenGpu => "Opening the GPU".to_string(),
        RunStage::StartWorkers => "Starting the computation".to_string(),
        RunStage::Network if num_tiles > 1 => format!("Tile {} of {num_tiles}", tile + 1),
        RunStage::Network if num_steps == 0 => "Segmenting".to_string(),
        RunStage::Network => format!("Step {done_steps} of {num_steps}"),
        RunStage::PlaceLabels => "Placing the labels".to_string(),
    };
    let fallbacks = progress.fallbacks;
    let fallbacks = (!fallbacks.is_empty()).then(|| view! { <p class="warning">{fallbacks}</p> });
    view! {
        {fallbacks}
        <div class="progress">
            <progress max="1" prop:value=progress.fraction></progress>
            <p>
                <span>{text}</span>
                <span>{format!("{:.0} % of the work", 100.0 * progress.fraction)}</span>
            </p>
        </div>
    }
}
