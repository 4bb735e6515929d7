//! In which precision a network computes.

use burn::tensor::{FloatDType, Tensor};

/// The types of the tensors between a network's layers. Parameters and their gradients are f32
/// whatever these are, sums of norms and gradients too, and so are the logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Precision {
    /// Of what the layers compute, inside the reversible blocks too.
    pub compute: FloatDType,
    /// Of the two streams of a reversible sequence, which its halves are added to. Rewinding takes
    /// away what was added: what the stream has rounded off is lost for good, so that it deserves
    /// more digits than what is added.
    pub stream: FloatDType,
}

impl Precision {
    /// Everything in f32.
    pub const F32: Precision = Precision { compute: FloatDType::F32, stream: FloatDType::F32 };

    /// Layers in half precision, streams in f32.
    pub fn mixed(compute: FloatDType) -> Precision {
        Precision { compute, ..Precision::F32 }
    }
}

/// The same numbers in another type; no step in the graph where it is theirs already.
pub(crate) fn cast<const D: usize>(x: Tensor<D>, float: FloatDType) -> Tensor<D> {
    if FloatDType::from(x.dtype()) == float { x } else { x.cast(float) }
}

/// The same numbers in the type of `other`.
pub(crate) fn like<const D: usize, const E: usize>(x: Tensor<D>, other: &Tensor<E>) -> Tensor<D> {
    cast(x, FloatDType::from(other.dtype()))
}
