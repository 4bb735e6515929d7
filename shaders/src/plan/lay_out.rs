//! An operation as dispatches of its kernels.

use bytemuck::Pod;
use model_core::config::NORM_EPSILON;
use model_core::{Op, Program, View};

use super::{Plan, Slot, Step, views};
use crate::kernels::{
    Dispatch, Kernel, add, conv3, decide, depthwise_conv, group_norm, max_pool, moments,
    pointwise_conv, squeeze, stride, upsample,
};

/// No step does more multiply-adds where its operation can be split, so that a slow GPU is not
/// held for seconds (browsers reset one that is) and a cancelled run ends soon.
const MAX_STEP_COST: u64 = 1 << 30;

impl Plan {
    /// Adds the steps of an operation that was checked.
    pub fn lay_out(&mut self, program: &Program, op: usize) {
        let (from, to) = views(&program.ops[op]);
        let (input, output) = (Layout::new(program, from), Layout::new(program, to));
        let (from_offset, to_offset) = (input.offset, output.offset);
        let (from_stride, to_stride) = (input.stride, output.stride);
        let (num_from, num_to) = (input.channels, output.channels);
        let channels = to.channels.len();
        let [source, target] = [from, to].map(|view| Slot::Buffer(view.buffer));
        let maps = [(1, source), (2, target)];
        let weighted = [(1, source), (2, target), (3, Slot::Weights)];
        match &program.ops[op] {
            Op::Pointwise { .. } | Op::Reflect { .. } => {
                let params = pointwise_conv::Params {
                    stride: from_stride,
                    from_offset,
                    to_offset,
                    num_from,
                    num_to,
                    first_block: 0,
                };
                let dispatches = pointwise_conv::dispatches(params, MAX_STEP_COST);
                self.push(program, op, (&pointwise_conv::KERNEL, 0), &weighted, dispatches);
            }
            Op::Conv3 { .. } => {
                let params = conv3::Params {
                    dims: input.dims,
                    stride: from_stride,
                    from_offset,
                    to_offset,
                    num_from,
                    num_to,
                    first_block: 0,
                    padding: [0; 3],
                };
                let dispatches = conv3::dispatches(params, MAX_STEP_COST);
                self.push(program, op, (&conv3::KERNEL, 0), &weighted, dispatches);
            }
            Op::Depthwise3 { .. } => {
                let params = depthwise_conv::Params {
                    dims: input.dims,
                    stride: from_stride,
                    from_offset,
                    to_offset,
                    first_channel: 0,
                    padding: 0,
                };
                let dispatches = depthwise_conv::dispatches(params, channels, MAX_STEP_COST);
                self.push(program, op, (&depthwise_conv::KERNEL, 0), &weighted, dispatches);
            }
            Op::GroupNorm { groups, activation, .. } => {
                let params = moments::Params {
                    stride: from_stride,
                    num_voxels: program.buffers[from.buffer].num_voxels() as u32,
                    offset: from_offset,
                    group_channels: num_from / *groups as u32,
                    chunks: moments::num_chunks(from_stride) as u32,
                    epsilon: NORM_EPSILON,
                };
                let [partial, combine] = moments::dispatches(params, channels);
                let bindings = [(1, source), (2, Slot::Partials)];
                self.push(program, op, (&moments::KERNEL, 0), &bindings, vec![partial]);
                let bindings = [(2, Slot::Partials), (3, Slot::Statistics)];
                self.push(program, op, (&moments::KERNEL, 1), &bindings, vec![combine]);

                let params = group_norm::Params {
                    stride: from_stride,
                    from_offset,
                    to_offset,
                    group_channels: params.group_channels,
                    negative_slope: activation.negative_slope(),
                };
                let dispatch = group_norm::dispatch(params, channels);
                let bindings =
                    [(1, target), (2, Slot::Statistics), (3, Slot::Weights), (4, source)];
                let (entry, bound) = if from == to { (0, 3) } else { (1, 4) };
                let kernel = (&group_norm::KERNEL, entry);
                self.push(program, op, kernel, &bindings[..bound], vec![dispatch]);
            }
            Op::AddInPlace { .. } => {
                let params = add::Params { stride: from_stride, from_offset, to_offset };
                let dispatch = add::dispatch(params, channels);
                self.push(program, op, (&add::KERNEL, 0), &maps, vec![dispatch]);
            }
            Op::MaxPool { .. } => {
                let params = max_pool::Params {
                    dims: output.dims,
                    from_stride,
                    to_stride,
                    from_offset,
                    to_offset,
                    padding: 0,
                };
                let dispatch = max_pool::dispatch(params, channels);
                self.push(program, op, (&max_pool::KERNEL, 0), &maps, vec![dispatch]);
            }
            Op::Upsample { .. } => {
                let params = upsample::Params {
                    dims: input.dims,
                    from_stride,
                    to_stride,
                    from_offset,
                    to_offset,
                    padding: 0,
                };
                let dispatch = upsample::dispatch(params, channels);
                self.push(program, op, (&upsample::KERNEL, 0), &maps, vec![dispatch]);
            }
            Op::Squeeze { .. } | Op::Unsqueeze { .. } => {
                let is_back = matches!(program.ops[op], Op::Unsqueeze { .. });
                let params = squeeze::Params {
                    dims: if is_back { input.dims } else { output.dims },
                    from_stride,
                    to_stride,
                    from_offset,
                    to_offset,
                    padding: 0,
                };
                let dispatch = squeeze::dispatch(params, num_from.min(num_to) as usize);
                let kernel = (&squeeze::KERNEL, usize::from(is_back));
                self.push(program, op, kernel, &maps, vec![dispatch]);
            }
            Op::Decide { exclusive, .. } => {
                let exclusive = u32::from(*exclusive);
                let params =
                    decide::Params { stride: from_stride, from_offset, num_from, exclusive };
                let dispatch = decide::dispatch(params);
                self.push(program, op, (&decide::KERNEL, 0), &weighted, vec![dispatch]);
            }
        }
    }

    /// Adds the dispatches of a kernel's entry, by its place among [`Kernel::entries`].
    fn push<P: Pod>(
        &mut self,
        program: &Program,
        op: usize,
        (kernel, entry): (&'static Kernel, usize),
        bindings: &[(u32, Slot)],
        dispatches: Vec<Dispatch<P>>,
    ) {
        let all = program.multiply_adds(&program.ops[op]);
        let moved: u64 = bindings
            .iter()
            .map(|(_, slot)| match slot {
                Slot::Buffer(buffer) => self.buffers[*buffer],
                _ => 0,
            })
            .sum();
        let rows: u64 = dispatches.iter().map(|d| u64::from(d.workgroups[1])).sum();
        for dispatch in dispatches {
            let share = |whole: u64| whole * u64::from(dispatch.workgroups[1]) / rows;
            self.steps.push(Step {
                op,
                kernel,
                entry: kernel.entries[entry],
                params: bytemuck::bytes_of(&dispatch.params).to_vec(),
                bindings: bindings.to_vec(),
                workgroups: dispatch.workgroups,
                cost: share(all) + share(moved),
                multiply_adds: share(all),
            });
        }
    }
}

/// Where a view lies, as the kernels count.
struct Layout {
    dims: [u32; 3],
    stride: u32,
    offset: u32,
    channels: u32,
}

impl Layout {
    fn new(program: &Program, view: &View) -> Layout {
        let buffer = &program.buffers[view.buffer];
        let stride = stride(buffer.num_voxels());
        Layout {
            dims: buffer.dims.map(|d| d as u32),
            stride,
            offset: view.channels.start as u32 * stride,
            channels: view.channels.len() as u32,
        }
    }
}
