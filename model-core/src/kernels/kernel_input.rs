//! The input of a kernel: values, and the norm that the kernel applies while it loads them.

use burn::Tensor;

/// A norm with known statistics and its activation: `activation(x · scale + shift)`.
#[derive(Debug, Clone)]
pub(crate) struct NormAffine {
    /// Scale and shift of every channel of every sample, `[b · c, 2]`, in f32.
    pub scale_shift: Tensor<2>,
    /// The activation's factor for negative values.
    pub slope: f32,
}

/// A tensor and the norm to apply while loading. Zero padding stays zero.
#[derive(Debug, Clone)]
pub(crate) struct KernelInput {
    /// `[b, c, k, j, i]`
    pub x: Tensor<5>,
    /// The norm to apply.
    pub norm: Option<NormAffine>,
}

impl From<Tensor<5>> for KernelInput {
    fn from(x: Tensor<5>) -> KernelInput {
        KernelInput { x, norm: None }
    }
}
