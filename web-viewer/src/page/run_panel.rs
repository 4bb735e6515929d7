//! The run: what it will take, and how far it is.

use leptos::prelude::*;

use super::state::{Page, Phase};
use super::{actions, browser};
use crate::protocol::{Plan, Progress, Step};

#[component]
pub fn RunPanel(page: Page) -> impl IntoView {
    let phase = Memo::new(move |_| page.status.with(|status| status.phase));
    let is_running = move || phase.get() == Phase::Running;
    let can_run = move || page.plan.with(Option::is_some) && !phase.get().is_busy();
    let has_webgpu = browser::has_webgpu();
    let warning = move || {
        let warning = page.model.with(|model| model.as_ref().map(|m| m.card.warning.clone()));
        let warning = warning.filter(|text| !text.is_empty());
        warning.map(|text| view! { <p class="warning" role="note">{text}</p> })
    };
    view! {
        <section class="panel run" class:hidden=move || page.is_from_link.get()>
            <h2>"Segmentation"</h2>
            {warning}
            {(!has_webgpu).then(no_webgpu)}
            {move || page.plan.get().map(|plan| view! { <PlanView plan /> })}
            <Show
                when=is_running
                fallback=move || {
                    view! {
                        <button
                            id="segment"
                            class="primary"
                            disabled=move || !can_run() || !has_webgpu
                            on:click=move |_| actions::segment(page)
                        >
                            "Segment"
                        </button>
                    }
                }
            >
                {move || page.progress.get().map(|progress| view! { <ProgressView progress /> })}
                <button id="cancel" on:click=move |_| actions::cancel(page)>
                    "Cancel"
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

fn no_webgpu() -> impl IntoView {
    let text = match browser::is_secure() {
        true => {
            "This browser has no WebGPU, which the network runs on. Chrome and Edge have it on \
             Windows, macOS, Android, ChromeOS and recent Linux; Safari from version 26; Firefox \
             on Windows and on Apple silicon. Links to results open everywhere."
        }
        false => {
            "Browsers offer WebGPU only on https pages and on this computer itself: open the page \
             at https://…, or at http://localhost."
        }
    };
    view! { <p class="warning" role="alert">{text}</p> }
}

#[component]
fn PlanView(plan: Plan) -> impl IntoView {
    let [i, j, k] = plan.dims;
    view! {
        <dl class="plan">
            <dt>"Network input"</dt>
            <dd>{format!("{i} × {j} × {k}")}</dd>
            <dt>"Multiply-adds"</dt>
            <dd>{count(plan.multiply_adds)}</dd>
            <dt>"GPU memory"</dt>
            <dd>{bytes(plan.gpu_bytes)}</dd>
        </dl>
    }
}

#[component]
fn ProgressView(progress: Progress) -> impl IntoView {
    let [done, total] = progress.ops;
    let text = match progress.step {
        Step::OpenGpu => "Opening the GPU".to_string(),
        Step::Network => format!("Layer {done} of {total}"),
        Step::PlaceLabels => "Placing the labels".to_string(),
    };
    view! {
        <div class="progress">
            <progress max="1" prop:value=progress.share></progress>
            <p>
                <span>{text}</span>
                <span>{format!("{:.0} % of the work", 100.0 * progress.share)}</span>
            </p>
        </div>
    }
}

/// A large number with three digits and its prefix's word.
fn count(n: u64) -> String {
    let n = n as f64;
    match n {
        n if n >= 1e12 => format!("{:.2} trillion", n / 1e12),
        n if n >= 1e9 => format!("{:.1} billion", n / 1e9),
        n => format!("{:.0} million", n / 1e6),
    }
}

fn bytes(n: u64) -> String {
    match n >> 20 {
        mib if mib >= 1024 => format!("{:.1} GiB", n as f64 / f64::from(1 << 30)),
        mib => format!("{} MiB", mib.max(1)),
    }
}
