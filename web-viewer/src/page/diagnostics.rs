//! The diagnostics that a user copies into a report of a fault.

use leptos::prelude::*;
use model_core::texts;
use wasm_bindgen_futures::spawn_local;

use super::browser;
use super::state::Page;
use crate::messages;
use crate::protocol::PlanOutcome;

/// Copies a description of the browser, the engines and the last run, for reports of faults. It
/// contains nothing of the scan.
pub fn copy_diagnostics(page: Page) {
    let model = page.model.with_untracked(|model| {
        model.as_ref().map(|model| format!("{} ({})", model.card.name, model.hash))
    });
    let plan = page.plan.with_untracked(|plan| match plan {
        Some(PlanOutcome::Fits(plan)) => {
            let [i, j, k] = plan.dims;
            let memory = texts::bytes_rounded_up(plan.bytes);
            let engine = messages::engine(&plan.engine);
            format!("{i} × {j} × {k} voxels, {memory}, {} bits, {engine}", plan.bits)
        }
        Some(PlanOutcome::Exceeds { message, .. }) => message.clone(),
        None => "none".into(),
    });
    let gpu_problem = page.gpu_problem.get_untracked().unwrap_or("none");
    let lines = [
        ("Rewind", env!("CARGO_PKG_VERSION").to_string()),
        ("browser", browser::describe()),
        ("engine chosen", page.engine.get_untracked().name().to_string()),
        ("engines", page.engines.get_untracked()),
        ("problem with the graphics card", gpu_problem.to_string()),
        ("memory allowed", texts::bytes_rounded_up(page.budget_mib.get_untracked() << 20)),
        ("model", model.unwrap_or("none".into())),
        ("plan", plan),
        ("last run", page.run_summary.get_untracked()),
        ("fallbacks", page.fallbacks.get_untracked()),
        ("status", page.status.with_untracked(|status| status.phase.name().to_string())),
    ];
    let text: String = lines.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    spawn_local(async move {
        let copied = browser::copy(&text).await;
        page.notice.set(match copied {
            true => {
                "The diagnostics are on the clipboard. They contain nothing of the scan.".into()
            }
            false => text,
        });
    });
}
