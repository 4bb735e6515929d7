//! A run in the worker, and what the page is told meanwhile.

use std::ops::ControlFlow;

use js_sys::Uint8Array;
use model_core::postprocess;
use shaders::{Engine, News, Output};

use super::bench::Prepared;
use super::{Answered, BENCH, IS_CANCELLED, post};
use crate::protocol::{Answer, Progress, Step};
use crate::words;

/// As often as a screen is drawn, nearly; a fast GPU has more to tell.
const LEAST_MS_BETWEEN_PROGRESS: f64 = 30.0;

/// Runs the network as planned, or as near to it as the GPU allows.
///
/// # Errors
/// In words for the person at the page.
pub async fn segment(id: u32) -> Answered {
    IS_CANCELLED.set(false);
    let start_ms = js_sys::Date::now();
    let (prepared, plan, mut session) = BENCH.with_borrow_mut(|bench| {
        let prepared = bench.prepared.clone().ok_or("no scan is chosen")?;
        let plan = bench.plan.clone().ok_or("no run is planned")?;
        Ok::<_, String>((prepared, plan, std::mem::take(&mut bench.session)))
    })?;
    let Prepared { bundle, input, placement, .. } = &*prepared;
    let mut teller = Teller::new(id, plan.steps.len());
    let mut tell = |news: News| {
        teller.tell(news);
        if IS_CANCELLED.get() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let weights = &bundle.weights;
    let ran = session.run(Engine::new, plan, weights, &input.values, &mut tell).await;
    let adapter = session.gpu().map(|gpu| gpu.adapter_name().to_string()).unwrap_or_default();
    BENCH.with_borrow_mut(|bench| bench.session = session);
    let ran = match ran {
        Ok(ran) => ran,
        Err(shaders::Error::Cancelled) => return Ok((Answer::Cancelled, Vec::new())),
        Err(error) => return Err(error.to_string()),
    };
    teller.say(Step::PlaceLabels, 1.0);
    let map = match ran.output {
        Output::Labels(labels) => placement.restore(&labels),
        Output::Logits(logits) => postprocess(&logits, &bundle.card.task, placement),
    };
    let answer = Answer::Segmented {
        grid: map.grid,
        elapsed_secs: (js_sys::Date::now() - start_ms) / 1000.0,
        adapter,
        setbacks: words::setbacks(&teller.setbacks, "Ran", ran.plan.footprint.total_bytes),
        plan: prepared.stated(&ran.plan),
    };
    Ok((answer, vec![Uint8Array::from(&map.labels[..]).into()]))
}

/// Tells the page how far a run is.
struct Teller {
    id: u32,
    steps: [usize; 2],
    last_ms: f64,
    setbacks: Vec<String>,
    /// The bytes of the plan that runs after them.
    next_bytes: u64,
}

impl Teller {
    fn new(id: u32, num_steps: usize) -> Teller {
        Teller { id, steps: [0, num_steps], last_ms: 0.0, setbacks: Vec::new(), next_bytes: 0 }
    }

    fn tell(&mut self, news: News) {
        match news {
            News::Opening => self.say(Step::OpenGpu, 0.0),
            News::Setback { setback, next } => {
                self.setbacks.push(setback.to_string());
                self.next_bytes = next.footprint.total_bytes;
                self.steps = [0, next.steps.len()];
                self.say(Step::Network, 0.0);
            }
            News::Progress(progress) => {
                self.steps = [progress.done_steps, progress.total_steps];
                let total = progress.total_multiply_adds.max(1) as f64;
                if js_sys::Date::now() - self.last_ms >= LEAST_MS_BETWEEN_PROGRESS {
                    self.say(Step::Network, progress.done_multiply_adds as f64 / total);
                }
            }
        }
    }

    fn say(&mut self, step: Step, share: f64) {
        self.last_ms = js_sys::Date::now();
        let setbacks = words::setbacks(&self.setbacks, "Running", self.next_bytes);
        let progress = Progress { step, steps: self.steps, share, setbacks };
        post(self.id, &Answer::Progress(progress), &[]);
    }
}
