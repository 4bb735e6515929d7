//! Runs the network in the worker, on the whole scan or on overlapping tiles.

use std::ops::ControlFlow;
use std::rc::Rc;

use futures_util::future::{AbortHandle, Abortable};
use js_sys::{Date, Uint8Array};
use model_core::{Input, LabelMap, postprocess};
use shaders::{Engine, Error, Output, Plan, Session, SessionEvent};

use super::progress_reporter::ProgressReporter;
use super::reply::Reply;
use super::state::{ABORT_HANDLE, PreparedScan, STATE, TiledRun};
use crate::messages;
use crate::protocol::{RunInputs, RunStage, RunSummary, WorkerResponse};
use crate::slice::central_labeled_voxel;

/// A run in progress.
struct Run {
    prepared: Rc<PreparedScan>,
    session: Session,
    reporter: ProgressReporter,
    start_ms: f64,
}

/// Runs the network on the whole scan as planned, or with a smaller plan if the GPU needs it.
///
/// # Errors
/// A message for the user.
pub async fn segment(request_id: u32, inputs: &RunInputs) -> Reply {
    let plan = STATE.with_borrow(|state| state.plan.clone()).ok_or("no run is planned")?;
    let mut run = Run::begin(request_id, inputs, 1)?;
    let result = abortable(run.whole_scan(plan)).await;
    run.end(result, None)
}

/// Runs the network on overlapping tiles and averages their logits.
///
/// # Errors
/// A message for the user.
pub async fn segment_tiled(request_id: u32, inputs: &RunInputs) -> Reply {
    let tiled_run = STATE.with_borrow(|state| state.tiled_run.clone());
    let tiled_run = tiled_run.ok_or("no run in tiles is planned")?;
    let num_tiles = tiled_run.tiling.num_tiles();
    let mut run = Run::begin(request_id, inputs, num_tiles)?;
    let result = abortable(run.tiles(tiled_run)).await;
    run.end(result, Some(num_tiles))
}

/// Runs until the end or until [`ABORT_HANDLE`] is used, at the run's next wait.
///
/// The GPU still completes the submissions that it has. The engine's next run waits for them before it
/// allocates memory.
async fn abortable<T>(run: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let (handle, registration) = AbortHandle::new_pair();
    ABORT_HANDLE.set(Some(handle));
    Abortable::new(run, registration).await.unwrap_or(Err(Error::Canceled))
}

impl Run {
    fn begin(request_id: u32, inputs: &RunInputs, num_tiles: usize) -> Result<Run, String> {
        STATE.with_borrow_mut(|state| {
            let prepared = state.prepared_for(inputs)?;
            let session = std::mem::take(&mut state.session);
            let reporter = ProgressReporter::new(request_id, num_tiles);
            Ok(Run { prepared, session, reporter, start_ms: Date::now() })
        })
    }

    /// Runs the network on an input. Returns the output and the plan that ran.
    async fn network(&mut self, input: &Input, plan: Plan) -> Result<(Output, Plan), Error> {
        let reporter = &mut self.reporter;
        let mut on_event = |event: SessionEvent| {
            reporter.report_event(event);
            ControlFlow::Continue(())
        };
        let weights = &self.prepared.bundle.weights;
        let run = self.session.run(Engine::new, plan, weights, &input.values, &mut on_event);
        let outcome = run.await?;
        Ok((outcome.output, outcome.plan))
    }

    async fn whole_scan(&mut self, plan: Plan) -> Result<(LabelMap, Plan), Error> {
        let prepared = self.prepared.clone();
        let (output, plan) = self.network(&prepared.input, plan).await?;
        self.reporter.report(RunStage::PlaceLabels, 1.0);
        let map = match output {
            Output::Labels(labels) => prepared.placement.restore(&labels),
            Output::Logits(logits) => {
                postprocess(&logits, &prepared.bundle.card.task, &prepared.placement)
            }
        };
        Ok((map, plan))
    }

    async fn tiles(&mut self, tiled_run: TiledRun) -> Result<(LabelMap, Plan), Error> {
        let prepared = self.prepared.clone();
        let TiledRun { tiling, tile_plan: mut plan } = tiled_run;
        let task = &prepared.bundle.card.task;
        let num_voxels: usize = prepared.input.dims.iter().product();
        let mut sum = vec![0.0; task.num_outputs() * num_voxels];
        for tile in 0..tiling.num_tiles() {
            self.reporter.begin_tile(tile);
            let input = tiling.extract(&prepared.input, tile);
            // A tile that fell back to a smaller plan passes that plan on to the next tiles.
            let (output, used_plan) = self.network(&input, plan).await?;
            plan = used_plan;
            if let Output::Logits(logits) = output {
                tiling.add_weighted(&logits, tile, &mut sum);
            }
        }
        self.reporter.report(RunStage::PlaceLabels, 1.0);
        Ok((postprocess(&sum, task, &prepared.placement), plan))
    }

    /// Replies with the result, and stores the session for the next run.
    fn end(self, result: Result<(LabelMap, Plan), Error>, num_tiles: Option<usize>) -> Reply {
        let Run { prepared, session, reporter, start_ms } = self;
        let adapter = session.gpu().map(|gpu| gpu.adapter_name().to_string()).unwrap_or_default();
        STATE.with_borrow_mut(|state| state.session = session);
        let (map, plan) = match result {
            Ok(result) => result,
            Err(Error::Canceled) => return Ok((WorkerResponse::Canceled, Vec::new())),
            Err(error) => return Err(messages::run_error(&error)),
        };
        let labels = Uint8Array::from(map.labels()).into();
        let plan_bytes = plan.footprint.total_bytes;
        let response = WorkerResponse::Segmented {
            model: prepared.inputs.model.clone(),
            central_voxel: central_labeled_voxel(&map),
            grid: map.grid().clone(),
            summary: RunSummary {
                elapsed_secs: (Date::now() - start_ms) / 1000.0,
                adapter,
                plan: prepared.summary(&plan),
                num_tiles,
                fallbacks: messages::fallbacks(&reporter.fallbacks, "Ran", plan_bytes),
            },
        };
        Ok((response, vec![labels]))
    }
}
