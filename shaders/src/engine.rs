//! Runs programs on a GPU.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use model_core::{Op, Program, Weights};
use wgpu::{ComputePipeline, Device, ErrorFilter, Queue};

use crate::kernels::{KERNELS, Kernel};
use crate::plan::{Plan, Step};
use crate::resources::{Resources, without_padding};
use crate::signal::{Receiver, signal};
use crate::{Error, Footprint};

/// Multiply-adds and values moved of one submission. Small enough that a slow GPU shows progress
/// and stays free for the page; two are in flight, so that a fast one does not wait between them.
const SUBMISSION_COST: u64 = 1 << 26;

/// A GPU with the kernels compiled for it.
pub struct Engine {
    device: Device,
    queue: Queue,
    adapter_name: String,
    pipelines: Vec<(&'static Kernel, &'static str, ComputePipeline)>,
    health: Arc<Mutex<Health>>,
    is_poisoning: bool,
    submission_cost: u64,
}

/// What the device reports by itself.
#[derive(Default)]
struct Health {
    lost: Option<String>,
    error: Option<String>,
}

/// What a program's output view holds after a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// `[channel][k][j][i]`.
    Logits(Vec<f32>),
    /// The label code of every voxel, `[k][j][i]`: of a program that is deciding.
    Labels(Vec<u8>),
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Operations done.
    pub done_ops: usize,
    /// Operations in all.
    pub total_ops: usize,
    /// Multiply-adds done: the better measure of time.
    pub done_multiply_adds: u64,
    /// Multiply-adds in all.
    pub total_multiply_adds: u64,
}

impl Engine {
    /// Opens the fastest GPU that there is (a software one where there is no other), with WebGPU's
    /// default limits, and compiles the kernels.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] without a usable GPU; [`Error::Device`] when it refuses a kernel.
    pub async fn new() -> Result<Engine, Error> {
        let descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        let instance = wgpu::Instance::new(descriptor);
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let adapter = instance.request_adapter(&options).await;
        let adapter = adapter.map_err(|error| Error::NoAdapter(error.to_string()))?;
        let opened = adapter.request_device(&wgpu::DeviceDescriptor::default()).await;
        let (device, queue) = opened.map_err(|error| Error::NoAdapter(error.to_string()))?;

        let health = Arc::new(Mutex::new(Health::default()));
        let lost = health.clone();
        device.set_device_lost_callback(move |reason, message| {
            lost.lock().unwrap_or_else(PoisonError::into_inner).lost =
                Some(format!("{reason:?}: {message}"));
        });
        let failed = health.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let mut health = failed.lock().unwrap_or_else(PoisonError::into_inner);
            health.error.get_or_insert(error.to_string());
        }));

        let scope = device.push_error_scope(ErrorFilter::Validation);
        let pipelines = KERNELS.iter().flat_map(|kernel| compile(&device, kernel)).collect();
        if let Some(error) = scope.pop().await {
            return Err(Error::Device(error.to_string()));
        }
        let info = adapter.get_info();
        // Browsers may hide the name.
        let named = [info.name, info.driver].into_iter().find(|name| !name.is_empty());
        let adapter_name = named.unwrap_or_else(|| "unnamed GPU".into());
        Ok(Engine {
            device,
            queue,
            adapter_name,
            pipelines,
            health,
            is_poisoning: false,
            submission_cost: SUBMISSION_COST,
        })
    }

    /// The GPU's name as the driver gives it.
    pub fn adapter_name(&self) -> &str {
        &self.adapter_name
    }

    /// The bytes that a run needs on the GPU.
    pub fn footprint(program: &Program, _weights: &Weights) -> Footprint {
        Footprint::new(program)
    }

    /// The same engine, filling every buffer with NaN before a run: for tests, which see then
    /// what no kernel wrote.
    pub fn poisoning(mut self) -> Engine {
        self.is_poisoning = true;
        self
    }

    /// The same engine, handing the GPU one step at a time: for measurements, where each
    /// progress tells the time of an operation.
    pub fn one_step_a_submission(mut self) -> Engine {
        self.submission_cost = 0;
        self
    }

    /// Runs a program on an input `[channel][k][j][i]`. `on_progress` is called after each
    /// submission (at least one for every operation of some size).
    ///
    /// # Errors
    /// [`Error::Program`] when program, weights and input do not fit each other;
    /// [`Error::TooLarge`] when a tensor exceeds a binding; [`Error::OutOfMemory`],
    /// [`Error::Device`] and [`Error::DeviceLost`] from the GPU; [`Error::Cancelled`] when
    /// `on_progress` breaks.
    pub async fn run(
        &self,
        program: &Program,
        weights: &Weights,
        input: &[f32],
        on_progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Output, Error> {
        let plan = Plan::new(program, weights)?;
        let num_voxels = program.buffers[program.input.buffer].num_voxels();
        let num_values = num_voxels * program.input.channels.len();
        if input.len() != num_values {
            return Err(Error::program(format!("{num_values} input values"), input.len()));
        }
        self.check_health()?;
        let resources = self.allocate(program, &plan, weights).await?;
        resources.upload(&self.queue, program, &plan, input);
        self.execute(program, &plan, &resources, on_progress).await?;
        self.read(program, &plan, &resources).await
    }

    /// Allocates within error scopes.
    async fn allocate(
        &self,
        program: &Program,
        plan: &Plan,
        weights: &Weights,
    ) -> Result<Resources, Error> {
        let validation = self.device.push_error_scope(ErrorFilter::Validation);
        let memory = self.device.push_error_scope(ErrorFilter::OutOfMemory);
        let resources = Resources::new(&self.device, program, plan);
        if self.is_poisoning {
            resources.poison(&self.queue);
        }
        let (memory, validation) = (memory.pop(), validation.pop());
        if let Some(error) = memory.await {
            let needed_bytes = Engine::footprint(program, weights).total_bytes;
            return Err(Error::OutOfMemory { needed_bytes, message: error.to_string() });
        }
        match validation.await {
            Some(error) => Err(Error::Device(error.to_string())),
            None => Ok(resources),
        }
    }

    /// Submits the steps, a few at a time.
    async fn execute(
        &self,
        program: &Program,
        plan: &Plan,
        resources: &Resources,
        on_progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut progress = Progress {
            done_ops: 0,
            total_ops: program.ops.len(),
            done_multiply_adds: 0,
            total_multiply_adds: program.total_multiply_adds(),
        };
        let mut in_flight: VecDeque<(Submission, Progress)> = VecDeque::new();
        let mut next = 0;
        while next < plan.steps.len() || !in_flight.is_empty() {
            if next < plan.steps.len() {
                let end = batch_end(&plan.steps, next, self.submission_cost);
                let submission = self.submit(plan, resources, next..end);
                progress.done_ops = plan.steps.get(end).map_or(program.ops.len(), |step| step.op);
                progress.done_multiply_adds +=
                    plan.steps[next..end].iter().map(|step| step.multiply_adds).sum::<u64>();
                in_flight.push_back((submission, progress));
                next = end;
                if in_flight.len() < 2 && next < plan.steps.len() {
                    continue;
                }
            }
            if let Some((submission, progress)) = in_flight.pop_front() {
                self.finished(submission).await?;
                if on_progress(progress).is_break() {
                    return Err(Error::Cancelled);
                }
            }
        }
        Ok(())
    }

    fn submit(
        &self,
        plan: &Plan,
        resources: &Resources,
        steps: std::ops::Range<usize>,
    ) -> Submission {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for index in steps {
            let step = &plan.steps[index];
            let pipeline = self.pipeline(step);
            let bindings = resources.bind(&self.device, pipeline, index, step);
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, &bindings, &[]);
            let [x, y, z] = step.workgroups;
            pass.dispatch_workgroups(x, y, z);
        }
        drop(pass);
        let index = self.queue.submit([encoder.finish()]);
        let (sender, done) = signal();
        self.queue.on_submitted_work_done(move || sender.send(()));
        Submission { index, done }
    }

    fn pipeline(&self, step: &Step) -> &ComputePipeline {
        let found =
            self.pipelines.iter().find(|p| p.0.name == step.kernel.name && p.1 == step.entry);
        &found.expect("every entry point was compiled").2
    }

    /// Waits for a submission.
    async fn finished(&self, submission: Submission) -> Result<(), Error> {
        self.poll(submission.index)?;
        submission.done.receive().await;
        self.check_health()
    }

    /// Natively callbacks come only while polling; in a browser this does nothing.
    fn poll(&self, index: wgpu::SubmissionIndex) -> Result<(), Error> {
        let wait = wgpu::PollType::Wait { submission_index: Some(index), timeout: None };
        let polled = self.device.poll(wait);
        polled.map(|_| ()).map_err(|error| Error::Device(error.to_string()))
    }

    fn check_health(&self) -> Result<(), Error> {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reason) = &health.lost {
            return Err(Error::DeviceLost(reason.clone()));
        }
        health.error.take().map_or(Ok(()), |error| Err(Error::Device(error)))
    }

    /// Copies the output view back.
    async fn read(
        &self,
        program: &Program,
        plan: &Plan,
        resources: &Resources,
    ) -> Result<Output, Error> {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        resources.copy_output(&mut encoder, program, plan);
        let index = self.queue.submit([encoder.finish()]);
        let (sender, mapped) = signal();
        resources.readback.map_async(wgpu::MapMode::Read, .., move |result| sender.send(result));
        self.poll(index)?;
        let mapped = mapped.receive().await;
        self.check_health()?;
        match mapped {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(Error::Device(error.to_string())),
            None => return Err(Error::DeviceLost("the result never came".into())),
        }
        let bytes = resources.readback.get_mapped_range(..);
        let bytes = bytes.map_err(|error| Error::Device(error.to_string()))?;
        let num_voxels = program.buffers[program.output.buffer].num_voxels();
        Ok(match program.ops.last() {
            Some(Op::Decide { .. }) => Output::Labels(without_padding(&bytes, num_voxels)),
            _ => Output::Logits(without_padding(bytemuck::cast_slice(&bytes), num_voxels)),
        })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // In a browser a dropped device would live until the garbage collector comes.
        self.device.destroy();
    }
}

/// Work handed to the GPU.
struct Submission {
    index: wgpu::SubmissionIndex,
    done: Receiver<()>,
}

/// The end of the batch that begins at `start`: at least a step, at most of cost `most`.
fn batch_end(steps: &[Step], start: usize, most: u64) -> usize {
    let mut cost = 0;
    for (n, step) in steps[start..].iter().enumerate() {
        cost += step.cost;
        if n > 0 && cost > most {
            return start + n;
        }
    }
    steps.len()
}

/// The pipelines of a kernel's entry points; errors go to the device's error scopes.
fn compile(
    device: &Device,
    kernel: &'static Kernel,
) -> Vec<(&'static Kernel, &'static str, ComputePipeline)> {
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(kernel.name),
        source: wgpu::ShaderSource::Wgsl(kernel.source.into()),
    });
    let pipeline = |entry: &&'static str| {
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry),
            layout: None,
            module: &module,
            entry_point: Some(entry),
            compilation_options: Default::default(),
            cache: None,
        });
        (kernel, *entry, pipeline)
    };
    kernel.entries.iter().map(pipeline).collect()
}
