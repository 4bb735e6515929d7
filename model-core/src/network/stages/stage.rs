//! The stages of a lowered program.

use std::ops::Range;

use crate::network::program::View;

/// The input of a stage: a view, and the affine maps of its channels.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// The view.
    pub view: View,
    /// Index of the first channel's affine map.
    pub affine: usize,
}

/// One pass over a feature map. `op` is the index of the operation that owns the parameters.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Stage {
    /// 1³ convolution with the columns `cols` and the rows `rows` of the weight.
    Pointwise {
        from: Source,
        to: View,
        op: usize,
        rows: Range<usize>,
        cols: Range<usize>,
        adds_to_output: bool,
    },
    /// Affine maps of the norm after a 1³ convolution, from the statistics of its input. The
    /// convolution's output is never written.
    Expansion { from: Source, op: usize, affine: usize },
    /// A range of channels of a 1³ convolution, its norm with affine maps from `affine` on, and the
    /// depthwise convolution after it.
    ExpandDepthwise { from: Source, to: View, op: usize, channels: Range<usize>, affine: usize },
    /// Dense 3³ convolution.
    Conv3 { from: Source, to: View, op: usize },
    /// Depthwise 3³ convolution of a range of channels.
    Depthwise { from: Source, to: View, op: usize, channels: Range<usize> },
    /// Affine maps of a range of channels of a norm.
    Moments { from: View, op: usize, channels: Range<usize>, affine: usize },
    /// `to = norm(to) + norm(from)`; `own` is the index of the affine maps of `to`.
    Add { from: Source, to: View, own: usize },
    /// Applies a norm and writes another map.
    NormalizeInto { from: Source, to: View },
    /// Applies a norm in place.
    NormalizeInPlace { to: View, own: usize },
    /// Maximum over 2³ voxels.
    MaxPool { from: Source, to: View },
    /// Trilinear ×2, written to `to`, or added to it if its affine maps begin at `own`.
    Upsample { from: Source, to: View, own: Option<usize> },
    /// Space to depth.
    SpaceToDepth { from: Source, to: View },
    /// Depth to space.
    DepthToSpace { from: Source, to: View },
    /// Label codes.
    Decide { from: Source, to: View, op: usize },
}
