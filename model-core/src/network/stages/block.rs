//! The residual of an MBConv block. Its expanded channels need not exist all at once, since group
//! norms work per group and the projection is a sum. With fusion they are never written at all.

use crate::network::program::{Op, Program, View};

/// How the blocks of a network become stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockOptions {
    /// Number of ranges that the expanded channels of a block are divided into, at most one per
    /// group. The ranges are processed one after the other.
    pub channel_splits: usize,
    /// Largest width of fused blocks, whose expanded channels are never stored.
    pub max_fused_channels: usize,
    /// Fewest expanded values of fused blocks.
    pub min_fused_values: usize,
}

/// The operations expand, norm, depthwise, norm, project, norm, add.
pub struct Block {
    pub first_op: usize,
    pub input: View,
    pub expanded: View,
    pub filtered: View,
    pub projected: View,
    pub residual: View,
    pub groups: [usize; 2],
    /// Channels times voxels of the expanded map.
    pub expanded_values: usize,
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
            first_op: at,
            input: from.clone(),
            expanded: expanded.clone(),
            filtered: deep.clone(),
            projected: projected.clone(),
            residual: onto.clone(),
            groups: [*first, *second],
            expanded_values: expanded.channels.len()
                * program.buffers[expanded.buffer].num_voxels(),
        })
    }

    /// Returns the number of expanded channels.
    pub fn num_expanded(&self) -> usize {
        self.expanded.channels.len()
    }

    /// Returns whether the fused kernel runs the block.
    pub fn is_fused(&self, options: BlockOptions) -> bool {
        self.input.channels.len() <= options.max_fused_channels
            && self.expanded_values >= options.min_fused_values
    }

    /// Returns whether the block runs in another way than operation by operation.
    pub fn differs(&self, options: BlockOptions) -> bool {
        self.is_fused(options) || self.step(options.channel_splits) < self.num_expanded()
    }

    /// Returns the channels to process at a time for a number of ranges: whole groups of both norms.
    pub fn step(&self, channel_splits: usize) -> usize {
        let [a, b] = self.groups.map(|groups| self.num_expanded() / groups);
        let group = if a.is_multiple_of(b) { a } else { a * b };
        self.num_expanded()
            .div_ceil(channel_splits)
            .next_multiple_of(group)
            .min(self.num_expanded())
    }
}
