//! The run: what it will take, and how far it is.

use leptos::prelude::*;

use super::actions;
use super::state::{Page, Phase};
use crate::protocol::{Plan, Planned, Progress, Step, Tiles};
use crate::{budget, messages};

#[component]
pub fn RunPanel(page: Page) -> impl IntoView {
    let phase = Memo::new(move |_| page.status.with(|status| status.phase));
    let is_running = move || phase.get() == Phase::Running;
    let can_run = move || {
        let fits = page.plan.with(|planned| matches!(planned, Some(Planned::Fits(_))));
        fits && !phase.get().is_busy() && page.no_gpu.get().is_none()
    };
    let warning = move || {
        let warning = page.model.with(|model| model.as_ref().map(|m| m.card.warning.clone()));
        let warning = warning.filter(|text| !text.is_empty());
        warning.map(|text| view! { <p class="warning" role="note">{text}</p> })
    };
    view! {
        <section class="panel run" class:hidden=move || page.is_from_link.get()>
            <h2>"Segmentation"</h2>
            {move || page.no_gpu.get().map(|text| view! {
                <p id="no-gpu" class="warning" role="alert">{text}</p>
            })}
            {warning}
            <Budget page />
            {move || page.plan.get().map(|planned| view! { <PlanView page planned /> })}
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
                {move || page.progress.get().map(|progress| view! { <ProgressView progress /> })}
                <button
                    id="cancel"
                    disabled=move || page.is_stopping.get()
                    on:click=move |_| actions::cancel(page)
                >
                    {move || if page.is_stopping.get() { "Cancelling…" } else { "Cancel" }}
                </button>
            </Show>
        </section>
        <Show when=move || page.is_from_link.get()>
            <section class="panel run">
                <h2>"Your own scans"</h2>
                <button on:click=move |_| actions::leave_link(page)>"Leave this result"</button>
            </section>
        </Show>
    }
}

/// How much of the GPU's memory a run may take.
#[component]
fn Budget(page: Page) -> impl IntoView {
    let is_busy = move || page.status.with(|status| status.phase.is_busy());
    let option = move |mib: u64| {
        let is_chosen = move || page.budget_mib.get() == mib;
        view! {
            <option value=mib.to_string() prop:selected=is_chosen>
                {messages::bytes(mib << 20)}
            </option>
        }
    };
    let on_change = move |event| {
        if let Ok(mib) = event_target_value(&event).parse() {
            actions::allow(page, mib);
        }
    };
    view! {
        <label
            class="budget"
            title="The most graphics memory that this page may use. The screen and other programs need some too."
        >
            <span>"Memory allowed"</span>
            <select id="budget" disabled=is_busy on:change=on_change>
                {budget::CHOICES_MIB.map(option).collect_view()}
            </select>
        </label>
    }
}

#[component]
fn PlanView(page: Page, planned: Planned) -> impl IntoView {
    match planned {
        Planned::Fits(plan) => view! { <Fits plan /> }.into_any(),
        Planned::Exceeds { smallest_bytes, message, windows } => {
            view! { <Exceeds page smallest_bytes message windows /> }.into_any()
        }
    }
}

#[component]
fn Fits(plan: Plan) -> impl IntoView {
    let [i, j, k] = plan.dims;
    let num_voxels = plan.dims.iter().map(|&n| n as u64).product();
    view! {
        <dl id="plan" class="plan">
            <dt>"Voxels"</dt>
            <dd title=format!("{} voxels, cropped and resampled as the model wants it: all at once", messages::count(num_voxels))>
                {format!("{i} × {j} × {k}")}
            </dd>
            <dt>"Graphics memory"</dt>
            <dd title="All that the run allocates, known before it starts">
                {messages::bytes(plan.gpu_bytes)}
            </dd>
            <dt>"Multiply-adds"</dt>
            <dd title="The work: multiplications, each with an addition">
                {messages::count(plan.multiply_adds)}
            </dd>
            <dt>"Precision"</dt>
            <dd title=messages::precision(plan.bits)>{messages::maps(plan.bits)}</dd>
        </dl>
    }
}

/// No plan: what the smallest needs, and the choice that would do; where none would, windows.
#[component]
fn Exceeds(
    page: Page,
    smallest_bytes: u64,
    message: String,
    windows: Option<Tiles>,
) -> impl IntoView {
    let message = messages::capitalized(&message);
    let offer = budget::holding(smallest_bytes).map(|mib| {
        view! {
            <button id="allow" on:click=move |_| actions::allow(page, mib)>
                {format!("Allow {}", messages::bytes(mib << 20))}
            </button>
        }
    });
    let most = messages::bytes(budget::MOST_MIB << 20);
    let no_offer = offer.is_none().then(|| format!("; this page allows no more than {most}"));
    let is_running = move || page.status.with(|status| status.phase == Phase::Running);
    let windows = windows.map(|Tiles { number, plan }| {
        let work = messages::count(plan.multiply_adds * number as u64);
        let (memory, maps) = (messages::bytes(plan.gpu_bytes), messages::maps(plan.bits));
        let taken = messages::windows(number, plan.dims);
        view! {
            <p class="hint">
                {format!("Instead: {taken}, {memory}, {work} multiply-adds, {maps}. ")}
                {messages::WINDOWS_NOTE}
            </p>
            <button
                id="segment-windows"
                class:hidden=is_running
                on:click=move |_| actions::segment(page, true)
            >
                "Run in overlapping windows"
            </button>
        }
    });
    view! {
        <p id="exceeds" class="warning" role="alert">{message}{no_offer}"."</p>
        {offer}
        {windows}
    }
}

#[component]
fn ProgressView(progress: Progress) -> impl IntoView {
    let ([done, total], [window, num_windows]) = (progress.steps, progress.window);
    let text = match progress.step {
        Step::OpenGpu => "Opening the GPU".to_string(),
        Step::Network if num_windows > 1 => format!("Window {} of {num_windows}", window + 1),
        Step::Network => format!("Step {done} of {total}"),
        Step::PlaceLabels => "Placing the labels".to_string(),
    };
    let setbacks = progress.setbacks;
    let setbacks = (!setbacks.is_empty()).then(|| view! { <p class="warning">{setbacks}</p> });
    view! {
        {setbacks}
        <div class="progress">
            <progress max="1" prop:value=progress.share></progress>
            <p>
                <span>{text}</span>
                <span>{format!("{:.0} % of the work", 100.0 * progress.share)}</span>
            </p>
        </div>
    }
}
