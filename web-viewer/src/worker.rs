//! The worker: decoding, preprocessing and the network, off the page's thread so that the page
//! never freezes. It is the same WebAssembly as the page's.

mod progress_reporter;
mod run;
mod state;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures_util::future::{AbortHandle, FutureExt, LocalBoxFuture, Shared};
use js_sys::{Array, Float32Array, Uint8Array};
use model_core::formats::nifti::Reader;
use model_core::{Bundle, Grid, Volume};
use shaders::{Engine, Preference};
use wasm_bindgen::prelude::*;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

use crate::protocol::{self, Inputs, LinkHeader, ModelId, Planned, WorkerRequest, WorkerResponse};
use crate::slice::middle_of;
use crate::{life, messages, share};
use state::{Model, WorkerState};

thread_local! {
    static BENCH: RefCell<WorkerState> = RefCell::default();
    /// Stops the run that goes on.
    static STOP: RefCell<Option<AbortHandle>> = RefCell::default();
    static PREFERENCE: RefCell<Option<Shared<LocalBoxFuture<'static, Preference>>>> =
        RefCell::default();
    /// The plan that was asked for last; one before it that is still being made is needless.
    static NEWEST: Cell<u32> = const { Cell::new(0) };
}

/// An answer, with the arrays sent along.
type Answered = Result<(WorkerResponse, Vec<JsValue>), String>;

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
                answered.unwrap_or_else(|message| (WorkerResponse::Failed(message), Vec::new()));
            post(id, &answer, &arrays);
        });
    });
    scope().set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    on_message.forget();
    life::hold(&scope().name(), || post(0, &WorkerResponse::Ready, &[]));
}

fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// Sends an answer; the arrays' memory changes hands.
fn post(id: u32, answer: &WorkerResponse, arrays: &[JsValue]) {
    let json = serde_json::to_string(answer).expect("an answer is plain data");
    let sent: Array = arrays.iter().collect();
    let message = Array::of3(&id.into(), &json.into(), &sent);
    let buffers: Array =
        arrays.iter().map(|array| array.unchecked_ref::<Uint8Array>().buffer()).collect();
    if let Err(error) = scope().post_message_with_transfer(&message, &buffers) {
        wasm_bindgen::throw_val(error);
    }
}

async fn answer(id: u32, ask: WorkerRequest, bytes: JsValue) -> Answered {
    match ask {
        WorkerRequest::OpenBundle { number, file } => {
            open_bundle(number, &file, &Uint8Array::new(&bytes).to_vec())
        }
        WorkerRequest::ReadScan { number, file } => {
            read_scan(number, &file, &Uint8Array::new(&bytes).to_vec())
        }
        WorkerRequest::KeepScan { number, channel, grid } => {
            keep_scan((number, channel), grid, Float32Array::new(&bytes).to_vec())
        }
        WorkerRequest::Release { number } => {
            BENCH.with_borrow_mut(|bench| bench.release(number));
            done()
        }
        WorkerRequest::ReadLink { fragment } => read_link(&fragment),
        WorkerRequest::Plan { inputs, budget_bytes, most_bytes } => {
            plan(inputs, budget_bytes, most_bytes).await
        }
        WorkerRequest::Segment { inputs, in_windows: false } => run::segment(id, &inputs).await,
        WorkerRequest::Segment { inputs, in_windows: true } => {
            run::segment_in_windows(id, &inputs).await
        }
        WorkerRequest::Cancel => {
            STOP.with_borrow(|stop| stop.iter().for_each(AbortHandle::abort));
            done()
        }
    }
}

fn done() -> Answered {
    Ok((WorkerResponse::Done, Vec::new()))
}

fn open_bundle(number: u32, file: &str, bytes: &[u8]) -> Answered {
    let bundle = Bundle::from_bytes(bytes).map_err(|e| e.in_file(file).to_string())?;
    let model = ModelId { number, hash: bundle.hash() };
    let card = Box::new(bundle.card.clone());
    let open = Model { hash: model.hash.clone(), bundle: Rc::new(bundle) };
    BENCH.with_borrow_mut(|bench| bench.models.insert(number, open));
    Ok((WorkerResponse::Bundle { model, card }, Vec::new()))
}

fn read_scan(number: u32, file: &str, bytes: &[u8]) -> Answered {
    let about = |error: model_core::Error| error.in_file(file).to_string();
    let reader = Reader::open(bytes).map_err(about)?;
    let warnings = reader.warnings();
    let volumes = reader.scan().map_err(about)?.volumes;
    let grid = volumes[0].grid().clone();
    let arrays = volumes.iter().map(|volume| Float32Array::from(volume.values()).into());
    let arrays = arrays.collect();
    BENCH.with_borrow_mut(|bench| {
        let channels = volumes.into_iter().enumerate();
        bench.scans.extend(channels.map(|(channel, volume)| ((number, channel), volume)));
    });
    Ok((WorkerResponse::Scan { grid, warnings }, arrays))
}

fn keep_scan(place: (u32, usize), grid: Grid, voxels: Vec<f32>) -> Answered {
    let volume = Volume::new(grid, voxels).map_err(|error| error.to_string())?;
    BENCH.with_borrow_mut(|bench| bench.scans.insert(place, volume));
    done()
}

fn read_link(fragment: &str) -> Answered {
    let shared = share::decode(fragment).map_err(|error| error.to_string())?;
    let middle = middle_of(&shared.labels);
    let (header, labels) = LinkHeader::split(shared);
    let header = Box::new(header);
    Ok((WorkerResponse::Link { header, middle }, vec![Uint8Array::from(&labels[..]).into()]))
}

async fn plan(inputs: Inputs, budget_bytes: u64, most_bytes: u64) -> Answered {
    let asked = NEWEST.get() + 1;
    NEWEST.set(asked);
    let preference = preference().await;
    if NEWEST.get() != asked {
        // What it was asked of may be gone, and the newer plan stand.
        return done();
    }
    let planned = BENCH.with_borrow_mut(|bench| {
        let prepared = bench.prepare(&inputs)?;
        (bench.plan, bench.windows) = (None, None);
        match shaders::Plan::preferring(preference, &prepared.program, budget_bytes) {
            Ok(plan) => {
                let stated = prepared.stated(&plan);
                bench.plan = Some(plan);
                Ok(Planned::Fits(stated))
            }
            Err(error @ shaders::Error::Budget { smallest_bytes, .. }) => {
                // Never where more memory would do: the result is another.
                if smallest_bytes > most_bytes {
                    bench.windows = prepared.windows(preference, budget_bytes);
                }
                let windows = bench.windows.as_ref().map(|windows| protocol::Tiles {
                    number: windows.tiling.num_tiles(),
                    plan: prepared.stated(&windows.plan),
                });
                Ok(Planned::Exceeds { smallest_bytes, message: error.to_string(), windows })
            }
            Err(error) => Err(messages::failure(&error)),
        }
    })?;
    Ok((WorkerResponse::Planned { model: inputs.model, planned }, Vec::new()))
}

/// What is faster on the GPU, which is opened for it, once: plans that overlap wait for the same. Without
/// a GPU it is the default, and the run will say so.
fn preference() -> Shared<LocalBoxFuture<'static, Preference>> {
    let found = async {
        // No run has it: none was planned before this was known.
        let mut session = BENCH.with_borrow_mut(|bench| std::mem::take(&mut bench.session));
        let preference = match session.opened(Engine::new).await {
            Ok(engine) => engine.preference().await,
            Err(_) => Preference::default(),
        };
        BENCH.with_borrow_mut(|bench| bench.session = session);
        preference
    };
    PREFERENCE
        .with_borrow_mut(|known| known.get_or_insert_with(|| found.boxed_local().shared()).clone())
}
