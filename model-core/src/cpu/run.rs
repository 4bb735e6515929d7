//! Runs a plan on the CPU.

use std::ops::ControlFlow;

use super::error::CpuError;
use super::peers::{Alone, Peers};
use super::plan::{CpuPlan, PlannedStage};
use crate::network::stages::{Source, Stage};
use crate::network::{Op, View, Weights, orthogonal};
use cpu_kernels::channels::{ChannelAffine, Channels};
use cpu_kernels::conv3::Conv3;
use cpu_kernels::covariance::Covariance;
use cpu_kernels::expand_depthwise::ExpandDepthwise;
use cpu_kernels::moments::Moments;
use cpu_kernels::pointwise::Pointwise;
use cpu_kernels::slab::Slab;
use cpu_kernels::{depthwise, elementwise, max_pool, space_to_depth, upsample};

/// Values of a program's output view, for the planes of the part.
#[derive(Debug, Clone, PartialEq)]
pub enum CpuOutput {
    /// `[channel][k][j][i]`.
    Logits(Vec<f32>),
    /// Label code of every voxel, `[k][j][i]`, for a program that ends in `Decide`.
    Labels(Vec<u8>),
}

impl CpuPlan {
    /// Runs the whole program. `on_progress` receives the completed fraction, and cancels the run by
    /// breaking.
    ///
    /// # Shapes
    /// - input: `[channel][k][j][i]`
    ///
    /// # Errors
    /// The errors of [`CpuPlan::run_part`].
    pub fn run(
        &self,
        weights: &Weights,
        input: &[f32],
        on_progress: impl FnMut(f64) -> ControlFlow<()>,
    ) -> Result<CpuOutput, CpuError> {
        let mut alone = Alone::new(on_progress);
        let run = std::pin::pin!(self.run_part(weights, input, &mut alone));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match run.poll(&mut context) {
            std::task::Poll::Ready(result) => result,
            std::task::Poll::Pending => unreachable!("nothing to wait for"),
        }
    }

    /// Runs this part of the program, together with the other parts.
    ///
    /// # Shapes
    /// - input: `[channel][k][j][i]`, the planes of [`CpuPlan::input_planes`]
    ///
    /// # Errors
    /// [`CpuError::Program`] if weights or input do not fit the program; [`CpuError::OutOfMemory`];
    /// [`CpuError::Canceled`] and [`CpuError::Peer`] as `peers` say.
    pub async fn run_part(
        &self,
        weights: &Weights,
        input: &[f32],
        peers: &mut impl Peers,
    ) -> Result<CpuOutput, CpuError> {
        self.check(weights, input)?;
        let mut run = Run::new(self, weights)?;
        run.store_input(input);
        for (n, planned) in self.stages.iter().enumerate() {
            if peers.progress(n as f64 / self.stages.len() as f64).await.is_break() {
                return Err(CpuError::Canceled);
            }
            run.stage(n + 1, planned, peers).await?;
        }
        Ok(run.output())
    }
}

/// A run in progress.
pub(super) struct Run<'a> {
    plan: &'a CpuPlan,
    weights: &'a Weights,
    buffers: Vec<Vec<f32>>,
    pub(super) affines: Vec<ChannelAffine>,
    labels: Vec<u8>,
}

impl<'a> Run<'a> {
    fn new(plan: &'a CpuPlan, weights: &'a Weights) -> Result<Run<'a>, CpuError> {
        let zeros = |bytes: u64| {
            // More than the address space of the page's 32 bits cannot be reserved either.
            let (mut buffer, len) = (Vec::new(), usize::try_from(bytes / 4).unwrap_or(usize::MAX));
            buffer
                .try_reserve_exact(len)
                .map_err(|_| CpuError::OutOfMemory { needed_bytes: plan.memory.total_bytes() })?;
            buffer.resize(len, 0.0);
            Ok(buffer)
        };
        let buffers = plan.buffers.iter().map(|&bytes| zeros(bytes)).collect::<Result<_, _>>()?;
        let affines = vec![ChannelAffine::IDENTITY; plan.num_affines];
        Ok(Run { plan, weights, buffers, affines, labels: Vec::new() })
    }

    fn slab(&self, view: &View) -> &'a Slab {
        &self.plan.slabs[view.buffer]
    }

    /// Returns the parameter of a name; checked before the run.
    pub(super) fn parameter(&self, name: &str) -> &'a [f32] {
        &self.weights[name].values
    }

    pub(super) fn op(&self, index: usize) -> &'a Op {
        &self.plan.program.ops[index]
    }

    /// Returns the values of a view, `[channel][stored voxel]`.
    fn values(&self, view: &View, unit: usize) -> &[f32] {
        let (buffer, voxels) = (self.plan.buffer(view.buffer, unit), self.slab(view).voxels());
        &self.buffers[buffer][view.channels.start * voxels..view.channels.end * voxels]
    }

    fn channels(&self, source: &Source, unit: usize) -> Channels<'_> {
        let affines = self.affines_from(source.affine, source.view.channels.len());
        Channels::new(self.values(&source.view, unit), affines)
    }

    /// Returns affine maps, or `None` for identities.
    fn affines_from(&self, first: usize, channels: usize) -> Option<&[ChannelAffine]> {
        (first > 0).then(|| &self.affines[first..first + channels])
    }

    /// Runs `write` with the values of a view, which no stage reads meanwhile.
    fn write<R>(
        &mut self,
        view: &View,
        unit: usize,
        write: impl FnOnce(&Self, &mut [f32]) -> R,
    ) -> R {
        let (buffer, voxels) = (self.plan.buffer(view.buffer, unit), self.slab(view).voxels());
        let mut values = std::mem::take(&mut self.buffers[buffer]);
        let range = view.channels.start * voxels..view.channels.end * voxels;
        let result = write(self, &mut values[range]);
        self.buffers[buffer] = values;
        result
    }

    fn store_input(&mut self, input: &[f32]) {
        let view = &self.plan.program.input;
        let slab = self.slab(view);
        self.write(view, 0, |_, values| {
            let channels = values.chunks_exact_mut(slab.voxels());
            for (to, from) in channels.zip(input.chunks_exact(slab.own_voxels().len())) {
                to[slab.own_voxels()].copy_from_slice(from);
            }
        });
    }

    fn output(self) -> CpuOutput {
        if let Some(Op::Decide { .. }) = self.plan.program.ops.last() {
            return CpuOutput::Labels(self.labels);
        }
        let view = &self.plan.program.output;
        let (slab, unit) = (self.slab(view), self.plan.stages.len() + 1);
        let channels = self.values(view, unit).chunks_exact(slab.voxels());
        let mut logits = Vec::with_capacity(view.channels.len() * slab.own_voxels().len());
        channels.for_each(|channel| logits.extend_from_slice(&channel[slab.own_voxels()]));
        CpuOutput::Logits(logits)
    }

    async fn stage(
        &mut self,
        unit: usize,
        PlannedStage { stage, moments }: &PlannedStage,
        peers: &mut impl Peers,
    ) -> Result<(), CpuError> {
        if let Some(view) = stage.reads_borders_of() {
            self.exchange_borders(view, unit, peers).await?;
        }
        match stage {
            Stage::Expansion { from, op, affine } => {
                let range = self.slab(&from.view).own_voxels();
                let channels = from.view.channels.len();
                let own = Covariance::of(self.channels(from, unit), channels, range);
                self.expansion_norm(own, *op, *affine, peers).await?;
            }
            Stage::Moments { from, .. } => {
                let range = self.slab(from).own_voxels();
                let own = elementwise::moments(self.values(from, unit), from.channels.len(), range);
                self.norm(stage, own, peers).await?;
            }
            _ => {
                let own = self.kernel(unit, stage, moments.is_some());
                if let Some(norm) = moments {
                    self.norm(norm, own, peers).await?;
                }
            }
        }
        Ok(())
    }

    /// Runs the kernel of a stage. Returns the statistics of its output if they are wanted.
    fn kernel(&mut self, unit: usize, stage: &Stage, wants_moments: bool) -> Vec<Moments> {
        match stage {
            Stage::Pointwise { from, to, op, rows, cols, adds_to_output } => {
                let convolution = self.pointwise(*op, rows.clone(), cols.clone(), *adds_to_output);
                let range = self.slab(to).own_voxels();
                self.write(to, unit, |run, output| {
                    let x = run.channels(from, unit);
                    convolution.forward(x, output, range, *adds_to_output, wants_moments)
                })
            }
            Stage::ExpandDepthwise { from, to, op, channels, affine } => {
                let (Op::Pointwise { weight, .. }, Op::Depthwise3 { weight: taps, .. }) =
                    (self.op(*op), self.op(op + 2))
                else {
                    unreachable!("a block expands, then filters")
                };
                let input = from.view.channels.len();
                let norms = &self.affines[*affine..affine + channels.len()];
                let rows = |name: &str, len: usize| {
                    &self.parameter(name)[channels.start * len..channels.end * len]
                };
                let block = ExpandDepthwise::new(rows(weight, input), norms, rows(taps, 27));
                self.write(to, unit, |run, output| {
                    block.forward(run.channels(from, unit), run.slab(to), output)
                })
            }
            Stage::Conv3 { from, to, op } => {
                let Op::Conv3 { weight, .. } = self.op(*op) else { unreachable!() };
                let (weight, input) = (self.parameter(weight), from.view.channels.len());
                let at = |o: usize, c: usize, tap: usize| weight[(o * input + c) * 27 + tap];
                let convolution = Conv3::new(to.channels.len(), input, at);
                self.write(to, unit, |run, output| {
                    convolution.forward(
                        run.channels(from, unit),
                        run.slab(to),
                        output,
                        false,
                        wants_moments,
                    )
                })
            }
            Stage::Depthwise { from, to, op, channels } => {
                let Op::Depthwise3 { weight, .. } = self.op(*op) else { unreachable!() };
                let taps = &self.parameter(weight)[channels.start * 27..channels.end * 27];
                self.write(to, unit, |run, output| {
                    let x = run.channels(from, unit);
                    depthwise::forward(x, taps, run.slab(to), output, wants_moments)
                })
            }
            Stage::Add { from, to, own } => {
                let (channels, range) = (to.channels.len(), self.slab(to).own_voxels());
                self.write(to, unit, |run, output| {
                    let own = run.affines_from(*own, channels);
                    elementwise::add(run.channels(from, unit), output, channels, range, own, 1.0);
                });
                Vec::new()
            }
            Stage::NormalizeInto { from, to } => {
                let (channels, range) = (to.channels.len(), self.slab(to).own_voxels());
                self.write(to, unit, |run, output| {
                    elementwise::normalize_into(run.channels(from, unit), output, channels, range);
                });
                Vec::new()
            }
            Stage::NormalizeInPlace { to, own } => {
                let (channels, range) = (to.channels.len(), self.slab(to).own_voxels());
                self.write(to, unit, |run, output| {
                    let own = &run.affines[*own..own + channels];
                    elementwise::normalize(output, channels, range, own);
                });
                Vec::new()
            }
            Stage::MaxPool { from, to } => self.resample(unit, from, to, max_pool::forward),
            Stage::SpaceToDepth { from, to } => {
                self.resample(unit, from, to, space_to_depth::space_to_depth)
            }
            Stage::DepthToSpace { from, to } => {
                self.resample(unit, from, to, space_to_depth::depth_to_space)
            }
            Stage::Upsample { from, to, own } => {
                self.write(to, unit, |run, output| {
                    let own = own.map(|own| &run.affines[own..own + to.channels.len()]);
                    let (source, target) = (run.slab(&from.view), run.slab(to));
                    upsample::forward(run.channels(from, unit), source, output, target, own);
                });
                Vec::new()
            }
            Stage::Decide { from, op, .. } => {
                let Op::Decide { codes, exclusive, .. } = self.op(*op) else { unreachable!() };
                let range = self.slab(&from.view).own_voxels();
                let x = self.channels(from, unit);
                self.labels = elementwise::decide(x, codes, *exclusive, range);
                Vec::new()
            }
            Stage::Moments { .. } | Stage::Expansion { .. } => {
                unreachable!("statistics are computed by the caller")
            }
        }
    }

    fn resample(
        &mut self,
        unit: usize,
        from: &Source,
        to: &View,
        kernel: impl Fn(Channels, &Slab, &mut [f32], &Slab),
    ) -> Vec<Moments> {
        self.write(to, unit, |run, output| {
            kernel(run.channels(from, unit), run.slab(&from.view), output, run.slab(to));
        });
        Vec::new()
    }

    /// Packs a range of rows and columns of a 1³ convolution.
    fn pointwise(
        &self,
        op: usize,
        rows: std::ops::Range<usize>,
        cols: std::ops::Range<usize>,
        adds_to_output: bool,
    ) -> Pointwise {
        let (from, _) = self.op(op).views();
        let (input, size) = (from.channels.len(), [rows.len(), cols.len()]);
        match self.op(op) {
            Op::Pointwise { weight, bias, .. } => {
                let weight = self.parameter(weight);
                let bias = bias.as_ref().filter(|_| !adds_to_output);
                let bias = bias.map(|bias| self.parameter(bias)[rows.clone()].to_vec());
                let at = |o: usize, c: usize| weight[(rows.start + o) * input + cols.start + c];
                Pointwise::new(size[0], size[1], bias, at)
            }
            Op::Reflect { vectors, transposed, .. } => {
                let matrix = orthogonal(&self.weights[vectors]);
                let at = |o: usize, c: usize| match transposed {
                    false => matrix[(rows.start + o) * input + cols.start + c],
                    true => matrix[(cols.start + c) * input + rows.start + o],
                };
                Pointwise::new(size[0], size[1], None, at)
            }
            _ => unreachable!("a 1³ convolution"),
        }
    }

    /// Sends the own border planes of a view to the neighbors and stores theirs.
    async fn exchange_borders(
        &mut self,
        view: &View,
        unit: usize,
        peers: &mut impl Peers,
    ) -> Result<(), CpuError> {
        let (slab, [before, after]) = (self.slab(view), self.plan.part.has_neighbors());
        if !before && !after {
            return Ok(());
        }
        let plane_of = |k: usize| {
            let channels = self.values(view, unit).chunks_exact(slab.voxels());
            let planes = channels.map(|channel| &channel[k * slab.plane()..][..slab.plane()]);
            planes.collect::<Vec<_>>().concat()
        };
        let first = before.then(|| plane_of(slab.own.start));
        let last = after.then(|| plane_of(slab.own.end - 1));
        let [from_before, from_after] = peers.exchange(first, last).await?;
        let mut store = |k: usize, planes: Option<Vec<f32>>| -> Result<(), CpuError> {
            let Some(planes) = planes else { return Ok(()) };
            if planes.len() != view.channels.len() * slab.plane() {
                return Err(CpuError::Peer(format!("a border of {} values", planes.len())));
            }
            self.write(view, unit, |_, values| {
                let channels = values.chunks_exact_mut(slab.voxels());
                for (channel, plane) in channels.zip(planes.chunks_exact(slab.plane())) {
                    channel[k * slab.plane()..][..slab.plane()].copy_from_slice(plane);
                }
            });
            Ok(())
        };
        store(0, from_before)?;
        store(slab.dims[2] - 1, from_after)
    }
}
