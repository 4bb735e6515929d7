//! The workers that compute a run on the processor, one part each.

use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_util::StreamExt;
use js_sys::{Array, Float32Array, Uint8Array};
use model_core::Input;
use model_core::cpu::{CpuError, CpuPlan};
use shaders::Output;
use wasm_bindgen::prelude::*;
use web_sys::{MessageChannel, MessageEvent, Worker};

use super::part;
use crate::protocol::{PartRequest, PartResponse};
use crate::worker_script;

/// The most workers. More exchange so many borders that they gain little.
const MAX_WORKERS: usize = 8;

/// A message of a worker, or the reason why it ended.
type FromWorker = (usize, Result<JsValue, String>);

/// Workers that compute parts of a run. Dropping the team ends them.
pub struct Team {
    workers: Vec<Worker>,
    sender: UnboundedSender<FromWorker>,
    messages: UnboundedReceiver<FromWorker>,
}

impl Default for Team {
    fn default() -> Self {
        let (sender, messages) = unbounded();
        Team { workers: Vec::new(), sender, messages }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.workers.iter().for_each(Worker::terminate);
    }
}

impl Team {
    /// Starts or ends workers, so that there are `count`.
    async fn resize(&mut self, count: usize) -> Result<(), CpuError> {
        self.workers.drain(count.min(self.workers.len())..).for_each(|worker| worker.terminate());
        let first = self.workers.len();
        for index in first..count {
            let worker = self.spawn(index).map_err(|error| peer_error(&error))?;
            self.workers.push(worker);
        }
        for _ in first..count {
            match self.next().await? {
                (_, PartResponse::Ready, _) => {}
                (_, response, _) => return Err(unexpected(&response)),
            }
        }
        Ok(())
    }

    fn spawn(&self, index: usize) -> Result<Worker, JsValue> {
        let worker = worker_script::start(&format!("{}-{index}", part::NAME))?;
        let sender = self.sender.clone();
        let on_message = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
            let _ = sender.unbounded_send((index, Ok(event.data())));
        });
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        on_message.forget();
        let sender = self.sender.clone();
        let on_error = Closure::<dyn Fn(JsValue)>::new(move |error: JsValue| {
            let reason = worker_script::error_text(&error, "its program cannot be loaded");
            let _ = sender.unbounded_send((index, Err(reason)));
        });
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        on_error.forget();
        Ok(worker)
    }

    /// Waits for a message: the worker, its response and the accompanying array.
    async fn next(&mut self) -> Result<(usize, PartResponse, JsValue), CpuError> {
        let (index, message) = self.messages.next().await.expect("the team holds a sender");
        let message = Array::from(&message.map_err(CpuError::Peer)?);
        let json = message.get(0).as_string().unwrap_or_default();
        let response = model_core::from_json(&json);
        let response = response.map_err(|error| CpuError::Peer(error.to_string()))?;
        Ok((index, response, message.get(1)))
    }

    /// Measures how many workers are worthwhile: as many as compute at the same time without
    /// slowing each other down, at most the browser's number of processors.
    ///
    /// # Errors
    /// [`CpuError::Peer`] if no worker can be started.
    pub async fn measure(&mut self) -> Result<usize, CpuError> {
        let most = worker_script::num_processors().clamp(1, MAX_WORKERS);
        self.resize(1).await?;
        // The first trial compiles.
        self.trial(1).await?;
        let alone = self.trial(1).await?;
        if most == 1 || self.resize(most).await.is_err() {
            return Ok(1);
        }
        self.trial(most).await?;
        let together = self.trial(most).await?;
        let speedup = most as f64 * alone.max(1.0) / together.max(1.0);
        Ok(((speedup + 0.3) as usize).clamp(1, most))
    }

    /// Runs the trial on `count` workers at the same time, and returns the longest duration.
    async fn trial(&mut self, count: usize) -> Result<f64, CpuError> {
        for worker in &self.workers[..count] {
            post(worker, &PartRequest::Trial, &[], &[])?;
        }
        let mut longest = 0.0f64;
        for _ in 0..count {
            match self.next().await? {
                (_, PartResponse::Trial(ms), _) => longest = longest.max(ms),
                (_, response, _) => return Err(unexpected(&response)),
            }
        }
        Ok(longest)
    }

    /// Runs all parts of the program of a bundle's file and joins their results. `on_progress` receives the fraction that
    /// all parts have completed.
    ///
    /// # Errors
    /// The errors of [`CpuPlan::run_part`]. The team must not be used after an error.
    pub async fn run(
        &mut self,
        plans: &[CpuPlan],
        bundle: &[u8],
        decides: bool,
        input: &Input,
        mut on_progress: impl FnMut(f64),
    ) -> Result<Output, CpuError> {
        self.resize(plans.len()).await?;
        let ports = connect(plans.len()).map_err(|error| peer_error(&error))?;
        let plane = input.dims[0] * input.dims[1];
        for ((worker, plan), ports) in self.workers.iter().zip(plans).zip(ports) {
            let planes = plan.input_planes();
            let own = planes.start * plane..planes.end * plane;
            let values = Float32Array::new_with_length((input.channels * own.len()) as u32);
            let channels = input.values.chunks_exact(plane * input.dims[2]);
            for (n, channel) in channels.enumerate() {
                let at = (n * own.len()) as u32;
                values.subarray(at, at + own.len() as u32).copy_from(&channel[own.clone()]);
            }
            let bundle = Uint8Array::from(bundle);
            let request = PartRequest::Run {
                dims: input.dims,
                decides,
                part: [plan.part.index, plan.part.count],
                channel_splits: plan.channel_splits,
            };
            let transferred: Vec<JsValue> = [bundle.buffer().into(), values.buffer().into()]
                .into_iter()
                .chain(ports.iter().filter(JsValue::is_object))
                .collect();
            post(worker, &request, &[bundle.into(), values.into(), ports.into()], &transferred)?;
        }
        let mut fractions = vec![0.0; plans.len()];
        let mut output = Joined::new(plans, input.dims, decides);
        let mut open = plans.len();
        while open > 0 {
            match self.next().await? {
                (index, PartResponse::Progress(fraction), _) => {
                    fractions[index] = fraction;
                    on_progress(fractions.iter().sum::<f64>() / fractions.len() as f64);
                }
                (index, PartResponse::Labels | PartResponse::Logits, array) => {
                    output.put(&plans[index], &array)?;
                    (fractions[index], open) = (1.0, open - 1);
                }
                (_, PartResponse::OutOfMemory(_), _) => {
                    let needed_bytes = model_core::cpu::total_bytes(plans);
                    return Err(CpuError::OutOfMemory { needed_bytes });
                }
                (_, PartResponse::Failed(reason), _) => return Err(CpuError::Peer(reason)),
                (_, response, _) => return Err(unexpected(&response)),
            }
        }
        Ok(output.output)
    }
}

/// Makes a channel between any two parts. Returns the ports of each part to all parts, with null for
/// itself.
fn connect(count: usize) -> Result<Vec<Array>, JsValue> {
    let ports: Vec<Array> = (0..count).map(|_| Array::new_with_length(count as u32)).collect();
    for part in &ports {
        part.fill(&JsValue::NULL, 0, count as u32);
    }
    for a in 0..count {
        for b in a + 1..count {
            let channel = MessageChannel::new()?;
            ports[a].set(b as u32, channel.port1().into());
            ports[b].set(a as u32, channel.port2().into());
        }
    }
    Ok(ports)
}

fn post(
    worker: &Worker,
    request: &PartRequest,
    arrays: &[JsValue],
    transferred: &[JsValue],
) -> Result<(), CpuError> {
    let json = serde_json::to_string(request).expect("a request is plain data");
    let message: Array =
        std::iter::once(JsValue::from(json)).chain(arrays.iter().cloned()).collect();
    let transferred: Array = transferred.iter().collect();
    let posted = worker.post_message_with_transfer(&message, &transferred);
    posted.map_err(|error| peer_error(&error))
}

fn peer_error(error: &JsValue) -> CpuError {
    CpuError::Peer(worker_script::error_text(error, "a worker cannot be started"))
}

fn unexpected(response: &PartResponse) -> CpuError {
    CpuError::Peer(match response {
        PartResponse::Failed(reason) => reason.clone(),
        _ => "a worker is at another step".into(),
    })
}

/// The result of all parts.
struct Joined {
    output: Output,
    dims: [usize; 3],
    channels: usize,
}

impl Joined {
    fn new(plans: &[CpuPlan], dims: [usize; 3], decides: bool) -> Joined {
        let channels = plans.first().map_or(0, |plan| plan.program.output.channels.len());
        let voxels: usize = dims.iter().product();
        let output = match decides {
            true => Output::Labels(vec![0; voxels]),
            false => Output::Logits(vec![0.0; channels * voxels]),
        };
        Joined { output, dims, channels }
    }

    /// Copies the planes of a part into their place.
    fn put(&mut self, plan: &CpuPlan, array: &JsValue) -> Result<(), CpuError> {
        let ([ni, nj, nk], planes) = (self.dims, plan.input_planes());
        let (plane, own) = (ni * nj, planes.start * ni * nj..planes.end * ni * nj);
        let wrong = |found: usize| Err(CpuError::Peer(format!("a part of {found} voxels")));
        match &mut self.output {
            Output::Labels(labels) => {
                let part = Uint8Array::new(array);
                if part.length() as usize != own.len() {
                    return wrong(part.length() as usize);
                }
                part.copy_to(&mut labels[own]);
            }
            Output::Logits(logits) => {
                let part = Float32Array::new(array);
                if part.length() as usize != self.channels * own.len() {
                    return wrong(part.length() as usize);
                }
                for (n, channel) in logits.chunks_exact_mut(plane * nk).enumerate() {
                    let at = (n * own.len()) as u32;
                    part.subarray(at, at + own.len() as u32).copy_to(&mut channel[own.clone()]);
                }
            }
        }
        Ok(())
    }
}
