//! Chooses the engine, and plans a run within the memory budget.

use std::cell::{Cell, RefCell};

use futures_util::future::{FutureExt, LocalBoxFuture, Shared};
use shaders::{Engine, Preference};

use super::reply::{Reply, done};
use super::run_plan::{RunPlan, Target, Unplanned};
use super::state::STATE;
use crate::protocol::{EngineChoice, PlanOutcome, RunInputs, TiledPlanSummary, WorkerResponse};

/// The GPU as far as plans depend on it.
#[derive(Debug, Clone, PartialEq)]
struct Gpu {
    name: String,
    /// Its limits in words.
    limits: String,
    /// Whether it is a program on the processor, which our own is faster than.
    is_software: bool,
    preference: Preference,
}

type Measurement<T> = Shared<LocalBoxFuture<'static, T>>;

thread_local! {
    static GPU: RefCell<Option<Measurement<Result<Gpu, String>>>> = RefCell::default();
    static NUM_WORKERS: RefCell<Option<Measurement<usize>>> = RefCell::default();
    /// The number of plans requested so far. Only the latest request needs to be planned.
    static NUM_REQUESTS: Cell<u32> = const { Cell::new(0) };
}

/// Prepares the inputs and plans a run within `budget_bytes`.
///
/// A tiled run is planned instead only if the run exceeds even `max_budget_bytes`.
///
/// # Errors
/// A message for the user if the inputs cannot be prepared or planned.
pub(super) async fn plan(
    inputs: RunInputs,
    choice: EngineChoice,
    budget_bytes: u64,
    max_budget_bytes: u64,
) -> Reply {
    let request = NUM_REQUESTS.get() + 1;
    NUM_REQUESTS.set(request);
    let (target, engines) = target(choice).await;
    if NUM_REQUESTS.get() != request {
        // The inputs may have been released, and the newer plan must remain.
        return done();
    }
    let outcome = STATE.with_borrow_mut(|state| {
        let prepared = state.prepare(&inputs)?;
        (state.plan, state.tiled_run) = (None, None);
        state.may_change_engine = choice == EngineChoice::Automatic;
        let plan = RunPlan::new(&target, &prepared.program, budget_bytes);
        // Without probabilities, if there is no memory for them.
        let plan = match (&prepared.deciding, plan) {
            (Some(deciding), Err(_)) => RunPlan::new(&target, deciding, budget_bytes),
            (_, plan) => plan,
        };
        match plan {
            Ok(plan) => {
                let summary = plan.summary();
                state.plan = Some(plan);
                Ok(PlanOutcome::Fits(summary))
            }
            Err(Unplanned::Budget { smallest_bytes, message }) => {
                // The result of tiles differs, so tiles are no substitute for a larger budget.
                if smallest_bytes > max_budget_bytes {
                    state.tiled_run = prepared.tiled_run(&target, budget_bytes);
                }
                let tiled = state.tiled_run.as_ref().map(|run| TiledPlanSummary {
                    num_tiles: run.tiling.num_tiles(),
                    tile_plan: run.tile_plan.summary(),
                });
                Ok(PlanOutcome::Exceeds { smallest_bytes, message, tiled })
            }
            Err(Unplanned::Failed(message)) => Err(message),
        }
    })?;
    Ok((WorkerResponse::Planned { model: inputs.model, engines, outcome }, Vec::new()))
}

/// Returns the engine for a choice, and the engines of this computer in words.
///
/// Without a GPU, the choice of the GPU is planned all the same, and the run reports the error.
async fn target(choice: EngineChoice) -> (Target, String) {
    if choice == EngineChoice::Processor {
        let num_workers = num_workers().await;
        return (Target::Processor(num_workers), format!("processor, {num_workers} workers"));
    }
    let gpu = gpu().await;
    let in_words = match &gpu {
        Ok(Gpu { name, limits, is_software, .. }) => {
            format!("{} {name} ({limits})", if *is_software { "software GPU" } else { "GPU" })
        }
        Err(reason) => format!("no GPU ({reason})"),
    };
    match gpu {
        Ok(gpu) if choice == EngineChoice::Gpu || !gpu.is_software => {
            (Target::Gpu(gpu.name, gpu.preference), in_words)
        }
        Err(_) if choice == EngineChoice::Gpu => {
            (Target::Gpu(String::new(), Preference::default()), in_words)
        }
        _ => {
            let num_workers = num_workers().await;
            let in_words = format!("{in_words}; processor, {num_workers} workers");
            (Target::Processor(num_workers), in_words)
        }
    }
}

/// Opens the GPU and measures which kernels are faster on it, once; concurrent plans wait for the
/// same measurement.
fn gpu() -> Measurement<Result<Gpu, String>> {
    let measurement = async {
        // No run uses the session: none was planned before this measurement.
        let mut session = STATE.with_borrow_mut(|state| std::mem::take(&mut state.session));
        let gpu = match session.opened(Engine::new).await {
            Ok(engine) => Ok(Gpu {
                name: engine.adapter_name().to_string(),
                limits: engine.limits().to_string(),
                is_software: engine.is_software(),
                preference: match engine.is_software() {
                    // The measurement would take seconds.
                    true => Preference::default(),
                    false => engine.preference().await,
                },
            }),
            Err(error) => Err(error.to_string()),
        };
        STATE.with_borrow_mut(|state| state.session = session);
        gpu
    };
    GPU.with_borrow_mut(|gpu| gpu.get_or_insert_with(|| measurement.boxed_local().shared()).clone())
}

/// Measures how many workers are worthwhile, once.
pub(super) fn num_workers() -> Measurement<usize> {
    let measurement = async {
        let mut team = STATE.with_borrow_mut(|state| std::mem::take(&mut state.team));
        // Without workers the run reports the error.
        let num_workers = team.measure().await.unwrap_or(1);
        STATE.with_borrow_mut(|state| state.team = team);
        num_workers
    };
    NUM_WORKERS.with_borrow_mut(|workers| {
        workers.get_or_insert_with(|| measurement.boxed_local().shared()).clone()
    })
}
