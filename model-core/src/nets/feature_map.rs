//! The feature maps that layers pass on.

use burn::tensor::Tensor;

use crate::kernels::{ConvInput, DeferredGroupNorm, concat_channels, split_channels, upsample2};

/// The tensor x between two layers: whole, or as the two halves of a reversible block. A sequence
/// of blocks is entered by one split and left by one concatenation.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant)] // one exists at a time
pub enum FeatureMap {
    /// `[b, c, k, j, i]`
    Whole(Tensor<5>),
    /// Both `[b, c/2, k, j, i]`.
    Halves(Tensor<5>, Tensor<5>),
    /// `[b, c, k/2, j/2, i/2]`, to be up-sampled in one pass with the addition of the skip
    /// connection.
    Smaller(Tensor<5>),
    /// To be normalized by the next layer.
    DeferredGroupNorm(DeferredGroupNorm),
}

impl FeatureMap {
    pub(super) fn is_autodiff(&self) -> bool {
        let (FeatureMap::Whole(x)
        | FeatureMap::Halves(x, _)
        | FeatureMap::Smaller(x)
        | FeatureMap::DeferredGroupNorm(DeferredGroupNorm { x, .. })) = self;
        x.device().is_autodiff()
    }

    /// Returns one tensor: concatenates halves, up-samples or normalizes if that is pending.
    pub fn whole(self) -> Tensor<5> {
        match self {
            FeatureMap::Whole(x) => x,
            FeatureMap::Halves(x1, x2) => concat_channels(x1, x2),
            FeatureMap::Smaller(x) => upsample2(x),
            FeatureMap::DeferredGroupNorm(norm) => ConvInput::DeferredGroupNorm(norm).whole(),
        }
    }

    /// Returns the input of a convolution.
    pub(super) fn input(self) -> ConvInput {
        match self {
            FeatureMap::DeferredGroupNorm(norm) => norm.into(),
            parts => parts.whole().into(),
        }
    }

    /// Splits into halves. They are views of the whole if the device supports views.
    pub fn halves(self) -> (Tensor<5>, Tensor<5>) {
        match self {
            FeatureMap::Halves(x1, x2) => (x1, x2),
            parts => {
                let x = parts.whole();
                let half = x.dims()[1] / 2;
                (x.clone().narrow(1, 0, half), x.narrow(1, half, half))
            }
        }
    }

    /// Splits into halves that are copies, so that neither half keeps the memory of both alive.
    pub(super) fn owned_halves(self) -> (Tensor<5>, Tensor<5>) {
        match self {
            FeatureMap::Halves(x1, x2) => (x1, x2),
            parts => split_channels(parts.whole()),
        }
    }
}
