//! Number types that a network computes in.

use burn::tensor::{FloatDType, Tensor};

/// The types of the tensors between layers. Parameters, their gradients, the sums of norms and
/// gradients, and the logits are always f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Precision {
    /// Type of the layers' outputs, also inside reversible blocks.
    pub compute: FloatDType,
    /// Type of the two streams of a reversible sequence, to which the residual branches are added.
    /// Rewinding subtracts what was added; digits that the stream rounded off are lost, so the
    /// stream needs more digits than the branches.
    pub stream: FloatDType,
}

impl Precision {
    /// All tensors in f32.
    pub const F32: Precision = Precision { compute: FloatDType::F32, stream: FloatDType::F32 };

    /// Layers in half precision, streams in f32.
    pub fn mixed(compute: FloatDType) -> Precision {
        Precision { compute, ..Precision::F32 }
    }
}

/// Converts to another type. Records nothing if x has the type already.
pub(crate) fn cast<const D: usize>(x: Tensor<D>, float: FloatDType) -> Tensor<D> {
    if FloatDType::from(x.dtype()) == float { x } else { x.cast(float) }
}

/// Converts to the type of `other`.
pub(crate) fn like<const D: usize, const E: usize>(x: Tensor<D>, other: &Tensor<E>) -> Tensor<D> {
    cast(x, FloatDType::from(other.dtype()))
}
