//! The worker: decoding, preprocessing and the network, off the page's thread so that the page
//! never freezes. It is the same WebAssembly as the page's.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::rc::Rc;

use js_sys::{Array, Float32Array, Uint8Array};
use model_core::{Bundle, Error, Input, Placement, Program, Volume, postprocess, preprocess};
use shaders::kernels::Storage;
use shaders::{Engine, News, Output, Session};
use wasm_bindgen::prelude::*;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

use crate::protocol::{Answer, Ask, Plan, Planned, Progress, Step};
use crate::words;

/// As often as a screen is drawn, nearly; a fast GPU has more to tell.
const LEAST_MS_BETWEEN_PROGRESS: f64 = 30.0;

/// What the worker holds between messages.
#[derive(Default)]
struct Bench {
    bundle: Option<Rc<Bundle>>,
    scans: HashMap<(u32, usize), Volume>,
    prepared: Option<Rc<Prepared>>,
    plan: Option<shaders::Plan>,
    session: Session,
}

/// A scan as the network takes it, whatever the memory.
struct Prepared {
    channels: Vec<(u32, usize)>,
    bundle: Rc<Bundle>,
    program: Program,
    input: Input,
    placement: Placement,
}

thread_local! {
    static BENCH: RefCell<Bench> = RefCell::default();
    static IS_CANCELLED: Cell<bool> = const { Cell::new(false) };
}

/// An answer, with the arrays sent along.
type Answered = Result<(Answer, Vec<JsValue>), String>;

/// Listens, and says that it does: what is sent before would be lost.
pub fn start() {
    let on_message = Closure::<dyn Fn(MessageEvent)>::new(|event: MessageEvent| {
        let message = Array::from(&event.data());
        let id = message.get(0).as_f64().unwrap_or_default() as u32;
        let ask = message.get(1).as_string().unwrap_or_default();
        let bytes = message.get(2);
        wasm_bindgen_futures::spawn_local(async move {
            let answered = match serde_json::from_str(&ask) {
                Ok(ask) => answer(id, ask, bytes).await,
                Err(error) => Err(format!("the page and its worker do not fit: {error}")),
            };
            let (answer, arrays) =
                answered.unwrap_or_else(|message| (Answer::Failed(message), Vec::new()));
            post(id, &answer, &arrays);
        });
    });
    scope().set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    on_message.forget();
    post(0, &Answer::Ready, &[]);
}

fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// Sends an answer; the arrays' memory changes hands.
fn post(id: u32, answer: &Answer, arrays: &[JsValue]) {
    let json = serde_json::to_string(answer).expect("an answer is plain data");
    let sent: Array = arrays.iter().collect();
    let message = Array::of3(&id.into(), &json.into(), &sent);
    let buffers: Array =
        arrays.iter().map(|array| array.unchecked_ref::<Uint8Array>().buffer()).collect();
    if let Err(error) = scope().post_message_with_transfer(&message, &buffers) {
        wasm_bindgen::throw_val(error);
    }
}

async fn answer(id: u32, ask: Ask, bytes: JsValue) -> Answered {
    match ask {
        Ask::OpenBundle { file } => open_bundle(&file, &Uint8Array::new(&bytes).to_vec()),
        Ask::ReadScan { scan, file } => read_scan(scan, &file, &Uint8Array::new(&bytes).to_vec()),
        Ask::Keep { scans } => {
            BENCH.with_borrow_mut(|bench| {
                bench.scans.retain(|(scan, _), _| scans.contains(scan));
                bench.forget_run();
            });
            Ok((Answer::Done, Vec::new()))
        }
        Ask::Plan { channels, budget_bytes } => plan(&channels, budget_bytes),
        Ask::Segment => segment(id).await,
        Ask::Cancel => {
            IS_CANCELLED.set(true);
            Ok((Answer::Done, Vec::new()))
        }
    }
}

fn open_bundle(file: &str, bytes: &[u8]) -> Answered {
    let bundle = Bundle::from_bytes(bytes).map_err(|e| e.in_file(file).to_string())?;
    let (card, hash) = (Box::new(bundle.card.clone()), bundle.hash());
    BENCH.with_borrow_mut(|bench| {
        bench.bundle = Some(Rc::new(bundle));
        bench.forget_run();
    });
    Ok((Answer::Bundle { card, hash }, Vec::new()))
}

fn read_scan(scan: u32, file: &str, bytes: &[u8]) -> Answered {
    let volumes = model_core::nifti::read(bytes).map_err(|e| e.in_file(file).to_string())?;
    let grid = volumes[0].grid.clone();
    let arrays = volumes.iter().map(|volume| Float32Array::from(&volume.voxels[..]).into());
    let arrays = arrays.collect();
    BENCH.with_borrow_mut(|bench| {
        for (n, volume) in volumes.into_iter().enumerate() {
            bench.scans.insert((scan, n), volume);
        }
    });
    Ok((Answer::Scan { grid }, arrays))
}

impl Bench {
    /// Drops what was prepared for a run.
    fn forget_run(&mut self) {
        self.prepared = None;
        self.plan = None;
    }

    /// The network's input of these channels, made once.
    fn prepared(&mut self, channels: &[(u32, usize)]) -> Result<Rc<Prepared>, String> {
        let same = self.prepared.as_ref().filter(|prepared| prepared.channels == channels);
        if let Some(prepared) = same {
            return Ok(prepared.clone());
        }
        self.forget_run();
        let bundle = self.bundle.clone().ok_or("no model is open")?;
        // Taken out and put back: a copy would double the largest thing in memory.
        let taken = channels.iter().map(|place| Some((*place, self.scans.remove(place)?)));
        let (places, volumes): (Vec<_>, Vec<_>) = taken.flatten().unzip();
        let prepared = prepare(channels, bundle, &volumes).map_err(|e| e.to_string());
        self.scans.extend(places.into_iter().zip(volumes));
        let prepared = Rc::new(prepared?);
        self.prepared = Some(prepared.clone());
        Ok(prepared)
    }
}

fn plan(channels: &[(u32, usize)], budget_bytes: u64) -> Answered {
    let planned = BENCH.with_borrow_mut(|bench| {
        let prepared = bench.prepared(channels)?;
        bench.plan = None;
        match shaders::Plan::within(&prepared.program, budget_bytes) {
            Ok(plan) => {
                let stated = stated(&plan, &prepared);
                bench.plan = Some(plan);
                Ok(Planned::Fits(stated))
            }
            Err(error @ shaders::Error::Budget { smallest_bytes, .. }) => {
                Ok(Planned::Exceeds { smallest_bytes, message: error.to_string() })
            }
            Err(error) => Err(error.to_string()),
        }
    })?;
    Ok((Answer::Planned(planned), Vec::new()))
}

fn stated(plan: &shaders::Plan, prepared: &Prepared) -> Plan {
    Plan {
        dims: prepared.input.dims,
        multiply_adds: plan.multiply_adds(),
        gpu_bytes: plan.footprint.total_bytes,
        bits: match plan.manner.storage {
            Storage::F32 => 32,
            Storage::F16 => 16,
        },
    }
}

fn prepare(
    channels: &[(u32, usize)],
    bundle: Rc<Bundle>,
    volumes: &[Volume],
) -> Result<Prepared, Error> {
    let card = &bundle.card;
    let (input, placement) = preprocess(volumes, &card.preprocess, &card.network)?;
    let mut program = Program::new(&card.network, input.dims)?;
    // A resampled scan needs logits, to interpolate them at the source's voxels.
    if !placement.is_resampled() {
        program = program.deciding(&card.task);
    }
    Ok(Prepared { channels: channels.to_vec(), bundle, program, input, placement })
}

async fn segment(id: u32) -> Answered {
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
        plan: stated(&ran.plan, &prepared),
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
