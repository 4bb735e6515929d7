//! Convolutions that compute the statistics of their output for the norm that follows.

use std::ops::Range;

use model_core::View;
use model_core::network::stages::{Source, Stage};

use super::builder::PlanBuilder;
use super::dispatches::MAX_STEP_COST;
use super::unit::{Bound, Unit};
use crate::kernels::{InputSlab, depthwise_conv, expand_depthwise, moments, pointwise_conv, quads};
use crate::layout::MAX_BINDING_BYTES;
use crate::weights::WeightLayout;

impl PlanBuilder<'_> {
    /// Returns whether `next` is the norm of the output of `stage` and the kernel can compute its
    /// statistics. Not for few voxels, which one workgroup reads at once, and not if the chunks
    /// exceed a binding.
    pub fn fuses_moments(&self, stage: &Stage, next: &Stage) -> bool {
        let Stage::Moments { from, op, .. } = next else { return false };
        let (to, chunks) = match stage {
            Stage::Pointwise { to, adds_to_output: false, .. }
                if self.options.max_fused_channels > 0 =>
            {
                (to, self.pointwise_chunks(to))
            }
            Stage::Depthwise { from, to, .. } => {
                (to, self.chunks(from, depthwise_conv::num_chunks))
            }
            Stage::ExpandDepthwise { from, to, .. } => {
                (to, self.chunks(from, expand_depthwise::num_chunks))
            }
            _ => return false,
        };
        let num_chunks: u64 = chunks.into_iter().map(u64::from).sum();
        let bytes = moments::PARTIAL_BYTES * num_chunks * to.channels.len() as u64;
        to == from && !self.is_small(from, self.group_channels(*op)) && bytes <= MAX_BINDING_BYTES
    }

    /// Returns the chunks of each slab of a map for a kernel that reads the slab and its neighbors.
    fn chunks(&self, from: &Source, num_chunks: impl Fn(&InputSlab) -> usize) -> Vec<u32> {
        let slabs = 0..self.level(from.view.buffer).num_slabs();
        slabs.map(|slab| num_chunks(&self.input_slab(from, slab)) as u32).collect()
    }

    /// Returns the chunks of each slab of the output of a 1³ convolution.
    fn pointwise_chunks(&self, to: &View) -> Vec<u32> {
        let level = self.level(to.buffer);
        let of_slab = |slab| pointwise_conv::num_chunks(level.stride(slab)) as u32;
        (0..level.num_slabs()).map(of_slab).collect()
    }

    /// Adds a 1³ convolution with some columns and rows of its weight. It computes the statistics
    /// of its output for `norm`, the norm
    /// that follows.
    pub fn pointwise(
        &mut self,
        from: &Source,
        to: &View,
        (op, rows, cols): (usize, &Range<usize>, &Range<usize>),
        adds_to_output: bool,
        norm: Option<&Stage>,
    ) {
        let layout = WeightLayout::Pointwise { op, rows: rows.clone(), cols: cols.clone() };
        let work = (rows.len() * cols.len()) as u64;
        let row = self.level(to.buffer).dims[0];
        let of_slab = norm.map(|_| self.pointwise_chunks(to)).unwrap_or_default();
        let chunks = of_slab.iter().sum();
        let (mut first_chunk, mut of_slab) = (0, of_slab.into_iter());
        self.flat(from, to, adds_to_output, work, Some(layout), |at| {
            let params = pointwise_conv::Params {
                stride: at.stride,
                input_offset: at.input_offset,
                output_offset: at.output_offset,
                affine: from.affine as u32,
                in_channels: cols.len() as u32,
                out_channels: rows.len() as u32,
                first_block: 0,
                adds_to_output: u32::from(adds_to_output),
                row_voxels: row as u32,
                row_quads: quads(row) as u32,
                chunks,
                first_chunk,
            };
            let dispatches = pointwise_conv::dispatches(params, MAX_STEP_COST);
            match of_slab.next() {
                None => at.unit.push((&pointwise_conv::KERNEL, 0), &at.bindings, dispatches),
                Some(here) => {
                    first_chunk += here;
                    at.bindings.push((7, Bound::Partials));
                    at.unit.push((&pointwise_conv::KERNEL, 1), &at.bindings, dispatches);
                }
            }
        });
        self.combine_fused_moments(chunks, norm, to);
    }

    /// Adds a depthwise convolution. It computes the statistics of its output for `norm`,
    /// the norm that follows.
    pub fn depthwise(
        &mut self,
        from: &Source,
        to: &View,
        op: usize,
        channels: &Range<usize>,
        norm: Option<&Stage>,
    ) {
        let layout = WeightLayout::Depthwise { op, channels: channels.clone() };
        let num_channels = to.channels.len();
        let work = 27 * num_channels as u64;
        let num_chunks = depthwise_conv::num_chunks;
        self.neighbors_with_moments(
            from,
            to,
            (work, layout),
            num_chunks,
            norm,
            |at, unit, bound| {
                let params = depthwise_conv::Params {
                    input: at.input,
                    output_channel: to.channels.start as u32,
                    first_channel: 0,
                    chunks: at.chunks,
                    first_chunk: at.first_chunk,
                };
                let dispatches = depthwise_conv::dispatches(params, num_channels, MAX_STEP_COST);
                unit.push((&depthwise_conv::KERNEL, 0), bound, dispatches);
            },
        );
    }

    /// Adds a range of channels of a 1³ convolution, its norm and a depthwise convolution, like
    /// [`PlanBuilder::depthwise`].
    pub fn expand_depthwise(
        &mut self,
        from: &Source,
        to: &View,
        (op, channels, affine): (usize, &Range<usize>, usize),
        norm: Option<&Stage>,
    ) {
        let layout = WeightLayout::ExpandDepthwise { op, channels: channels.clone() };
        let (in_channels, out_channels) = (from.view.channels.len(), to.channels.len());
        let work = ((in_channels + 27) * out_channels) as u64;
        let num_chunks = expand_depthwise::num_chunks;
        self.neighbors_with_moments(
            from,
            to,
            (work, layout),
            num_chunks,
            norm,
            |at, unit, bound| {
                let params = expand_depthwise::Params {
                    input: at.input,
                    in_channels: in_channels as u32,
                    out_channels: out_channels as u32,
                    output_channel: to.channels.start as u32,
                    expanded_affine: affine as u32,
                    first_block: 0,
                    first_segment: 0,
                    chunks: at.chunks,
                    first_chunk: at.first_chunk,
                };
                unit.more_work = expand_depthwise::work(&params).saturating_sub(unit.multiply_adds);
                let dispatches = expand_depthwise::dispatches(params, MAX_STEP_COST);
                unit.push((&expand_depthwise::KERNEL, 0), bound, dispatches);
            },
        );
    }

    /// Adds a kernel from a slab and its neighbors to the same slab of another map. It computes
    /// `num_chunks` chunks of statistics per slab.
    fn neighbors_with_moments(
        &mut self,
        from: &Source,
        to: &View,
        (work, layout): (u64, WeightLayout),
        num_chunks: impl Fn(&InputSlab) -> usize,
        norm: Option<&Stage>,
        dispatch: impl Fn(MomentChunks, &mut Unit, &[(u32, Bound)]),
    ) {
        let of_slab = self.chunks(from, num_chunks);
        let chunks = if norm.is_some() { of_slab.iter().sum() } else { 0 };
        let mut first_chunk = 0;
        let mut of_slab = of_slab.into_iter();
        self.neighbors(from, to, work, layout, |input, unit, bound| {
            let bound = [bound, &[(7, Bound::Partials)]].concat();
            dispatch(MomentChunks { input, chunks, first_chunk }, unit, &bound);
            first_chunk += of_slab.next().expect("one for every slab");
        });
        self.combine_fused_moments(chunks, norm, to);
    }

    /// Reduces the chunks that a convolution wrote.
    fn combine_fused_moments(&mut self, chunks: u32, norm: Option<&Stage>, to: &View) {
        if let Some(Stage::Moments { from, op, channels, affine }) = norm {
            let params = self.norm(from, *op, channels, *affine);
            self.combine(moments::Params { chunks, ..params }, *op, to.channels.len());
        }
    }
}

/// Parameters of a kernel that computes statistics.
struct MomentChunks {
    input: InputSlab,
    /// Chunks of a channel over all slabs; 0 without statistics.
    chunks: u32,
    /// First chunk of this slab.
    first_chunk: u32,
}
