//! Runs programs on a GPU.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_channel::oneshot;
use model_core::Weights;
use web_time::Instant;
use wgpu::{Device, ErrorFilter, Queue};

use crate::Error;
use crate::kernels::Hardware;
use crate::output::Output;
use crate::plan::Plan;
use crate::resources::Resources;
use pace::{Pace, batch_end};
use pipelines::Pipelines;

// Only natively: a browser's clock is too coarse.
mod fusion_benchmark;
#[cfg(not(target_arch = "wasm32"))]
mod measure;
mod pace;
mod pipelines;

pub use fusion_benchmark::FusionBenchmark;
#[cfg(not(target_arch = "wasm32"))]
pub use measure::CopyRate;

/// A GPU and the kernels compiled for it.
pub struct Engine {
    device: Device,
    queue: Queue,
    adapter_name: String,
    limits: String,
    is_software: bool,
    pipelines: Pipelines,
    allocated: AtomicU64,
    health: Arc<Mutex<Health>>,
    is_poisoning: bool,
    pace: Mutex<Pace>,
}

/// Asynchronous reports of the device.
#[derive(Default)]
struct Health {
    lost: Option<String>,
    error: Option<String>,
}

/// Progress of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Completed steps.
    pub done_steps: usize,
    /// Steps in all.
    pub total_steps: usize,
    /// Completed multiply-adds; a better measure of time than steps.
    pub done_multiply_adds: u64,
    /// Multiply-adds in all.
    pub total_multiply_adds: u64,
}

impl Engine {
    /// Opens the fastest GPU with WebGPU's default limits, or a software GPU if there is no other.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] without a usable GPU.
    pub async fn new() -> Result<Engine, Error> {
        Engine::open(wgpu::Features::empty()).await
    }

    /// Opens the GPU with those of the `wanted` features that it supports.
    async fn open(wanted: wgpu::Features) -> Result<Engine, Error> {
        let descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        let instance = wgpu::Instance::new(descriptor);
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let adapter = instance.request_adapter(&options).await;
        let adapter = adapter.map_err(|error| Error::NoAdapter(error.to_string()))?;
        let wanted = wanted | wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP;
        let required_features = adapter.features() & wanted;
        let descriptor = wgpu::DeviceDescriptor { required_features, ..Default::default() };
        let opened = adapter.request_device(&descriptor).await;
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

        let info = adapter.get_info();
        let is_software = info.device_type == wgpu::DeviceType::Cpu;
        // Browsers may hide the name.
        let named = [info.name, info.driver].into_iter().find(|name| !name.is_empty());
        let adapter_name = named.unwrap_or_else(|| "unnamed GPU".into());
        let most = adapter.limits();
        let hardware = Hardware {
            has_f16: required_features.contains(wgpu::Features::SHADER_F16),
            has_subgroups: required_features.contains(wgpu::Features::SUBGROUP),
        };
        let limits = format!(
            "buffers of {} MiB, bindings of {} MiB, f16 {}, subgroups {}",
            most.max_buffer_size >> 20,
            most.max_storage_buffer_binding_size >> 20,
            hardware.has_f16,
            hardware.has_subgroups
        );
        Ok(Engine {
            pipelines: Pipelines::new(device.clone(), hardware),
            device,
            queue,
            adapter_name,
            limits,
            is_software,
            allocated: AtomicU64::new(0),
            health,
            is_poisoning: false,
            pace: Mutex::default(),
        })
    }

    /// Describes the GPU's limits for diagnostics.
    pub fn limits(&self) -> &str {
        &self.limits
    }

    /// Returns whether the GPU is a program on the processor.
    pub fn is_software(&self) -> bool {
        self.is_software
    }

    /// Returns the GPU's name as reported by the driver.
    pub fn adapter_name(&self) -> &str {
        &self.adapter_name
    }

    /// Returns the engine in a mode that fills every buffer with NaN before a run, so that tests
    /// see values that no kernel wrote.
    pub fn poisoning(mut self) -> Engine {
        self.is_poisoning = true;
        self
    }

    /// Returns the engine restricted to what every GPU supports: packed f16 and no subgroups.
    pub fn plain(mut self) -> Engine {
        self.pipelines = Pipelines::new(self.device.clone(), Hardware::default());
        self
    }

    /// Returns the engine in a mode that submits one step at a time, so that each progress report
    /// marks the time of a step.
    pub fn one_step_a_submission(mut self) -> Engine {
        self.pace = Mutex::new(Pace::one_step());
        self
    }

    /// Runs a plan on an input `[channel][k][j][i]`. `on_progress` is called after each submission.
    /// Dropping the future of a run leaves the engine ready for the next run.
    ///
    /// # Errors
    /// [`Error::Program`] if plan, weights and input disagree; [`Error::OutOfMemory`],
    /// [`Error::Device`] and [`Error::DeviceLost`] from the GPU; [`Error::Canceled`] if
    /// `on_progress` breaks.
    pub async fn run(
        &self,
        plan: &Plan,
        weights: &Weights,
        input: &[f32],
        on_progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Output, Error> {
        let resources = self.loaded(plan, weights, input).await?;
        self.execute(plan, &resources, on_progress).await?;
        self.read(plan, &resources).await
    }

    /// Compiles the pipelines of a plan that are not compiled yet.
    ///
    /// # Errors
    /// [`Error::Device`] if the GPU rejects a kernel.
    pub async fn prepare(&self, plan: &Plan) -> Result<(), Error> {
        self.pipelines.prepare(plan).await
    }

    /// Allocates a plan's resources and uploads weights and input.
    async fn loaded(
        &self,
        plan: &Plan,
        weights: &Weights,
        input: &[f32],
    ) -> Result<Resources, Error> {
        let view = &plan.program.input;
        let num_voxels = plan.program.buffers[view.buffer].num_voxels();
        let num_values = num_voxels * view.channels.len();
        if input.len() != num_values {
            return Err(Error::program(format!("{num_values} input values"), input.len()));
        }
        self.check_health()?;
        self.idle().await?;
        self.prepare(plan).await?;
        let resources = self.allocate(plan).await?;
        resources.upload(&self.queue, plan, weights)?;
        for part in &plan.input {
            resources.put(&self.queue, plan, part, input);
            // Flushes, so that one slab at a time is staged.
            self.queue.submit([]);
        }
        Ok(resources)
    }

    /// Allocates inside error scopes.
    async fn allocate(&self, plan: &Plan) -> Result<Resources, Error> {
        let validation = self.device.push_error_scope(ErrorFilter::Validation);
        let memory = self.device.push_error_scope(ErrorFilter::OutOfMemory);
        let resources = Resources::new(&self.device, plan);
        if self.is_poisoning {
            resources.poison(&self.queue);
        }
        let (memory, validation) = (memory.pop(), validation.pop());
        if let Some(error) = memory.await {
            let needed_bytes = plan.footprint.total_bytes;
            return Err(Error::OutOfMemory { needed_bytes, message: error.to_string() });
        }
        self.allocated.store(resources.bytes(), Ordering::Relaxed);
        match validation.await {
            Some(error) => Err(Error::Device(error.to_string())),
            None => Ok(resources),
        }
    }

    /// Returns the bytes of all buffers of the last run.
    pub fn allocated_bytes(&self) -> u64 {
        self.allocated.load(Ordering::Relaxed)
    }

    /// Submits the steps in batches.
    async fn execute(
        &self,
        plan: &Plan,
        resources: &Resources,
        on_progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut progress = Progress {
            done_steps: 0,
            total_steps: plan.steps.len(),
            done_multiply_adds: 0,
            total_multiply_adds: plan.multiply_adds(),
        };
        let mut in_flight: VecDeque<(Submission, Progress)> = VecDeque::new();
        let mut next = 0;
        while next < plan.steps.len() || !in_flight.is_empty() {
            if next < plan.steps.len() {
                let end = batch_end(&plan.steps, next, self.pace().cost());
                let submission = self.submit(plan, resources, next..end);
                progress.done_steps = end;
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
                    return Err(Error::Canceled);
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
        let cost = plan.steps[steps.clone()].iter().map(|step| step.cost).sum();
        for index in steps {
            self.dispatch(&mut pass, plan, resources, index);
        }
        drop(pass);
        let given_at = Instant::now();
        let index = self.queue.submit([encoder.finish()]);
        Submission { index, cost, given_at, done: self.done() }
    }

    /// Returns a receiver that fires when all submitted work is done.
    fn done(&self) -> oneshot::Receiver<Instant> {
        let (sender, done) = oneshot::channel();
        // The receiver is gone if the run was dropped.
        self.queue.on_submitted_work_done(move || _ = sender.send(Instant::now()));
        done
    }

    /// Encodes a step.
    fn dispatch(
        &self,
        pass: &mut wgpu::ComputePass,
        plan: &Plan,
        resources: &Resources,
        index: usize,
    ) {
        let step = &plan.steps[index];
        let pipeline = self.pipelines.get(step, plan.options.storage);
        let bindings = resources.bind(&self.device, &pipeline, plan, index, step);
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &bindings, &[]);
        let [x, y, z] = step.workgroups;
        pass.dispatch_workgroups(x, y, z);
    }

    /// Waits for a submission.
    async fn finished(&self, submission: Submission) -> Result<(), Error> {
        self.poll(Some(submission.index))?;
        if let Ok(done_at) = submission.done.await {
            self.pace().done(submission.cost, submission.given_at, done_at);
        }
        self.check_health()
    }

    /// Waits for the work of a canceled run, after which its memory is free.
    async fn idle(&self) -> Result<(), Error> {
        let done = self.done();
        self.poll(None)?;
        // The callback never comes if the GPU was lost; the health report says so.
        _ = done.await;
        self.check_health()
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Polls the device: natively, callbacks run only while polling; in a browser this does
    /// nothing. Without an index it waits for all submitted work.
    fn poll(&self, submission_index: Option<wgpu::SubmissionIndex>) -> Result<(), Error> {
        let wait = wgpu::PollType::Wait { submission_index, timeout: None };
        let polled = self.device.poll(wait);
        polled.map(|_| ()).map_err(|error| Error::Device(error.to_string()))
    }

    /// Returns whether the GPU was reset or removed. The engine cannot run anything afterwards.
    pub fn is_lost(&self) -> bool {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).lost.is_some()
    }

    fn check_health(&self) -> Result<(), Error> {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reason) = &health.lost {
            return Err(Error::DeviceLost(reason.clone()));
        }
        health.error.take().map_or(Ok(()), |error| Err(Error::Device(error)))
    }

    /// Reads the output view back, slab by slab.
    async fn read(&self, plan: &Plan, resources: &Resources) -> Result<Output, Error> {
        let mut output = Output::empty(plan);
        for part in &plan.output {
            let mut encoder = self.device.create_command_encoder(&Default::default());
            resources.copy_output(&mut encoder, part);
            let bytes = self.read_back(encoder, &resources.readback).await?;
            output.put(plan, part, &bytes[..part.bytes as usize]);
            drop(bytes);
            resources.readback.unmap();
        }
        Ok(output)
    }

    /// Submits and waits until a buffer can be read.
    async fn read_back(
        &self,
        encoder: wgpu::CommandEncoder,
        buffer: &wgpu::Buffer,
    ) -> Result<wgpu::BufferView, Error> {
        let index = self.queue.submit([encoder.finish()]);
        // The health report explains more than the failed wait.
        self.check_health()?;
        let (sender, mapped) = oneshot::channel();
        buffer.map_async(wgpu::MapMode::Read, .., move |result| _ = sender.send(result));
        self.poll(Some(index))?;
        let mapped = mapped.await;
        self.check_health()?;
        match mapped {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(Error::Device(error.to_string())),
            Err(_) => return Err(Error::DeviceLost("the result never came".into())),
        }
        buffer.get_mapped_range(..).map_err(|error| Error::Device(error.to_string()))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // In a browser a dropped device would live until garbage collection.
        self.device.destroy();
    }
}

/// Work submitted to the GPU.
struct Submission {
    index: wgpu::SubmissionIndex,
    cost: u64,
    given_at: Instant,
    done: oneshot::Receiver<Instant>,
}
