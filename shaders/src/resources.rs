//! Second step of a run: allocates a plan's resources on the GPU.

use half::f16;
use model_core::{Program, View, Weights};
use wgpu::{BindGroup, Buffer, BufferUsages, ComputePipeline, Device, Queue};

use crate::Error;
use crate::kernels::group_norm::{AFFINE_BYTES, IDENTITY};
use crate::kernels::{Storage, quads};
use crate::plan::{Binding, PARAMS_SLOT, Plan, SlabRange, Step, largest};

/// The buffers of a run. They are destroyed when dropped, since in a browser a dropped buffer would
/// keep its memory until garbage collection.
pub struct Resources {
    buffers: Vec<Buffer>,
    weights: Buffer,
    partials: Buffer,
    affines: Buffer,
    params: Buffer,
    /// Staging buffer for a slab of the output.
    pub readback: Buffer,
}

impl Resources {
    /// Allocates the buffers. Errors go to the device's error scopes.
    pub fn new(device: &Device, plan: &Plan) -> Resources {
        let storage = BufferUsages::STORAGE | BufferUsages::COPY_DST;
        let create = |label: &str, size: u64, usage: BufferUsages| {
            let size = size.max(4);
            let mapped_at_creation = false;
            let label = Some(label);
            device.create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation })
        };
        let map = |&size: &u64| create("map", size, storage | BufferUsages::COPY_SRC);
        let settings = (plan.steps.len() * PARAMS_SLOT) as u64;
        let output_bytes = largest(&plan.output);
        let readback = BufferUsages::COPY_DST | BufferUsages::MAP_READ;
        Resources {
            buffers: plan.buffers.iter().map(map).collect(),
            weights: create("weights", plan.weight_bytes, storage),
            partials: create("norm chunks", plan.partials_bytes, storage),
            affines: create("norms", AFFINE_BYTES * plan.num_affines as u64, storage),
            params: create("settings", settings, storage),
            readback: create("readback", output_bytes, readback),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Buffer> {
        let others = [&self.weights, &self.partials, &self.affines, &self.params, &self.readback];
        self.buffers.iter().chain(others)
    }

    /// Returns the bytes of all buffers.
    pub fn bytes(&self) -> u64 {
        self.all().map(Buffer::size).sum()
    }

    /// Uploads `params` and parameters.
    ///
    /// # Errors
    /// [`Error::Program`] if a parameter is missing or of another shape.
    pub fn upload(&self, queue: &Queue, plan: &Plan, weights: &Weights) -> Result<(), Error> {
        let mut params = vec![0; plan.steps.len() * PARAMS_SLOT];
        for (slot, step) in params.chunks_exact_mut(PARAMS_SLOT).zip(&plan.steps) {
            slot[..step.params.len()].copy_from_slice(&step.params);
        }
        queue.write_buffer(&self.params, 0, &params);
        for packed in &plan.weights {
            let bytes = packed.layout.pack(&plan.program, weights)?;
            queue.write_buffer(&self.weights, packed.offset, &bytes);
        }
        let identities = vec![IDENTITY; plan.program.widest()];
        queue.write_buffer(&self.affines, 0, bytemuck::cast_slice(&identities));
        Ok(())
    }

    /// Uploads a slab of the input.
    pub fn put(&self, queue: &Queue, plan: &Plan, part: &SlabRange, input: &[f32]) {
        let rows = Rows::of(&plan.program, &plan.program.input, part);
        let buffer = &self.buffers[part.buffer];
        match plan.options.storage {
            Storage::F32 => {
                let filled = rows.filled(input, |x| x);
                queue.write_buffer(buffer, part.offset, bytemuck::cast_slice(&filled));
            }
            Storage::F16 => {
                let filled =
                    rows.filled(input, |x| f16::from_f32(x.clamp(-65504.0, 65504.0)).to_bits());
                queue.write_buffer(buffer, part.offset, bytemuck::cast_slice(&filled));
            }
        }
    }

    /// Fills every buffer with NaN, so that a test sees voxels that no kernel wrote.
    pub fn poison(&self, queue: &Queue) {
        for buffer in self.buffers.iter().chain([&self.partials, &self.affines]) {
            queue.write_buffer(buffer, 0, &vec![0xff; buffer.size() as usize]);
        }
    }

    /// Returns the bind group of step `index`.
    pub fn bind(
        &self,
        device: &Device,
        pipeline: &ComputePipeline,
        plan: &Plan,
        index: usize,
        step: &Step,
    ) -> BindGroup {
        let range = |buffer, offset, bytes| {
            let size = std::num::NonZeroU64::new(bytes);
            wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size })
        };
        let params = range(&self.params, (index * PARAMS_SLOT) as u64, step.params.len() as u64);
        let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: params }];
        for &(binding, slot) in &step.bindings {
            let resource = match slot {
                Binding::Buffer(buffer) => self.buffers[buffer].as_entire_binding(),
                Binding::Weights(index) => {
                    let packed = &plan.weights[index];
                    range(&self.weights, packed.offset, packed.bytes)
                }
                Binding::Partials => self.partials.as_entire_binding(),
                Binding::Affines => self.affines.as_entire_binding(),
            };
            entries.push(wgpu::BindGroupEntry { binding, resource });
        }
        let layout = &pipeline.get_bind_group_layout(0);
        device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(step.kernel.name),
            layout,
            entries: &entries,
        })
    }

    /// Records the copy of an output slab to the staging buffer.
    pub fn copy_output(&self, encoder: &mut wgpu::CommandEncoder, part: &SlabRange) {
        let from = &self.buffers[part.buffer];
        encoder.copy_buffer_to_buffer(from, part.offset, &self.readback, 0, Some(part.bytes));
    }
}

impl Drop for Resources {
    fn drop(&mut self) {
        for buffer in self.all() {
            buffer.destroy();
        }
    }
}

/// The rows of a slab. On the GPU each row is padded to whole quads.
struct Rows {
    dims: [usize; 3],
    channels: usize,
    first: usize,
    planes: usize,
}

impl Rows {
    fn of(program: &Program, view: &View, part: &SlabRange) -> Rows {
        let (dims, channels) = (program.buffers[view.buffer].dims, view.channels.len());
        Rows { dims, channels, first: part.first, planes: part.planes }
    }

    /// Returns the starts of the rows in a whole map `[c][k][j][i]`, in the order of the slab.
    fn starts(&self) -> impl Iterator<Item = usize> {
        let [ni, nj, nk] = self.dims;
        let (planes, first) = (self.planes, self.first);
        (0..self.channels * planes * nj).map(move |row| {
            let (c, k, j) = (row / (planes * nj), first + row / nj % planes, row % nj);
            ((c * nk + k) * nj + j) * ni
        })
    }

    fn filled<T: Copy + Default>(&self, map: &[f32], convert: impl Fn(f32) -> T) -> Vec<T> {
        let (ni, width) = (self.dims[0], 4 * quads(self.dims[0]));
        let mut slab = vec![T::default(); self.channels * self.planes * self.dims[1] * width];
        for (row, start) in slab.chunks_exact_mut(width).zip(self.starts()) {
            for (to, from) in row.iter_mut().zip(&map[start..start + ni]) {
                *to = convert(*from);
            }
        }
        slab
    }
}

/// Copies a slab that was read back into the whole map `[c][k][j][i]`.
pub fn scatter<F: Copy + bytemuck::Pod, T>(
    bytes: &[u8],
    plan: &Plan,
    part: &SlabRange,
    convert: impl Fn(F) -> T,
    map: &mut [T],
) {
    let rows = Rows::of(&plan.program, &plan.program.output, part);
    let (ni, width) = (rows.dims[0], 4 * quads(rows.dims[0]));
    let values: &[F] = bytemuck::cast_slice(bytes);
    for (row, start) in values.chunks_exact(width).zip(rows.starts()) {
        for (to, from) in map[start..start + ni].iter_mut().zip(row) {
            *to = convert(*from);
        }
    }
}
