//! Runs the network in the worker, on the whole scan or on overlapping tiles.

use std::ops::ControlFlow;
use std::rc::Rc;

use futures_util::future::{AbortHandle, Abortable};
use js_sys::{Date, Uint8Array};
use model_core::cpu::{CpuError, CpuPlan, total_bytes};
use model_core::texts::bytes_rounded_up;
use model_core::{Input, LabelMap, postprocess, region_probability_bytes};
use shaders::{Engine, Output, Session, SessionEvent};
use wasm_bindgen::JsValue;

use super::planning::num_workers;
use super::progress_reporter::ProgressReporter;
use super::reply::Reply;
use super::run_plan::{RunPlan, Target, decides};
use super::state::{ABORT_HANDLE, PreparedScan, STATE, TiledRun};
use super::team::Team;
use crate::messages;
use crate::protocol::{RunInputs, RunStage, RunSummary, WorkerResponse};
use crate::slice::central_labeled_voxel;

/// A run in progress.
struct Run {
    prepared: Rc<PreparedScan>,
    session: Session,
    team: Team,
    /// Whether the processor may take over if the GPU fails.
    may_change_engine: bool,
    reporter: ProgressReporter,
    start_ms: f64,
}

/// The reason why a run has no result.
enum Stopped {
    Canceled,
    /// A message for the user.
    Failed(String),
}

impl From<shaders::Error> for Stopped {
    fn from(error: shaders::Error) -> Self {
        match error {
            shaders::Error::Canceled => Stopped::Canceled,
            error => Stopped::Failed(messages::run_error(&error)),
        }
    }
}

impl From<CpuError> for Stopped {
    fn from(error: CpuError) -> Self {
        Stopped::Failed(messages::processor_error(&error))
    }
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
async fn abortable<T>(run: impl Future<Output = Result<T, Stopped>>) -> Result<T, Stopped> {
    let (handle, registration) = AbortHandle::new_pair();
    ABORT_HANDLE.set(Some(handle));
    Abortable::new(run, registration).await.unwrap_or(Err(Stopped::Canceled))
}

impl Run {
    fn begin(request_id: u32, inputs: &RunInputs, num_tiles: usize) -> Result<Run, String> {
        STATE.with_borrow_mut(|state| {
            let prepared = state.prepared_for(inputs)?;
            let session = std::mem::take(&mut state.session);
            let team = std::mem::take(&mut state.team);
            let may_change_engine = state.may_change_engine;
            let reporter = ProgressReporter::new(request_id, num_tiles);
            let start_ms = Date::now();
            Ok(Run { prepared, session, team, may_change_engine, reporter, start_ms })
        })
    }

    /// Runs the network on an input. Returns the output and the plan that ran.
    async fn network(
        &mut self,
        input: &Input,
        plan: RunPlan,
    ) -> Result<(Output, RunPlan), Stopped> {
        let (name, plan) = match plan {
            RunPlan::Processor(parts) => return self.on_processor(input, parts).await,
            RunPlan::Gpu(name, plan) => (name, *plan),
        };
        let (program, budget_bytes) = (plan.program.clone(), plan.footprint.total_bytes);
        let reporter = &mut self.reporter;
        let mut on_event = |event: SessionEvent| {
            reporter.report_event(event);
            ControlFlow::Continue(())
        };
        let weights = &self.prepared.bundle.weights;
        let run = self.session.run(Engine::new, plan, weights, &input.values, &mut on_event);
        match run.await {
            Ok(outcome) => {
                let plan = RunPlan::Gpu(name, Box::new(outcome.plan));
                Ok((outcome.output, plan))
            }
            Err(error) if self.may_change_engine && error != shaders::Error::Canceled => {
                // The processor may take what the GPU had or was allowed.
                let target = Target::Processor(self.num_workers().await);
                let budget_bytes = budget_bytes.max(TAKEOVER_BYTES);
                let Ok(RunPlan::Processor(parts)) = RunPlan::new(&target, &program, budget_bytes)
                else {
                    return Err(error.into());
                };
                let reason = format!("the graphics card failed ({error})");
                self.reporter.change_engine(reason, total_bytes(&parts));
                self.on_processor(input, parts).await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Returns how many workers are worthwhile. The measurement takes the team from the state.
    async fn num_workers(&mut self) -> usize {
        STATE.with_borrow_mut(|state| std::mem::swap(&mut state.team, &mut self.team));
        let num_workers = num_workers().await;
        STATE.with_borrow_mut(|state| std::mem::swap(&mut state.team, &mut self.team));
        num_workers
    }

    async fn on_processor(
        &mut self,
        input: &Input,
        parts: Vec<CpuPlan>,
    ) -> Result<(Output, RunPlan), Stopped> {
        let (bundle, program) = (&self.prepared.bundle_bytes, parts[0].program.clone());
        self.reporter.report(RunStage::StartWorkers, 0.0);
        let mut parts = parts;
        loop {
            let reporter = &mut self.reporter;
            let on_progress = |fraction| reporter.report_fraction(fraction);
            let run = self.team.run(&parts, bundle, decides(&program), input, on_progress);
            let error = match run.await {
                Ok(output) => return Ok((output, RunPlan::Processor(parts))),
                Err(error) => error,
            };
            let CpuError::OutOfMemory { needed_bytes } = error else { return Err(error.into()) };
            // With fewer channels at a time, if that takes less.
            let smaller = CpuPlan::within(&program, parts.len(), needed_bytes - 1);
            match smaller {
                Ok(smaller) if total_bytes(&smaller) < needed_bytes => parts = smaller,
                _ => return Err(error.into()),
            }
            self.team = Team::default();
            let reason = format!("this computer had no {}", bytes_rounded_up(needed_bytes));
            self.reporter.change_engine(reason, total_bytes(&parts));
        }
    }

    async fn whole_scan(&mut self, plan: RunPlan) -> Result<(Segmented, RunPlan), Stopped> {
        let prepared = self.prepared.clone();
        let (output, plan) = self.network(&prepared.input, plan).await?;
        self.reporter.report(RunStage::PlaceLabels, 1.0);
        let segmented = match output {
            Output::Labels(labels) => {
                Segmented { map: prepared.placement.restore(&labels), probabilities: Vec::new() }
            }
            Output::Logits(logits) => Segmented::new(logits, &prepared),
        };
        Ok((segmented, plan))
    }

    async fn tiles(&mut self, tiled_run: TiledRun) -> Result<(Segmented, RunPlan), Stopped> {
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
        Ok((Segmented::new(sum, &prepared), plan))
    }

    /// Replies with the result, and stores the engines for the next run. Workers that did not
    /// finish are ended.
    fn end(self, result: Result<(Segmented, RunPlan), Stopped>, num_tiles: Option<usize>) -> Reply {
        let Run { prepared, session, team, reporter, start_ms, .. } = self;
        STATE.with_borrow_mut(|state| {
            state.session = session;
            state.team = if result.is_ok() { team } else { Team::default() };
        });
        let (Segmented { map, probabilities }, plan) = match result {
            Ok(result) => result,
            Err(Stopped::Canceled) => return Ok((WorkerResponse::Canceled, Vec::new())),
            Err(Stopped::Failed(message)) => return Err(message),
        };
        let mut arrays = vec![Uint8Array::from(map.labels()).into()];
        arrays
            .extend(probabilities.iter().map(|bytes| JsValue::from(Uint8Array::from(&bytes[..]))));
        let plan = plan.summary();
        let response = WorkerResponse::Segmented {
            model: prepared.inputs.model.clone(),
            central_voxel: central_labeled_voxel(&map),
            grid: map.grid().clone(),
            summary: RunSummary {
                elapsed_secs: (Date::now() - start_ms) / 1000.0,
                num_tiles,
                fallbacks: messages::fallbacks(&reporter.fallbacks, "Ran", plan.bytes),
                plan,
            },
        };
        Ok((response, arrays))
    }
}

/// The result of a run.
struct Segmented {
    map: LabelMap,
    /// Each region's probability in steps of 1/255; empty if there was no memory for them.
    probabilities: Vec<Vec<u8>>,
}

impl Segmented {
    fn new(logits: Vec<f32>, prepared: &PreparedScan) -> Segmented {
        let (card, placement) = (&prepared.bundle.card, &prepared.placement);
        let map = postprocess(&logits, &card.task, placement);
        let bytes = card.task.regions.len() * placement.source().num_voxels();
        let probabilities = match bytes <= MAX_PROBABILITY_BYTES {
            true => {
                region_probability_bytes(logits, &card.task, placement, card.calibration.as_ref())
            }
            false => Vec::new(),
        };
        Segmented { map, probabilities }
    }
}

/// The most memory that the probabilities of a result may take.
const MAX_PROBABILITY_BYTES: usize = 256 << 20;

/// The memory that the processor may take when it takes over from the GPU, if that had less.
const TAKEOVER_BYTES: u64 = 1 << 30;
