//! A run in the worker: of the whole scan, or of windows where that was asked for.

use std::ops::ControlFlow;
use std::rc::Rc;

use futures_util::future::{AbortHandle, Abortable};
use js_sys::{Date, Uint8Array};
use model_core::{Input, LabelMap, postprocess};
use shaders::{Engine, Error, Output, Plan, Session, SessionEvent};

use super::progress_reporter::ProgressReporter;
use super::state::{Prepared, Tiles};
use super::{Answered, BENCH, STOP};
use crate::messages;
use crate::protocol::{Inputs, Step, WorkerResponse};
use crate::slice::middle_of;

/// What a run has, and tells.
struct Run {
    prepared: Rc<Prepared>,
    session: Session,
    teller: ProgressReporter,
    start_ms: f64,
}

/// Runs the network as planned, or as near to it as the GPU allows.
///
/// # Errors
/// In words for the person at the page.
pub async fn segment(id: u32, inputs: &Inputs) -> Answered {
    let plan = BENCH.with_borrow(|bench| bench.plan.clone()).ok_or("no run is planned")?;
    let mut run = Run::begin(id, inputs, 1)?;
    let ran = until_stopped(run.whole(plan)).await;
    run.end(ran, None)
}

/// Runs the network on overlapping windows, and averages what it says: another function.
///
/// # Errors
/// In words for the person at the page.
pub async fn segment_in_windows(id: u32, inputs: &Inputs) -> Answered {
    let windows = BENCH.with_borrow(|bench| bench.windows.clone());
    let windows = windows.ok_or("no run in windows is planned")?;
    let number = windows.tiling.num_tiles();
    let mut run = Run::begin(id, inputs, number)?;
    let ran = until_stopped(run.windows(windows)).await;
    run.end(ran, Some(number))
}

/// What a run comes to. Where it is stopped it is given up as soon as it waits; what the GPU was handed
/// before it still does, and the engine's next run waits for that before it takes memory.
async fn until_stopped<T>(run: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let (stop, registration) = AbortHandle::new_pair();
    STOP.set(Some(stop));
    Abortable::new(run, registration).await.unwrap_or(Err(Error::Cancelled))
}

impl Run {
    fn begin(id: u32, inputs: &Inputs, num_windows: usize) -> Result<Run, String> {
        BENCH.with_borrow_mut(|bench| {
            let prepared = bench.prepared_of(inputs)?;
            let session = std::mem::take(&mut bench.session);
            let teller = ProgressReporter::new(id, num_windows);
            Ok(Run { prepared, session, teller, start_ms: Date::now() })
        })
    }

    /// The network's output of an input, with the plan that it ran on.
    async fn network(&mut self, input: &Input, plan: Plan) -> Result<(Output, Plan), Error> {
        let teller = &mut self.teller;
        let mut tell = |news: SessionEvent| {
            teller.tell(news);
            ControlFlow::Continue(())
        };
        let weights = &self.prepared.bundle.weights;
        let run = self.session.run(Engine::new, plan, weights, &input.values, &mut tell);
        let ran = run.await?;
        Ok((ran.output, ran.plan))
    }

    async fn whole(&mut self, plan: Plan) -> Result<(LabelMap, Plan), Error> {
        let prepared = self.prepared.clone();
        let (output, plan) = self.network(&prepared.input, plan).await?;
        self.teller.say(Step::PlaceLabels, 1.0);
        let map = match output {
            Output::Labels(labels) => prepared.placement.restore(&labels),
            Output::Logits(logits) => {
                postprocess(&logits, &prepared.bundle.card.task, &prepared.placement)
            }
        };
        Ok((map, plan))
    }

    async fn windows(&mut self, windows: Tiles) -> Result<(LabelMap, Plan), Error> {
        let prepared = self.prepared.clone();
        let Tiles { tiling, mut plan } = windows;
        let task = &prepared.bundle.card.task;
        let num_voxels: usize = prepared.input.dims.iter().product();
        let mut sum = vec![0.0; task.num_outputs() * num_voxels];
        for number in 0..tiling.num_tiles() {
            self.teller.begin_window(number);
            let input = tiling.extract(&prepared.input, number);
            // Where one window had to give way, the next ones do at once.
            let (output, ran) = self.network(&input, plan).await?;
            plan = ran;
            if let Output::Logits(logits) = output {
                tiling.add_weighted(&logits, number, &mut sum);
            }
        }
        self.teller.say(Step::PlaceLabels, 1.0);
        Ok((postprocess(&sum, task, &prepared.placement), plan))
    }

    /// The answer; the GPU is kept for the next run.
    fn end(self, ran: Result<(LabelMap, Plan), Error>, num_windows: Option<usize>) -> Answered {
        let Run { prepared, session, teller, start_ms, .. } = self;
        let adapter = session.gpu().map(|gpu| gpu.adapter_name().to_string()).unwrap_or_default();
        BENCH.with_borrow_mut(|bench| bench.session = session);
        let (map, plan) = match ran {
            Ok(ran) => ran,
            Err(Error::Cancelled) => return Ok((WorkerResponse::Cancelled, Vec::new())),
            Err(error) => return Err(messages::failure(&error)),
        };
        let codes = Uint8Array::from(map.labels()).into();
        let answer = WorkerResponse::Segmented {
            model: prepared.inputs.model.clone(),
            middle: middle_of(&map),
            grid: map.grid().clone(),
            elapsed_secs: (Date::now() - start_ms) / 1000.0,
            adapter,
            setbacks: messages::setbacks(&teller.setbacks, "Ran", plan.footprint.total_bytes),
            plan: prepared.stated(&plan),
            num_windows,
        };
        Ok((answer, vec![codes]))
    }
}
