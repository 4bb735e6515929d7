//! Plans a run within the memory budget.

use std::cell::{Cell, RefCell};

use futures_util::future::{FutureExt, LocalBoxFuture, Shared};
use shaders::{Engine, Error, Plan, Preference};

use super::reply::{Reply, done};
use super::state::STATE;
use crate::messages;
use crate::protocol::{PlanOutcome, RunInputs, TiledPlanSummary, WorkerResponse};

thread_local! {
    static PREFERENCE: RefCell<Option<Shared<LocalBoxFuture<'static, Preference>>>> =
        RefCell::default();
    /// The number of plans requested so far. Only the latest request needs to be planned.
    static NUM_REQUESTS: Cell<u32> = const { Cell::new(0) };
}

/// Prepares the inputs and plans a run within `budget_bytes`.
///
/// A tiled run is planned instead only if the run exceeds even `max_budget_bytes`.
///
/// # Errors
/// A message for the user if the inputs cannot be prepared or planned.
pub(super) async fn plan(inputs: RunInputs, budget_bytes: u64, max_budget_bytes: u64) -> Reply {
    let request = NUM_REQUESTS.get() + 1;
    NUM_REQUESTS.set(request);
    let preference = preference().await;
    if NUM_REQUESTS.get() != request {
        // The inputs may have been released, and the newer plan must remain.
        return done();
    }
    let outcome = STATE.with_borrow_mut(|state| {
        let prepared = state.prepare(&inputs)?;
        (state.plan, state.tiled_run) = (None, None);
        match Plan::preferring(preference, &prepared.program, budget_bytes) {
            Ok(plan) => {
                let summary = prepared.summary(&plan);
                state.plan = Some(plan);
                Ok(PlanOutcome::Fits(summary))
            }
            Err(error @ Error::Budget { smallest_bytes, .. }) => {
                // The result of tiles differs, so tiles are no substitute for a larger budget.
                if smallest_bytes > max_budget_bytes {
                    state.tiled_run = prepared.tiled_run(preference, budget_bytes);
                }
                let tiled = state.tiled_run.as_ref().map(|run| TiledPlanSummary {
                    num_tiles: run.tiling.num_tiles(),
                    tile_plan: prepared.summary(&run.tile_plan),
                });
                Ok(PlanOutcome::Exceeds { smallest_bytes, message: error.to_string(), tiled })
            }
            Err(error) => Err(messages::run_error(&error)),
        }
    })?;
    Ok((WorkerResponse::Planned { model: inputs.model, outcome }, Vec::new()))
}

/// Measures which kernels are faster on the GPU, once; concurrent plans wait for the same measurement.
///
/// Without a GPU the default is returned, and the run will report the error.
fn preference() -> Shared<LocalBoxFuture<'static, Preference>> {
    let measurement = async {
        // No run uses the session: none was planned before this measurement.
        let mut session = STATE.with_borrow_mut(|state| std::mem::take(&mut state.session));
        let preference = match session.opened(Engine::new).await {
            Ok(engine) => engine.preference().await,
            Err(_) => Preference::default(),
        };
        STATE.with_borrow_mut(|state| state.session = session);
        preference
    };
    PREFERENCE.with_borrow_mut(|preference| {
        preference.get_or_insert_with(|| measurement.boxed_local().shared()).clone()
    })
}
