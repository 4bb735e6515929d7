//! The residual of an MBConv block. Its expanded channels need not exist all at once, since group
//! norms work per group and the projection is a sum. With fusion they are never written at all.

use model_core::{Buffer, Op, Program, View};

use super::{Lowering, Source, Stage};
use crate::{Error, PlanOptions};

/// The operations expand, norm, depthwise, norm, project, norm, add.
pub struct Block {
    at: usize,
    from: View,
    expanded: View,
    deep: View,
    projected: View,
    onto: View,
    groups: [usize; 2],
}

impl Block {
    /// Operations of a block.
    pub const OPS: usize = 7;

    /// Returns the block that begins at operation `at`.
    pub fn at(program: &Program, at: usize) -> Option<Block> {
        let ops = program.ops.get(at..at + Block::OPS)?;
        let [
            Op::Pointwise { from, to: expanded, bias: None, .. },
            Op::GroupNorm { from: a1, to: a2, groups: first, .. },
            Op::Depthwise3 { from: a3, to: deep, .. },
            Op::GroupNorm { from: b1, to: b2, groups: second, .. },
            Op::Pointwise { from: b3, to: projected, bias: None, .. },
            Op::GroupNorm { from: c1, to: c2, .. },
            Op::AddInPlace { from: c3, to: onto },
        ] = ops
        else {
            return None;
        };
        let is_chain = [a1, a2, a3].iter().all(|view| *view == expanded)
            && [b1, b2, b3].iter().all(|view| *view == deep)
            && [c1, c2, c3].iter().all(|view| *view == projected);
        // The buffers must be used whole and not read later.
        let is_whole = |view: &View| view.channels == (0..program.buffers[view.buffer].channels);
        (is_chain && is_whole(expanded) && is_whole(deep)).then(|| Block {
            at,
            from: from.clone(),
            expanded: expanded.clone(),
            deep: deep.clone(),
            projected: projected.clone(),
            onto: onto.clone(),
            groups: [*first, *second],
        })
    }

    /// Returns the number of expanded channels.
    pub fn expanded(&self) -> usize {
        self.expanded.channels.len()
    }

    /// Returns whether the fused kernel runs the block.
    fn is_fused(&self, options: PlanOptions) -> bool {
        self.from.channels.len() <= options.max_fused_channels
    }

    /// Returns whether the block runs in another way than operation by operation.
    pub fn differs(&self, options: PlanOptions) -> bool {
        self.is_fused(options) || self.step(options.channel_splits) < self.expanded()
    }

    /// Returns the channels to process at a time for a number of ranges: whole groups of both norms.
    pub fn step(&self, channel_splits: usize) -> usize {
        let [a, b] = self.groups.map(|groups| self.expanded() / groups);
        let group = if a.is_multiple_of(b) { a } else { a * b };
        self.expanded().div_ceil(channel_splits).next_multiple_of(group).min(self.expanded())
    }
}

impl Lowering {
    /// Lowers a block, one range of expanded channels after the other.
    pub fn block(
        &mut self,
        program: &Program,
        block: &Block,
        options: PlanOptions,
    ) -> Result<(), Error> {
        let source = self.source(&block.from)?;
        let is_fused = block.is_fused(options);
        let (all, step) = (block.expanded(), block.step(options.channel_splits));
        let dims = program.buffers[block.expanded.buffer].dims;
        let mut scratch = || {
            self.lowered.maps.push(Buffer { channels: step, dims });
            self.lowered.maps.len() - 1
        };
        let deep = scratch();
        let expanded = if is_fused { None } else { Some(scratch()) };
        let affines = [self.affines(all), self.affines(all)];
        if is_fused {
            let (from, op, affine) = (source.clone(), block.at, affines[0]);
            self.push(Stage::Expansion { from, op, affine });
        }
        for start in (0..all).step_by(step) {
            let channels = start..(start + step).min(all);
            let some = |buffer| View { buffer, channels: 0..channels.len() };
            let normed = |buffer, norm: usize| Source {
                view: some(buffer),
                affine: affines[norm] + channels.start,
            };
            let moments = |buffer, norm: usize, op| Stage::Moments {
                from: some(buffer),
                op,
                channels: channels.clone(),
                affine: affines[norm] + channels.start,
            };
            match expanded {
                None => self.push(Stage::ExpandDepthwise {
                    from: source.clone(),
                    to: some(deep),
                    op: block.at,
                    channels: channels.clone(),
                    affine: affines[0] + channels.start,
                }),
                Some(expanded) => {
                    self.push(Stage::Pointwise {
                        from: source.clone(),
                        to: some(expanded),
                        op: block.at,
                        rows: channels.clone(),
                        cols: 0..block.from.channels.len(),
                        adds_to_output: false,
                    });
                    self.push(moments(expanded, 0, block.at + 1));
                    self.push(Stage::Depthwise {
                        from: normed(expanded, 0),
                        to: some(deep),
                        op: block.at + 2,
                        channels: channels.clone(),
                    });
                }
            }
            self.push(moments(deep, 1, block.at + 3));
            self.push(Stage::Pointwise {
                from: normed(deep, 1),
                to: block.projected.clone(),
                op: block.at + 4,
                rows: 0..block.projected.channels.len(),
                cols: channels.clone(),
                adds_to_output: start > 0,
            });
        }
        for view in [&block.expanded, &block.deep, &block.projected] {
            self.overwrite(view);
        }
        self.op(&program.ops[block.at + 5], block.at + 5)?;
        self.op(&program.ops[block.at + 6], block.at + 6)?;
        debug_assert_ne!(block.onto.buffer, block.projected.buffer);
        Ok(())
    }
}
