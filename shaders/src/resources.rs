//! Second step of a run: what a plan needs on the GPU.

use model_core::{Program, View};
use wgpu::{BindGroup, Buffer, BufferUsages, ComputePipeline, Device, Queue};

use crate::kernels::stride;
use crate::plan::{Plan, Slot, Step};

/// Bytes between the settings of two steps in their common buffer (the default limit's alignment
/// of a binding).
const PARAMS_SLOT: usize = 256;

/// The buffers of one run. They are destroyed when dropped: in a browser a dropped buffer would
/// keep its memory until the garbage collector comes.
pub struct Resources {
    buffers: Vec<Buffer>,
    weights: Vec<Option<Buffer>>,
    partials: Buffer,
    statistics: Buffer,
    params: Buffer,
    /// Where the output is copied to be read.
    pub readback: Buffer,
}

impl Resources {
    /// Allocates; errors go to the device's error scopes.
    pub fn new(device: &Device, program: &Program, plan: &Plan) -> Resources {
        let storage = BufferUsages::STORAGE | BufferUsages::COPY_DST;
        let create = |label: &str, size: u64, usage: BufferUsages| {
            let size = size.max(4);
            let mapped_at_creation = false;
            let label = Some(label);
            device.create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation })
        };
        let create_activation = |&size: &u64| create("map", size, storage | BufferUsages::COPY_SRC);
        let create_weights = |packed: &Vec<u8>| match packed.len() {
            0 => None,
            len => Some(create("weights", len as u64, storage)),
        };
        let (_, output_bytes) = place(program, plan, &program.output);
        Resources {
            buffers: plan.buffers.iter().map(create_activation).collect(),
            weights: plan.weights.iter().map(create_weights).collect(),
            partials: create("norm chunks", plan.partials_bytes, storage),
            statistics: create("norm groups", plan.statistics_bytes, storage),
            params: create(
                "kernel settings",
                (plan.steps.len() * PARAMS_SLOT) as u64,
                BufferUsages::UNIFORM | BufferUsages::COPY_DST,
            ),
            readback: create(
                "readback",
                output_bytes,
                BufferUsages::COPY_DST | BufferUsages::MAP_READ,
            ),
        }
    }

    /// Puts the settings, the parameters and the input in place.
    pub fn upload(&self, queue: &Queue, program: &Program, plan: &Plan, input: &[f32]) {
        let mut params = vec![0; plan.steps.len() * PARAMS_SLOT];
        for (slot, step) in params.chunks_exact_mut(PARAMS_SLOT).zip(&plan.steps) {
            slot[..step.params.len()].copy_from_slice(&step.params);
        }
        queue.write_buffer(&self.params, 0, &params);
        for (buffer, packed) in self.weights.iter().zip(&plan.weights) {
            if let Some(buffer) = buffer {
                queue.write_buffer(buffer, 0, packed);
            }
        }
        let (offset, bytes) = place(program, plan, &program.input);
        let buffer = &self.buffers[program.input.buffer];
        let voxels = input.len() / program.input.channels.len();
        let channel_bytes = bytes / program.input.channels.len() as u64;
        for (c, channel) in input.chunks_exact(voxels).enumerate() {
            let at = offset + c as u64 * channel_bytes;
            queue.write_buffer(buffer, at, bytemuck::cast_slice(channel));
        }
    }

    /// Fills every buffer with NaN, so that a test sees a voxel that no kernel wrote.
    pub fn poison(&self, queue: &Queue) {
        for buffer in self.buffers.iter().chain([&self.partials, &self.statistics]) {
            let values = vec![f32::NAN; buffer.size() as usize / 4];
            queue.write_buffer(buffer, 0, bytemuck::cast_slice(&values));
        }
    }

    /// The bindings of step `index`.
    pub fn bind(
        &self,
        device: &Device,
        pipeline: &ComputePipeline,
        index: usize,
        step: &Step,
    ) -> BindGroup {
        let params = wgpu::BufferBinding {
            buffer: &self.params,
            offset: (index * PARAMS_SLOT) as u64,
            size: std::num::NonZeroU64::new(step.params.len() as u64),
        };
        let mut entries = vec![wgpu::BindGroupEntry {
            binding: 0,
            resource: wgpu::BindingResource::Buffer(params),
        }];
        for &(binding, slot) in &step.bindings {
            let buffer = match slot {
                Slot::Buffer(buffer) => &self.buffers[buffer],
                Slot::Weights => self.weights[step.op].as_ref().expect("the kernel has weights"),
                Slot::Partials => &self.partials,
                Slot::Statistics => &self.statistics,
            };
            entries.push(wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() });
        }
        let layout = &pipeline.get_bind_group_layout(0);
        device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(step.kernel.name),
            layout,
            entries: &entries,
        })
    }

    /// Records the copy of the output to where it can be read.
    pub fn copy_output(&self, encoder: &mut wgpu::CommandEncoder, program: &Program, plan: &Plan) {
        let (offset, bytes) = place(program, plan, &program.output);
        let from = &self.buffers[program.output.buffer];
        encoder.copy_buffer_to_buffer(from, offset, &self.readback, 0, Some(bytes));
    }
}

impl Drop for Resources {
    fn drop(&mut self) {
        let others = [&self.partials, &self.statistics, &self.params, &self.readback];
        for buffer in self.buffers.iter().chain(self.weights.iter().flatten()).chain(others) {
            buffer.destroy();
        }
    }
}

/// A view's first byte in its buffer, and its bytes.
fn place(program: &Program, plan: &Plan, view: &View) -> (u64, u64) {
    let channel_bytes = plan.buffers[view.buffer] / program.buffers[view.buffer].channels as u64;
    let num_channels = view.channels.len() as u64;
    (view.channels.start as u64 * channel_bytes, num_channels * channel_bytes)
}

/// The voxels of padded channels.
pub fn without_padding<T: Copy>(padded: &[T], num_voxels: usize) -> Vec<T> {
    let channels = padded.chunks_exact(4 * stride(num_voxels) as usize);
    channels.flat_map(|channel| &channel[..num_voxels]).copied().collect()
}
