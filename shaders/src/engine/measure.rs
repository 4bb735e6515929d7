//! Times by the GPU's own clock: each step of a plan, and copies for comparison.

use model_core::Weights;
use wgpu::{BufferUsages, CommandEncoder, Features, QuerySet};

use super::Engine;
use super::pace::batch_end;
use super::pipelines::compile;
use crate::Error;
use crate::kernels::spread;
use crate::plan::Plan;

/// Each step takes two timestamps of one query set.
const MOST_STEPS: usize = wgpu::QUERY_SET_MAX_QUERIES as usize / 2;

/// Upper bound of a submission's cost, small enough for any driver's watchdog.
const SUBMISSION_COST: u64 = 1 << 26;

/// The fastest copy that a kernel can make.
const COPY: &str = "
    @group(0) @binding(0) var<storage, read> from_: array<vec4f>;
    @group(0) @binding(1) var<storage, read_write> to: array<vec4f>;
    @compute @workgroup_size(64)
    fn copy(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
            @builtin(local_invocation_index) lane: u32) {
        let at = (group.z * groups.x + group.x) * 64u + lane;
        if at < arrayLength(&to) { to[at] = from_[at]; }
    }
";

/// Copy rate of a GPU: bytes read and written per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CopyRate {
    /// Copied by a kernel.
    pub kernel: f64,
    /// Copied by the driver, if it can be timed.
    pub driver: Option<f64>,
}

impl Engine {
    /// Opens a GPU like [`Engine::new`], with timestamp queries if it supports them.
    ///
    /// # Errors
    /// The errors of [`Engine::new`].
    pub async fn with_clock() -> Result<Engine, Error> {
        let wanted = Features::TIMESTAMP_QUERY | Features::TIMESTAMP_QUERY_INSIDE_ENCODERS;
        Engine::open(wanted).await
    }

    /// Returns the seconds of each step of a plan, for an input as in [`Engine::run`]. Each step is
    /// a pass of its own, so steps do not overlap.
    ///
    /// # Errors
    /// The errors of [`Engine::run`]; [`Error::Device`] if the engine was not opened by
    /// [`Engine::with_clock`] or the GPU has no timestamps.
    pub async fn step_seconds(
        &self,
        plan: &Plan,
        weights: &Weights,
        input: &[f32],
    ) -> Result<Vec<f64>, Error> {
        let resources = self.loaded(plan, weights, input).await?;
        let mut seconds = Vec::with_capacity(plan.steps.len());
        while seconds.len() < plan.steps.len() {
            let start = seconds.len();
            let end = batch_end(&plan.steps, start, SUBMISSION_COST).min(start + MOST_STEPS);
            let record = |encoder: &mut CommandEncoder, queries: &QuerySet| {
                for index in start..end {
                    let mut pass = encoder.begin_compute_pass(&timed(queries, index - start));
                    self.dispatch(&mut pass, plan, &resources, index);
                }
            };
            seconds.extend(self.clocked(end - start, record).await?);
        }
        Ok(seconds)
    }

    /// Returns the rate of copying `bytes` from one buffer to another, after one warm-up.
    ///
    /// # Errors
    /// The errors of [`Engine::step_seconds`].
    pub async fn copy_rate(&self, bytes: u64) -> Result<CopyRate, Error> {
        let bytes = bytes.next_multiple_of(16);
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        let buffer = |label| self.buffer(label, bytes, usage);
        let [from, to] = [buffer("copied"), buffer("copy")];
        let pipeline = compile(&self.device, "copy", COPY.into(), "copy", &[]);
        let bindings = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &[(0, &from), (1, &to)].map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            }),
        });
        let [x, y, z] = spread((bytes / 16) as usize, 1);
        let by_kernel = |encoder: &mut CommandEncoder, queries: &QuerySet| {
            let mut pass = encoder.begin_compute_pass(&timed(queries, 0));
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &bindings, &[]);
            pass.dispatch_workgroups(x, y, z);
        };
        let by_driver = |encoder: &mut CommandEncoder, queries: &QuerySet| {
            encoder.write_timestamp(queries, 0);
            encoder.copy_buffer_to_buffer(&from, 0, &to, 0, Some(bytes));
            encoder.write_timestamp(queries, 1);
        };
        let rate = |seconds: Vec<f64>| 2.0 * bytes as f64 / seconds[0];
        self.clocked(1, by_kernel).await?;
        let kernel = rate(self.clocked(1, by_kernel).await?);
        let can_stamp = Features::TIMESTAMP_QUERY_INSIDE_ENCODERS;
        let driver = match self.device.features().contains(can_stamp) {
            true => Some(rate(self.clocked(1, by_driver).await?)),
            false => None,
        };
        Ok(CopyRate { kernel, driver })
    }

    /// Returns the seconds between `count` pairs of timestamps that `record` takes.
    async fn clocked(
        &self,
        count: usize,
        record: impl FnOnce(&mut CommandEncoder, &QuerySet),
    ) -> Result<Vec<f64>, Error> {
        if !self.device.features().contains(Features::TIMESTAMP_QUERY) {
            return Err(Error::Device("it takes no time stamps".into()));
        }
        let queries = self.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("clock"),
            ty: wgpu::QueryType::Timestamp,
            count: 2 * count as u32,
        });
        let bytes = 16 * count as u64;
        let stamps =
            self.buffer("stamps", bytes, BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC);
        let readback =
            self.buffer("stamps read", bytes, BufferUsages::COPY_DST | BufferUsages::MAP_READ);
        let mut encoder = self.device.create_command_encoder(&Default::default());
        record(&mut encoder, &queries);
        encoder.resolve_query_set(&queries, 0..2 * count as u32, &stamps, 0);
        encoder.copy_buffer_to_buffer(&stamps, 0, &readback, 0, Some(bytes));
        let bytes = self.read_back(encoder, &readback).await?;
        let stamp = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        let nanoseconds = f64::from(self.queue.get_timestamp_period());
        let seconds = |pair: &[u8]| {
            let [start, end] = [&pair[..8], &pair[8..]].map(stamp);
            end.saturating_sub(start) as f64 * nanoseconds * 1e-9
        };
        Ok(bytes.chunks_exact(16).map(seconds).collect())
    }

    fn buffer(&self, label: &str, size: u64, usage: BufferUsages) -> wgpu::Buffer {
        let label = Some(label);
        let mapped_at_creation = false;
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label,
            size,
            usage,
            mapped_at_creation,
        })
    }
}

/// Returns a pass between the n-th pair of timestamps.
fn timed(queries: &QuerySet, n: usize) -> wgpu::ComputePassDescriptor<'_> {
    wgpu::ComputePassDescriptor {
        label: None,
        timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
            query_set: queries,
            beginning_of_pass_write_index: Some(2 * n as u32),
            end_of_pass_write_index: Some(2 * n as u32 + 1),
        }),
    }
}
