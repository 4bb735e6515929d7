//! The worker: decoding, preprocessing and the network, off the page's thread so that the page
//! never freezes. It is the same WebAssembly as the page's.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::rc::Rc;

use js_sys::{Array, Float32Array, Uint8Array};
use model_core::{Bundle, Error, Input, Placement, Program, Volume, postprocess, preprocess};
use shaders::{Engine, Output};
use wasm_bindgen::prelude::*;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

use crate::protocol::{Answer, Ask, Plan, Progress, Step};

/// What the worker holds between messages.
#[derive(Default)]
struct Bench {
    bundle: Option<Rc<Bundle>>,
    scans: HashMap<(u32, usize), Volume>,
    prepared: Option<Rc<Prepared>>,
    engine: Option<Rc<Engine>>,
}

/// A run that can start.
struct Prepared {
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
                bench.prepared = None;
            });
            Ok((Answer::Done, Vec::new()))
        }
        Ask::Plan { channels } => plan(&channels),
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
        bench.prepared = None;
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

fn plan(channels: &[(u32, usize)]) -> Answered {
    let prepared = BENCH.with_borrow_mut(|bench| {
        bench.prepared = None;
        let bundle = bench.bundle.clone().ok_or("no model is open")?;
        // Taken out and put back: a copy would double the largest thing in memory.
        let taken = channels.iter().map(|place| Some((place, bench.scans.remove(place)?)));
        let (places, volumes): (Vec<_>, Vec<_>) = taken.flatten().unzip();
        let prepared = prepare(bundle, &volumes).map_err(|e| e.to_string());
        bench.scans.extend(places.into_iter().copied().zip(volumes));
        let prepared = Rc::new(prepared?);
        bench.prepared = Some(prepared.clone());
        Ok::<_, String>(prepared)
    })?;
    let footprint = Engine::footprint(&prepared.program, &prepared.bundle.weights);
    let plan = Plan {
        dims: prepared.input.dims,
        multiply_adds: prepared.program.total_multiply_adds(),
        gpu_bytes: footprint.total_bytes,
    };
    Ok((Answer::Plan(plan), Vec::new()))
}

fn prepare(bundle: Rc<Bundle>, channels: &[Volume]) -> Result<Prepared, Error> {
    let card = &bundle.card;
    let (input, placement) = preprocess(channels, &card.preprocess, &card.network)?;
    let mut program = Program::new(&card.network, input.dims)?;
    // A resampled scan needs logits, to interpolate them at the source's voxels.
    if !placement.is_resampled() {
        program = program.deciding(&card.task);
    }
    Ok(Prepared { bundle, program, input, placement })
}

async fn segment(id: u32) -> Answered {
    IS_CANCELLED.set(false);
    let start_ms = js_sys::Date::now();
    let prepared = BENCH.with_borrow(|bench| bench.prepared.clone()).ok_or("no scan is chosen")?;
    let Prepared { bundle, program, input, placement } = &*prepared;
    let tell = |step: Step, ops: [usize; 2], share: f64| {
        post(id, &Answer::Progress(Progress { step, ops, share }), &[]);
    };
    let num_ops = program.ops.len();
    tell(Step::OpenGpu, [0, num_ops], 0.0);
    let engine = opened().await?;
    tell(Step::Network, [0, num_ops], 0.0);
    let ran = engine
        .run(program, &bundle.weights, &input.values, &mut |progress| {
            let total = progress.total_multiply_adds.max(1) as f64;
            let share = progress.done_multiply_adds as f64 / total;
            tell(Step::Network, [progress.done_ops, progress.total_ops], share);
            match IS_CANCELLED.get() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })
        .await;
    let output = match ran {
        Ok(output) => output,
        Err(shaders::Error::Cancelled) => return Ok((Answer::Cancelled, Vec::new())),
        Err(error) => {
            // Whatever went wrong, the next run opens the GPU anew.
            BENCH.with_borrow_mut(|bench| bench.engine = None);
            return Err(error.to_string());
        }
    };
    tell(Step::PlaceLabels, [num_ops; 2], 1.0);
    let map = match output {
        Output::Labels(labels) => placement.restore(&labels),
        Output::Logits(logits) => postprocess(&logits, &bundle.card.task, placement),
    };
    let elapsed_secs = (js_sys::Date::now() - start_ms) / 1000.0;
    let adapter = engine.adapter_name().to_string();
    let codes = Uint8Array::from(&map.labels[..]).into();
    Ok((Answer::Segmented { grid: map.grid, elapsed_secs, adapter }, vec![codes]))
}

async fn opened() -> Result<Rc<Engine>, String> {
    if let Some(engine) = BENCH.with_borrow(|bench| bench.engine.clone()) {
        return Ok(engine);
    }
    let engine = Rc::new(Engine::new().await.map_err(|e| e.to_string())?);
    BENCH.with_borrow_mut(|bench| bench.engine = Some(engine.clone()));
    Ok(engine)
}
