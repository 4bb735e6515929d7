//! Statistics of norms: of a map, or of the output of a 1³ convolution.

use std::ops::Range;

use model_core::network::config::NORM_EPSILON;
use model_core::network::stages::Source;
use model_core::{Op, View};

use super::builder::PlanBuilder;
use super::dispatches::MAX_STEP_COST;
use super::unit::{Bound, Unit};
use crate::kernels::{covariance, expansion, moments, quads};
use crate::weights::WeightLayout;

impl PlanBuilder<'_> {
    /// Adds the affine maps of a norm after a 1³ convolution that is never written, from its input.
    pub fn expansion(&mut self, from: &Source, op: usize, affine: usize) {
        let (view, in_channels) = (&from.view, from.view.channels.len());
        let out_channels = self.program.ops[op].views().1.channels.len();
        let norm = self.norm(view, op + 1, &(0..out_channels), affine);
        let level = self.level(view.buffer);
        let slabs = 0..level.num_slabs();
        let of_slab = |slab| covariance::num_chunks(level.stride(slab)) as u32;
        let mut params = covariance::Params {
            stride: 0,
            offset: 0,
            row_voxels: norm.row_voxels,
            row_quads: norm.row_quads,
            affine: from.affine as u32,
            in_channels: in_channels as u32,
            chunks: slabs.clone().map(of_slab).sum(),
            first_chunk: 0,
            start_chunk: 0,
        };
        for slab in slabs {
            let stride = level.stride(slab);
            params.stride = stride as u32;
            params.offset = (view.channels.start * stride) as u32;
            let (reads, moved) = (vec![self.touch(view, slab)], self.bytes(view, slab));
            let mut unit = Unit::new(reads, Vec::new(), 0, moved);
            unit.more_work = covariance::work(in_channels, stride);
            let bound =
                [(1, Bound::Slab(view.buffer, slab)), (4, Bound::Affines), (5, Bound::Partials)];
            let dispatches = covariance::dispatches(params, MAX_STEP_COST);
            unit.push((&covariance::KERNEL, 0), &bound, dispatches);
            self.units.push(unit);
            params.first_chunk += of_slab(slab);
        }
        let records = (u64::from(params.chunks) + 1) * covariance::num_pairs(in_channels) as u64;
        self.partials_bytes = self.partials_bytes.max(covariance::PAIR_BYTES * records);
        let params = expansion::Params {
            in_channels: in_channels as u32,
            chunks: params.chunks,
            group_channels: norm.group_channels,
            affine: affine as u32,
            slope: norm.slope,
            epsilon: norm.epsilon,
        };
        let weights = self.weights.add(self.program, WeightLayout::Expansion { op });
        let bound = [(5, Bound::Partials), (6, Bound::Weights(weights)), (7, Bound::Affines)];
        let mut unit = Unit::new(Vec::new(), Vec::new(), 0, 0);
        unit.push((&expansion::KERNEL, 0), &bound[..1], [expansion::combine(params)]);
        unit.push((&expansion::KERNEL, 1), &bound, [expansion::norm_affines(params, out_channels)]);
        self.units.push(unit);
    }

    /// Adds the statistics of a map.
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

    /// Adds the reduction of chunks.
    pub(super) fn combine(&mut self, params: moments::Params, op: usize, num_channels: usize) {
        let bytes = moments::PARTIAL_BYTES * u64::from(params.chunks) * num_channels as u64;
        self.partials_bytes = self.partials_bytes.max(bytes);
        let mut unit = Unit::new(Vec::new(), Vec::new(), 0, 0);
        let bound = [&[(5, Bound::Partials)][..], &self.affines(op)].concat();
        let dispatch = moments::groups(params, num_channels);
        unit.push((&moments::KERNEL, 1), &bound, [dispatch]);
        self.units.push(unit);
    }

    fn affines(&mut self, op: usize) -> [(u32, Bound); 2] {
        let weights = self.weights.add(self.program, WeightLayout::Affine { op });
        [(6, Bound::Weights(weights)), (7, Bound::Affines)]
    }

    /// Returns whether a group has few voxels.
    pub(super) fn is_small(&self, view: &View, group_channels: usize) -> bool {
        let level = self.level(view.buffer);
        level.num_slabs() == 1 && group_channels * level.stride(0) <= moments::MAX_WHOLE_GROUP_QUADS
    }

    pub(super) fn group_channels(&self, op: usize) -> usize {
        match &self.program.ops[op] {
            Op::GroupNorm { groups, from, .. } => from.channels.len() / groups,
            _ => unreachable!("moments are of norms"),
        }
    }

    /// Returns the parameters that all slabs share.
    pub(super) fn norm(
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
            row_voxels: row as u32,
            row_quads: quads(row) as u32,
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
