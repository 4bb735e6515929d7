//! Turns a stage into units: one for every slab that it writes.

use model_core::network::lifetimes::BufferAccess;
use model_core::network::stages::{Source, Stage};
use model_core::{Op, View};

use super::builder::PlanBuilder;
use super::unit::{Bound, Unit};
use crate::kernels::{InputSlab, add, conv3, decide, max_pool, quads, space_to_depth, upsample};
use crate::weights::WeightLayout;

/// Largest number of multiply-adds per step, for operations that can be split: a slow GPU is not
/// busy for seconds (browsers reset it), and a canceled run ends soon.
pub(super) const MAX_STEP_COST: u64 = 1 << 28;

impl PlanBuilder<'_> {
    /// Adds the units of a stage, and of the norm whose statistics it computes.
    pub fn stage(&mut self, stage: &Stage, norm: Option<&Stage>) {
        match stage {
            Stage::Pointwise { from, to, op, rows, cols, adds_to_output } => {
                self.pointwise(from, to, (*op, rows, cols), *adds_to_output, norm);
            }
            Stage::Decide { from, to, op } => {
                let Op::Decide { exclusive, .. } = self.program.ops[*op] else { unreachable!() };
                self.flat(from, to, false, 0, Some(WeightLayout::Codes { op: *op }), |at| {
                    let params = decide::Params {
                        stride: at.stride,
                        input_offset: at.input_offset,
                        affine: from.affine as u32,
                        in_channels: from.view.channels.len() as u32,
                        is_exclusive: u32::from(exclusive),
                    };
                    let dispatch = decide::dispatch(params);
                    at.unit.push((&decide::KERNEL, 0), &at.bindings, [dispatch]);
                });
            }
            Stage::Add { from, to, own } => self.sum(from, to, *own, 0),
            Stage::NormalizeInto { from, to } => self.sum(from, to, 0, 1),
            Stage::NormalizeInPlace { to, own } => {
                self.sum(&Source { view: to.clone(), affine: 0 }, to, *own, 2);
            }
            Stage::Conv3 { from, to, op } => {
                let (in_channels, out_channels) = (from.view.channels.len(), to.channels.len());
                let work = 27 * (in_channels * out_channels) as u64;
                self.neighbors(
                    from,
                    to,
                    work,
                    WeightLayout::Conv3 { op: *op },
                    |input, unit, bound| {
                        let params = conv3::Params {
                            input,
                            output_channel: to.channels.start as u32,
                            in_channels: in_channels as u32,
                            out_channels: out_channels as u32,
                            first_block: 0,
                            start_plane: 0,
                            end_plane: 0,
                            padding: [0; 2],
                        };
                        let dispatches = conv3::dispatches(params, MAX_STEP_COST);
                        unit.push((&conv3::KERNEL, 0), bound, dispatches);
                    },
                );
            }
            Stage::Expansion { from, op, affine } => self.expansion(from, *op, *affine),
            Stage::ExpandDepthwise { from, to, op, channels, affine } => {
                self.expand_depthwise(from, to, (*op, channels, *affine), norm);
            }
            Stage::Depthwise { from, to, op, channels } => {
                self.depthwise(from, to, *op, channels, norm);
            }
            Stage::Moments { from, op, channels, affine } => {
                self.moments(from, *op, channels, *affine);
            }
            Stage::MaxPool { from, to } => {
                let channels = to.channels.len();
                self.resampled(
                    from,
                    to,
                    |k| 2 * k,
                    (0, 1),
                    None,
                    |input, output, unit, bound| {
                        let dispatch =
                            max_pool::dispatch(max_pool::Params { input, output }, channels);
                        unit.push((&max_pool::KERNEL, 0), bound, [dispatch]);
                    },
                );
            }
            Stage::Upsample { from, to, own } => {
                let channels = to.channels.len();
                let own = *own;
                self.resampled(
                    from,
                    to,
                    |k| k / 2,
                    (1, 1),
                    own,
                    |input, output, unit, bound| {
                        let params = upsample::Params {
                            input,
                            output,
                            output_affine: own.unwrap_or(0) as u32,
                            adds_to_output: u32::from(own.is_some()),
                            padding: [0; 2],
                        };
                        unit.push(
                            (&upsample::KERNEL, 0),
                            bound,
                            [upsample::dispatch(params, channels)],
                        );
                    },
                );
            }
            Stage::SpaceToDepth { from, to } => {
                let channels = from.view.channels.len();
                self.resampled(
                    from,
                    to,
                    |k| 2 * k,
                    (0, 1),
                    None,
                    |input, output, unit, bound| {
                        let params = space_to_depth::Params { input, output };
                        let dispatch = space_to_depth::dispatch(params, channels, false);
                        unit.push((&space_to_depth::KERNEL, 0), bound, [dispatch]);
                    },
                );
            }
            Stage::DepthToSpace { from, to } => {
                let channels = to.channels.len();
                self.resampled(
                    from,
                    to,
                    |k| k / 2,
                    (0, 0),
                    None,
                    |input, output, unit, bound| {
                        let params = space_to_depth::Params { input, output };
                        let dispatch = space_to_depth::dispatch(params, channels, true);
                        unit.push((&space_to_depth::KERNEL, 1), bound, [dispatch]);
                    },
                );
            }
        }
    }

    pub(super) fn touch(&self, view: &View, slab: usize) -> BufferAccess {
        BufferAccess { map: view.buffer, slab, channels: view.channels.clone() }
    }

    /// Returns the bytes of a view's slab.
    pub(super) fn bytes(&self, view: &View, slab: usize) -> u64 {
        let values = view.channels.len() * self.level(view.buffer).stride(slab);
        self.quad_bytes(view.buffer) * values as u64
    }

    /// Adds a kernel from a slab to the same slab of another map, voxel by voxel.
    pub(super) fn flat(
        &mut self,
        from: &Source,
        to: &View,
        is_changed: bool,
        work: u64,
        layout: Option<WeightLayout>,
        mut dispatch: impl FnMut(&mut Flat),
    ) {
        let level = self.level(to.buffer);
        let weights = layout.map(|layout| self.weights.add(self.program, layout));
        for slab in 0..level.num_slabs() {
            let stride = level.stride(slab);
            let (input, output) = (self.touch(&from.view, slab), self.touch(to, slab));
            let mut bindings = vec![(4, Bound::Affines), (5, Bound::Slab(to.buffer, slab))];
            let mut reads = Vec::new();
            if from.view.buffer != to.buffer {
                bindings.push((1, Bound::Slab(from.view.buffer, slab)));
                reads.push(input);
            }
            bindings.extend(weights.map(|weights| (6, Bound::Weights(weights))));
            if is_changed {
                reads.push(output.clone());
            }
            let moved =
                self.bytes(&from.view, slab) + self.bytes(to, slab) * (1 + u64::from(is_changed));
            let voxels = (level.dims[0] * level.dims[1] * level.planes(slab).len()) as u64;
            let unit = Unit::new(reads, vec![output], work * voxels, moved);
            let mut flat = Flat {
                unit,
                bindings,
                stride: stride as u32,
                input_offset: (from.view.channels.start * stride) as u32,
                output_offset: (to.channels.start * stride) as u32,
            };
            dispatch(&mut flat);
            self.units.push(flat.unit);
        }
    }

    /// Adds an addition, or a norm alone.
    fn sum(&mut self, from: &Source, to: &View, own: usize, entry: usize) {
        let channels = to.channels.len();
        self.flat(from, to, entry != 1, 0, None, |at| {
            let params = add::Params {
                stride: at.stride,
                input_offset: at.input_offset,
                output_offset: at.output_offset,
                affine: from.affine as u32,
                output_affine: own as u32,
            };
            at.unit.push((&add::KERNEL, entry), &at.bindings, [add::dispatch(params, channels)]);
        });
    }

    /// Returns the slab of a source with its neighbors.
    pub(super) fn input_slab(&self, from: &Source, slab: usize) -> InputSlab {
        let level = self.level(from.view.buffer);
        let planes = |slab: Option<usize>| slab.map_or(0, |slab| level.planes(slab).len()) as u32;
        InputSlab {
            dims: level.dims.map(|d| d as u32),
            row_quads: quads(level.dims[0]) as u32,
            first_plane: level.planes(slab).start as u32,
            planes: planes(Some(slab)),
            planes_before: planes(slab.checked_sub(1)),
            planes_after: planes(Some(slab + 1)),
            first_channel: from.view.channels.start as u32,
            affine: from.affine as u32,
            padding: [0; 2],
        }
    }

    /// Returns the bindings of a slab with its neighbors, and the slabs that are read. `sides` selects
    /// whether the previous and the next slab are read.
    pub(super) fn around(
        &self,
        from: &Source,
        slab: usize,
        sides: [bool; 2],
    ) -> (Vec<(u32, Bound)>, Vec<BufferAccess>) {
        let map = from.view.buffer;
        let last = self.level(map).num_slabs() - 1;
        let before = if sides[0] { slab.saturating_sub(1) } else { slab };
        let after = if sides[1] { (slab + 1).min(last) } else { slab };
        let bound = vec![
            (1, Bound::Slab(map, slab)),
            (2, Bound::Slab(map, before)),
            (3, Bound::Slab(map, after)),
            (4, Bound::Affines),
        ];
        let mut slabs = vec![before, slab, after];
        slabs.dedup();
        (bound, slabs.into_iter().map(|slab| self.touch(&from.view, slab)).collect())
    }

    /// Adds a kernel from a slab and its neighbors to the same slab of another map.
    pub(super) fn neighbors(
        &mut self,
        from: &Source,
        to: &View,
        work: u64,
        layout: WeightLayout,
        mut dispatch: impl FnMut(InputSlab, &mut Unit, &[(u32, Bound)]),
    ) {
        let level = self.level(to.buffer);
        let weights = self.weights.add(self.program, layout);
        for slab in 0..level.num_slabs() {
            let (mut bound, reads) = self.around(from, slab, [true; 2]);
            bound.extend([(5, Bound::Slab(to.buffer, slab)), (6, Bound::Weights(weights))]);
            let moved = self.bytes(&from.view, slab) + self.bytes(to, slab);
            let voxels = (level.dims[0] * level.dims[1] * level.planes(slab).len()) as u64;
            let writes = vec![self.touch(to, slab)];
            let mut unit = Unit::new(reads, writes, work * voxels, moved);
            dispatch(self.input_slab(from, slab), &mut unit, &bound);
            self.units.push(unit);
        }
    }
}

/// A unit that works voxel by voxel.
pub(super) struct Flat {
    pub unit: Unit,
    pub bindings: Vec<(u32, Bound)>,
    pub stride: u32,
    pub input_offset: u32,
    pub output_offset: u32,
}
