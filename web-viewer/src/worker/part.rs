//! A worker that computes one part of a run on the processor. It has a thread and memory of its own,
//! and exchanges borders and statistics with the other parts by messages.

use std::ops::ControlFlow;

use futures_channel::mpsc::{UnboundedReceiver, unbounded};
use futures_util::StreamExt;
use js_sys::{Array, Date, Float32Array, Float64Array, Uint8Array};
use model_core::cpu::{CpuError, CpuOutput, CpuPlan, Part, Peers};
use model_core::{Bundle, Program};
use wasm_bindgen::prelude::*;
use web_sys::{MessageEvent, MessagePort};

use super::reply::{post_json, scope};
use crate::protocol::{PartRequest, PartResponse};

/// The least time between two reports of progress.
const MIN_REPORT_INTERVAL_MS: f64 = 30.0;

/// The beginning of the names of these workers.
pub const NAME: &str = "rewind-part";

/// Starts to listen, then sends [`PartResponse::Ready`].
pub fn start() {
    let on_message = Closure::<dyn Fn(MessageEvent)>::new(|event: MessageEvent| {
        let message = Array::from(&event.data());
        wasm_bindgen_futures::spawn_local(async move {
            let (response, array) = handle(message).await;
            post_json(&response, array);
        });
    });
    scope().set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    on_message.forget();
    post_json(&PartResponse::Ready, None);
}

/// Handles `[request, bundle, input, ports]`.
async fn handle(message: Array) -> (PartResponse, Option<JsValue>) {
    let json = message.get(0).as_string().unwrap_or_default();
    let result = match model_core::from_json(&json) {
        Ok(PartRequest::Trial) => return (PartResponse::Trial(trial()), None),
        Ok(PartRequest::Run { dims, decides, part: [index, count], channel_splits }) => {
            let bundle = Uint8Array::new(&message.get(1)).to_vec();
            let input = Float32Array::new(&message.get(2)).to_vec();
            let peers = Ports::new(Part { index, count }, &Array::from(&message.get(3)));
            run(&bundle, dims, decides, channel_splits, input, peers).await
        }
        Err(error) => Err(CpuError::Peer(format!("the workers do not match: {error}"))),
    };
    match result {
        Ok(CpuOutput::Labels(labels)) => {
            (PartResponse::Labels, Some(Uint8Array::from(&labels[..]).into()))
        }
        Ok(CpuOutput::Logits(logits)) => {
            (PartResponse::Logits, Some(Float32Array::from(&logits[..]).into()))
        }
        Err(CpuError::OutOfMemory { needed_bytes }) => {
            (PartResponse::OutOfMemory(needed_bytes), None)
        }
        Err(error) => (PartResponse::Failed(error.to_string()), None),
    }
}

async fn run(
    bundle: &[u8],
    dims: [usize; 3],
    decides: bool,
    channel_splits: usize,
    input: Vec<f32>,
    mut peers: Ports,
) -> Result<CpuOutput, CpuError> {
    let failed = |error: model_core::Error| CpuError::Peer(error.to_string());
    let Bundle { card, weights } = Bundle::from_bytes(bundle).map_err(failed)?;
    let mut program = Program::new(&card.network, dims).map_err(failed)?;
    if decides {
        program = program.deciding(&card.task);
    }
    let plan = CpuPlan::new(&program, peers.part, channel_splits).map_err(failed)?;
    plan.run_part(&weights, &input, &mut peers).await
}

/// Measures a fixed computation: about 10⁸ multiply-adds of a pointwise convolution.
fn trial() -> f64 {
    use cpu_kernels::channels::Channels;
    use cpu_kernels::pointwise::Pointwise;
    const VOXELS: usize = 1 << 14;
    let convolution = Pointwise::new(32, 32, None, |o, c| (o * c % 7) as f32);
    let (input, mut output) = (vec![1.0; 32 * VOXELS], vec![0.0; 32 * VOXELS]);
    let start = Date::now();
    for _ in 0..6 {
        convolution.forward(Channels::new(&input, None), &mut output, 0..VOXELS, false, false);
    }
    Date::now() - start
}

/// Connections to the other parts.
struct Ports {
    part: Part,
    /// A port to each part and the messages from it; `None` for this part.
    ports: Vec<Option<(MessagePort, UnboundedReceiver<JsValue>)>>,
    last_report_ms: f64,
}

impl Ports {
    fn new(part: Part, ports: &Array) -> Ports {
        let open = |port: JsValue| {
            let port: MessagePort = port.dyn_into().ok()?;
            let (sender, receiver) = unbounded();
            let on_message = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
                // The receiver is dropped when the run ends.
                let _ = sender.unbounded_send(event.data());
            });
            port.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
            on_message.forget();
            Some((port, receiver))
        };
        Ports { part, ports: ports.iter().map(open).collect(), last_report_ms: 0.0 }
    }

    fn send(&self, to: usize, values: &JsValue, buffer: &JsValue) -> Result<(), CpuError> {
        let Some(Some((port, _))) = self.ports.get(to) else {
            return Err(CpuError::Peer(format!("no connection to part {to}")));
        };
        let sent = port.post_message_with_transferable(values, &Array::of1(buffer));
        sent.map_err(|error| CpuError::Peer(format!("{error:?}")))
    }

    async fn receive(&mut self, from: usize) -> Result<JsValue, CpuError> {
        let Some(Some((_, messages))) = self.ports.get_mut(from) else {
            return Err(CpuError::Peer(format!("no connection to part {from}")));
        };
        messages.next().await.ok_or_else(|| CpuError::Peer(format!("part {from} ended")))
    }

    fn send_planes(&self, to: usize, planes: Option<Vec<f32>>) -> Result<(), CpuError> {
        let Some(planes) = planes else { return Ok(()) };
        let planes = Float32Array::from(&planes[..]);
        self.send(to, &planes, &planes.buffer())
    }
}

impl Peers for Ports {
    async fn gather(&mut self, values: Vec<f64>) -> Result<Vec<Vec<f64>>, CpuError> {
        let others = (0..self.part.count).filter(|&part| part != self.part.index);
        for part in others {
            let values = Float64Array::from(&values[..]);
            self.send(part, &values, &values.buffer())?;
        }
        let mut all = Vec::new();
        for part in 0..self.part.count {
            all.push(match part == self.part.index {
                true => values.clone(),
                false => Float64Array::new(&self.receive(part).await?).to_vec(),
            });
        }
        Ok(all)
    }

    async fn exchange(
        &mut self,
        to_before: Option<Vec<f32>>,
        to_after: Option<Vec<f32>>,
    ) -> Result<[Option<Vec<f32>>; 2], CpuError> {
        let neighbors = [to_before.is_some(), to_after.is_some()];
        let parts = [self.part.index.wrapping_sub(1), self.part.index + 1];
        self.send_planes(parts[0], to_before)?;
        self.send_planes(parts[1], to_after)?;
        let mut received = [None, None];
        for side in 0..2 {
            if neighbors[side] {
                received[side] =
                    Some(Float32Array::new(&self.receive(parts[side]).await?).to_vec());
            }
        }
        Ok(received)
    }

    async fn progress(&mut self, fraction: f64) -> ControlFlow<()> {
        if Date::now() - self.last_report_ms >= MIN_REPORT_INTERVAL_MS {
            self.last_report_ms = Date::now();
            post_json(&PartResponse::Progress(fraction), None);
        }
        // A run is canceled by ending its workers.
        ControlFlow::Continue(())
    }
}
