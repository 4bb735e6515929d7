//! The operations of a program, and what they read and write.

use std::ops::Range;

use crate::network::config::Activation;

/// A range of channels of a buffer. The halves of a reversible block are two views of one buffer,
/// so no split and no concatenation is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Index in [`Program::buffers`](super::Program::buffers).
    pub buffer: usize,
    /// Channels of the buffer.
    pub channels: Range<usize>,
}

/// Storage for `channels` channels of `dims` voxels, as `[channel, k, j, i]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffer {
    /// Number of channels.
    pub channels: usize,
    /// Number of voxels along i, j, k.
    pub dims: [usize; 3],
}

impl Buffer {
    /// Returns the voxels per channel.
    pub fn num_voxels(&self) -> usize {
        self.dims.iter().product()
    }

    /// Returns the bytes in f32.
    pub fn bytes(&self) -> u64 {
        4 * self.channels as u64 * self.num_voxels() as u64
    }
}

/// One operation. `from` is read, `to` is written; strings are names of
/// parameters as in [`crate::network::layers::parameters`].
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Op {
    /// 1³ convolution; `weight` is `[to, from]`.
    Pointwise { from: View, to: View, weight: String, bias: Option<String> },
    /// Dense 3³ convolution, zero padding 1; `weight` is `[to, from, 3, 3, 3]`.
    Conv3 { from: View, to: View, weight: String },
    /// Depthwise 3³ convolution, zero padding 1; `weight` is `[c, 3, 3, 3]`.
    Depthwise3 { from: View, to: View, weight: String },
    /// Group norm with activation, in place if `from` is `to`.
    GroupNorm {
        from: View,
        to: View,
        groups: usize,
        gamma: String,
        beta: String,
        activation: Activation,
    },
    /// `to += from`.
    AddInPlace { from: View, to: View },
    /// Maximum over 2³ voxels. Halves every axis.
    MaxPool { from: View, to: View },
    /// Trilinear ×2 (`align_corners = false`). Doubles every axis.
    Upsample { from: View, to: View },
    /// `to += upsample(from)`.
    AddUpsampled { from: View, to: View },
    /// Space to depth: voxel (2k + dk, 2j + dj, 2i + di) of channel c becomes channel 8c + 4dk +
    /// 2dj + di. Halves every axis.
    SpaceToDepth { from: View, to: View },
    /// The inverse of `SpaceToDepth`.
    DepthToSpace { from: View, to: View },
    /// Orthogonal 1³ convolution: the product of Householder reflections by the rows of `vectors`,
    /// `[reflections, c]` (see [`crate::orthogonal`]), or its transpose.
    Reflect { from: View, to: View, vectors: String, transposed: bool },
    /// The label code of every voxel (see [`crate::Task::output_codes`]) as one channel of u32. With
    /// `exclusive` the code of the largest logit, else that of the last positive logit, else 0.
    Decide { from: View, to: View, codes: Vec<u8>, exclusive: bool },
}

impl Op {
    /// Returns the view that is read and the view that is written.
    pub fn views(&self) -> (&View, &View) {
        match self {
            Op::Pointwise { from, to, .. }
            | Op::Conv3 { from, to, .. }
            | Op::Depthwise3 { from, to, .. }
            | Op::GroupNorm { from, to, .. }
            | Op::AddInPlace { from, to }
            | Op::MaxPool { from, to }
            | Op::Upsample { from, to }
            | Op::AddUpsampled { from, to }
            | Op::SpaceToDepth { from, to }
            | Op::DepthToSpace { from, to }
            | Op::Reflect { from, to, .. }
            | Op::Decide { from, to, .. } => (from, to),
        }
    }
}
