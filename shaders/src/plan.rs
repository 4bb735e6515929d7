//! First step of a run: a program, checked and laid out as dispatches. A value; needs no GPU.

use bytemuck::Pod;
use model_core::config::NORM_EPSILON;
use model_core::{Op, Program, View, Weights};

use crate::Error;
use crate::footprint::{buffer_sizes, norm_sizes};
use crate::kernels::{
    Dispatch, Kernel, add, conv3, decide, depthwise_conv, group_norm, max_pool, moments,
    pointwise_conv, stride, upsample,
};

mod check;
mod pack;

/// The most bytes of one storage binding under WebGPU's default limits.
pub const MAX_BINDING_BYTES: u64 = 128 << 20;

/// No step does more multiply-adds where its operation can be split, so that a slow GPU is not
/// held for seconds (browsers reset one that is) and a cancelled run ends soon.
const MAX_STEP_COST: u64 = 1 << 30;

/// What is bound to a kernel beside its `params`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// A buffer of the program.
    Buffer(usize),
    /// The packed parameters of the step's operation.
    Weights,
    /// The norms' chunks.
    Partials,
    /// The norms' groups.
    Statistics,
}

/// One dispatch.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Which of the program's operations.
    pub op: usize,
    /// The kernel.
    pub kernel: &'static Kernel,
    /// Its entry point.
    pub entry: &'static str,
    /// Its `Params`.
    pub params: Vec<u8>,
    /// Its bindings from 1 on (0 is `params`), with their numbers.
    pub bindings: Vec<(u32, Slot)>,
    /// Workgroups along x, y, z.
    pub workgroups: [u32; 3],
    /// Multiply-adds, and values moved: a rough measure of its time.
    pub cost: u64,
    /// Multiply-adds alone.
    pub multiply_adds: u64,
}

/// A program as the engine runs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Bytes of the program's buffers.
    pub buffers: Vec<u64>,
    /// Bytes of the norms' chunks.
    pub partials_bytes: u64,
    /// Bytes of the norms' groups.
    pub statistics_bytes: u64,
    /// For each operation its parameters as the kernels read them.
    pub weights: Vec<Vec<u8>>,
    /// The dispatches in order.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Checks a program and its weights, and lays it out.
    ///
    /// # Errors
    /// [`Error::Program`] when views, sizes or weights do not fit each other;
    /// [`Error::TooLarge`] when a buffer exceeds [`MAX_BINDING_BYTES`].
    pub fn new(program: &Program, weights: &Weights) -> Result<Plan, Error> {
        check::check(program)?;
        let (partials_bytes, statistics_bytes) = norm_sizes(program);
        let packed = program.ops.iter().map(|op| pack::pack(op, weights)).collect::<Result<_, _>>();
        let mut plan = Plan {
            buffers: buffer_sizes(program),
            partials_bytes,
            statistics_bytes,
            weights: packed?,
            steps: Vec::new(),
        };
        for op in 0..program.ops.len() {
            plan.lay_out(program, op);
        }
        Ok(plan)
    }

    fn lay_out(&mut self, program: &Program, op: usize) {
        let view = |view: &View| Layout::new(program, view);
        match &program.ops[op] {
            Op::Pointwise { from, to, .. } => {
                let (input, output) = (view(from), view(to));
                let params = pointwise_conv::Params {
                    stride: input.stride,
                    from_offset: input.offset,
                    to_offset: output.offset,
                    num_from: input.channels,
                    num_to: output.channels,
                    first_block: 0,
                };
                let dispatches = pointwise_conv::dispatches(params, MAX_STEP_COST);
                self.push(program, op, &pointwise_conv::KERNEL, &convolution(from, to), dispatches);
            }
            Op::Conv3 { from, to, .. } => {
                let (input, output) = (view(from), view(to));
                let params = conv3::Params {
                    dims: input.dims,
                    stride: input.stride,
                    from_offset: input.offset,
                    to_offset: output.offset,
                    num_from: input.channels,
                    num_to: output.channels,
                    first_block: 0,
                    padding: [0; 3],
                };
                let dispatches = conv3::dispatches(params, MAX_STEP_COST);
                self.push(program, op, &conv3::KERNEL, &convolution(from, to), dispatches);
            }
            Op::Depthwise3 { from, to, .. } => {
                let (input, output) = (view(from), view(to));
                let params = depthwise_conv::Params {
                    dims: input.dims,
                    stride: input.stride,
                    from_offset: input.offset,
                    to_offset: output.offset,
                    first_channel: 0,
                    padding: 0,
                };
                let channels = to.channels.len();
                let dispatches = depthwise_conv::dispatches(params, channels, MAX_STEP_COST);
                self.push(program, op, &depthwise_conv::KERNEL, &convolution(from, to), dispatches);
            }
            Op::GroupNorm { on, groups, activation, .. } => {
                let layout = view(on);
                let params = moments::Params {
                    stride: layout.stride,
                    num_voxels: program.buffers[on.buffer].num_voxels() as u32,
                    offset: layout.offset,
                    group_channels: layout.channels / *groups as u32,
                    chunks: moments::num_chunks(layout.stride) as u32,
                    epsilon: NORM_EPSILON,
                };
                let apply = group_norm::Params {
                    stride: layout.stride,
                    offset: layout.offset,
                    group_channels: params.group_channels,
                    negative_slope: activation.negative_slope(),
                };
                let values = (1, Slot::Buffer(on.buffer));
                let passes = moments::dispatches(params, on.channels.len());
                let bindings = [
                    vec![values, (2, Slot::Partials)],
                    vec![(2, Slot::Partials), (3, Slot::Statistics)],
                ];
                for (n, (dispatch, bindings)) in passes.into_iter().zip(bindings).enumerate() {
                    self.push_entry(program, op, &moments::KERNEL, n, &bindings, vec![dispatch]);
                }
                let dispatch = group_norm::dispatch(apply, on.channels.len());
                let bindings = [values, (2, Slot::Statistics), (3, Slot::Weights)];
                self.push(program, op, &group_norm::KERNEL, &bindings, vec![dispatch]);
            }
            Op::AddInPlace { from, to } => {
                let (input, output) = (view(from), view(to));
                let params = add::Params {
                    stride: input.stride,
                    from_offset: input.offset,
                    to_offset: output.offset,
                };
                let dispatch = add::dispatch(params, to.channels.len());
                self.push(program, op, &add::KERNEL, &between(from, to), vec![dispatch]);
            }
            Op::MaxPool { from, to } => {
                let (input, output) = (view(from), view(to));
                let params = max_pool::Params {
                    dims: output.dims,
                    from_stride: input.stride,
                    to_stride: output.stride,
                    from_offset: input.offset,
                    to_offset: output.offset,
                    padding: 0,
                };
                let dispatch = max_pool::dispatch(params, to.channels.len());
                self.push(program, op, &max_pool::KERNEL, &between(from, to), vec![dispatch]);
            }
            Op::Upsample { from, to } => {
                let (input, output) = (view(from), view(to));
                let params = upsample::Params {
                    dims: input.dims,
                    from_stride: input.stride,
                    to_stride: output.stride,
                    from_offset: input.offset,
                    to_offset: output.offset,
                    padding: 0,
                };
                let dispatch = upsample::dispatch(params, to.channels.len());
                self.push(program, op, &upsample::KERNEL, &between(from, to), vec![dispatch]);
            }
            Op::Decide { from, to, exclusive, .. } => {
                let input = view(from);
                let params = decide::Params {
                    stride: input.stride,
                    from_offset: input.offset,
                    num_from: input.channels,
                    exclusive: u32::from(*exclusive),
                };
                let dispatch = decide::dispatch(params);
                self.push(program, op, &decide::KERNEL, &convolution(from, to), vec![dispatch]);
            }
        }
    }

    fn push<P: Pod>(
        &mut self,
        program: &Program,
        op: usize,
        kernel: &'static Kernel,
        bindings: &[(u32, Slot)],
        dispatches: Vec<Dispatch<P>>,
    ) {
        self.push_entry(program, op, kernel, 0, bindings, dispatches);
    }

    fn push_entry<P: Pod>(
        &mut self,
        program: &Program,
        op: usize,
        kernel: &'static Kernel,
        entry: usize,
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

fn between(from: &View, to: &View) -> [(u32, Slot); 2] {
    [(1, Slot::Buffer(from.buffer)), (2, Slot::Buffer(to.buffer))]
}

fn convolution(from: &View, to: &View) -> [(u32, Slot); 3] {
    let [from, to] = between(from, to);
    [from, to, (3, Slot::Weights)]
}

/// Weights of the shapes that a network asks for.
#[cfg(test)]
pub(crate) fn random_weights(config: &model_core::UNetConfig) -> Weights {
    use rand::{RngExt, SeedableRng};
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
    let parameters = model_core::config::parameters(config).into_iter();
    parameters
        .map(|parameter| {
            let len = parameter.shape.iter().product();
            let values = (0..len).map(|_| rng.random_range(-1.0..1.0)).collect();
            (parameter.name, model_core::Array { shape: parameter.shape, values })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model_core::UNetConfig;

    #[test]
    fn no_dispatch_exceeds_the_default_limits_and_all_work_is_counted() {
        for (preset, size) in [("demo", 128), ("mbconv-base", 64), ("mbconv-slim", 96)] {
            let config = UNetConfig::preset(preset, 4, 3).unwrap();
            let program = Program::new(&config, [size; 3]).unwrap();
            let plan = Plan::new(&program, &random_weights(&config)).unwrap();
            for step in &plan.steps {
                assert!(step.workgroups.iter().all(|&n| (1..=65_535).contains(&n)), "{step:?}");
                assert_eq!(step.params.len(), step.kernel.params_bytes);
            }
            let done: u64 = plan.steps.iter().map(|step| step.multiply_adds).sum();
            let total = program.total_multiply_adds();
            assert!(total - done <= plan.steps.len() as u64, "{preset}: {done} of {total}");
        }
    }

    #[test]
    fn missing_and_misshapen_weights_are_refused_by_name() {
        let config = UNetConfig::preset("demo", 1, 2).unwrap();
        let program = Program::new(&config, [16; 3]).unwrap();
        let whole = random_weights(&config);
        let mut weights = whole.clone();
        weights.remove("head.bias");
        let error = Plan::new(&program, &weights).unwrap_err().to_string();
        assert!(error.contains("head.bias") && error.contains("none"), "{error}");
        let mut weights = whole;
        weights.get_mut("head.weight").unwrap().values.pop();
        let error = Plan::new(&program, &weights).unwrap_err().to_string();
        assert!(error.contains("head.weight") && error.contains("31 values"), "{error}");
    }
}
