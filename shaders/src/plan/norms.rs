//! The statistics of norms: taken of a map, or on the way where a depthwise convolution writes it.

use std::ops::Range;

use model_core::config::NORM_EPSILON;
use model_core::{Op, View};

use super::Draft;
use super::dispatches::MAX_STEP_COST;
use super::unit::{Bound, Unit};
use crate::kernels::{depthwise_conv, moments, quads};
use crate::lower::{Source, Stage};
use crate::weights::Packing;

impl Draft<'_> {
    /// Whether the second stage takes the statistics of what the first writes, and they can be taken on
    /// the way: not of few voxels, which are read at once.
    pub fn is_counted(&self, stage: &Stage, next: &Stage) -> bool {
        match (stage, next) {
            (Stage::Depthwise { to, .. }, Stage::Moments { from, op, .. }) => {
                to == from && !self.is_small(from, self.group_channels(*op))
            }
            _ => false,
        }
    }

    /// A depthwise convolution, with the statistics of its output for the norm that `counted` is.
    pub fn depthwise(
        &mut self,
        from: &Source,
        to: &View,
        op: usize,
        channels: &Range<usize>,
        counted: Option<&Stage>,
    ) {
        let packing = Packing::Depthwise { op, channels: channels.clone() };
        let num_channels = to.channels.len();
        let slabs = 0..self.level(to.buffer).num_slabs();
        let of_slab: Vec<usize> =
            slabs.map(|slab| depthwise_conv::num_chunks(&self.window(from, slab))).collect();
        let chunks = if counted.is_some() { of_slab.iter().sum() } else { 0 };
        let mut first_chunks = of_slab.iter().scan(0, |end, n| {
            *end += n;
            Some(*end - n)
        });
        let work = 27 * num_channels as u64;
        self.neighbors(from, to, work, packing, |window, unit, bound| {
            let params = depthwise_conv::Params {
                window,
                to_channel: to.channels.start as u32,
                first_channel: 0,
                chunks: chunks as u32,
                first_chunk: first_chunks.next().expect("one for every slab") as u32,
            };
            let bound = [bound, &[(7, Bound::Partials)]].concat();
            let dispatches = depthwise_conv::dispatches(params, num_channels, MAX_STEP_COST);
            unit.push((&depthwise_conv::KERNEL, 0), &bound, dispatches);
        });
        if let Some(Stage::Moments { from, op, channels, affine }) = counted {
            let params = self.norm(from, *op, channels, *affine);
            self.combine(moments::Params { chunks: chunks as u32, ..params }, *op, num_channels);
        }
    }

    /// The statistics of what lies there.
    pub fn moments(&mut self, from: &View, op: usize, channels: &Range<usize>, affine: usize) {
        let mut params = self.norm(from, op, channels, affine);
        let level = self.level(from.buffer);
        let stride = |slab: usize| level.stride(slab);
        let offset = |slab: usize| (from.channels.start * stride(slab)) as u32;
        if self.is_small(from, params.group_channels as usize) {
            (params.stride, params.offset) = (stride(0) as u32, offset(0));
            let mut unit = Unit::new(vec![self.touch(from, 0)], Vec::new(), 0, self.bytes(from, 0));
            let affines = self.affines(op);
            let bound = [&[(1, Bound::Slab(from.buffer, 0))][..], &affines].concat();
            let dispatch = moments::groups(params, channels.len());
            unit.push((&moments::KERNEL, 2), &bound, [dispatch]);
            self.units.push(unit);
            return;
        }
        let slabs = 0..level.num_slabs();
        params.chunks = slabs.clone().map(|slab| moments::num_chunks(stride(slab)) as u32).sum();
        for slab in slabs {
            (params.stride, params.offset) = (stride(slab) as u32, offset(slab));
            let (reads, moved) = (vec![self.touch(from, slab)], self.bytes(from, slab));
            let mut unit = Unit::new(reads, Vec::new(), 0, moved);
            let bound = [(1, Bound::Slab(from.buffer, slab)), (5, Bound::Partials)];
            let dispatch = moments::partial(params, channels.len());
            unit.push((&moments::KERNEL, 0), &bound, [dispatch]);
            self.units.push(unit);
            params.first_chunk += moments::num_chunks(stride(slab)) as u32;
        }
        self.combine(params, op, channels.len());
    }

    /// Joins the chunks.
    fn combine(&mut self, params: moments::Params, op: usize, num_channels: usize) {
        let bytes = moments::PARTIAL_BYTES * u64::from(params.chunks) * num_channels as u64;
        self.partials_bytes = self.partials_bytes.max(bytes);
        let mut unit = Unit::new(Vec::new(), Vec::new(), 0, 0);
        let bound = [&[(5, Bound::Partials)][..], &self.affines(op)].concat();
        let dispatch = moments::groups(params, num_channels);
        unit.push((&moments::KERNEL, 1), &bound, [dispatch]);
        self.units.push(unit);
    }

    fn affines(&mut self, op: usize) -> [(u32, Bound); 2] {
        let piece = self.pieces.add(self.program, Packing::Affine { op });
        [(6, Bound::Weights(piece)), (7, Bound::Affines)]
    }

    /// A group of few voxels.
    fn is_small(&self, view: &View, group_channels: usize) -> bool {
        let level = self.level(view.buffer);
        level.num_slabs() == 1 && group_channels * level.stride(0) <= moments::WHOLE
    }

    fn group_channels(&self, op: usize) -> usize {
        match &self.program.ops[op] {
            Op::GroupNorm { groups, from, .. } => from.channels.len() / groups,
            _ => unreachable!("moments are of norms"),
        }
    }

    /// What is the same for all slabs.
    fn norm(
        &self,
        from: &View,
        op: usize,
        channels: &Range<usize>,
        affine: usize,
    ) -> moments::Params {
        let Op::GroupNorm { activation, .. } = &self.program.ops[op] else { unreachable!() };
        let row = self.level(from.buffer).dims[0];
        moments::Params {
            stride: 0,
            offset: 0,
            row: row as u32,
            quads: quads(row) as u32,
            affine: affine as u32,
            group_channels: self.group_channels(op) as u32,
            chunks: 0,
            first_chunk: 0,
            first_channel: channels.start as u32,
            slope: activation.negative_slope(),
            epsilon: NORM_EPSILON,
        }
    }
}
