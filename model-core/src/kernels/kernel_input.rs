//! What a kernel reads: numbers, and the norm that it applies to each as it loads it.

use burn::Tensor;

/// What a norm with its activation makes of each number, its statistics being known:
/// `activation(x · scale + shift)`.
#[derive(Debug, Clone)]
pub(crate) struct NormAffine {
    /// Scale and shift of every channel of every sample, `[b · c, 2]`, in f32.
    pub maps: Tensor<2>,
    /// The activation's factor of what is negative.
    pub slope: f32,
}

/// Numbers, and what is made of them as they are loaded; a border of zeros stays zero.
#[derive(Debug, Clone)]
pub(crate) struct KernelInput {
    /// `[b, c, k, j, i]`
    pub x: Tensor<5>,
    /// What is still to be applied.
    pub norm: Option<NormAffine>,
}

impl From<Tensor<5>> for KernelInput {
    fn from(x: Tensor<5>) -> KernelInput {
        KernelInput { x, norm: None }
    }
}
