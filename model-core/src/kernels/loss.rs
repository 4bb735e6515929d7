//! Passes of the losses over all voxels, on the device that holds the logits: sums in the forward
//! direction, the gradient in the backward direction. No logits leave the device. The caller
//! decides which loss the sums form, and computes its derivatives.
//!
//! Only GPUs have these passes; on the CPU the caller reads the logits directly.

#[cfg(feature = "gpu")]
mod cube;
mod passes;

use burn::Tensor;

pub use passes::{LossDerivatives, LossTarget, VoxelLoss, VoxelPasses, VoxelSums};

/// Returns the passes over these logits, or `None` if their device has none.
///
/// # Shapes
/// - logits: `[b, output, k, j, i]`, f32, without autodiff
/// - labels: `[b, k, j, i]`, codes
///
/// # Panics
/// Panics if the sizes disagree.
pub fn voxel_passes(
    logits: &Tensor<5>,
    labels: &[u8],
    question: LossTarget,
) -> Option<Box<dyn VoxelPasses>> {
    let [b, outputs, k, j, i] = logits.dims();
    assert_eq!(labels.len(), b * k * j * i, "a label for each voxel");
    assert_eq!(outputs, question.members.len(), "members for each output");
    #[cfg(feature = "gpu")]
    if !super::cpu::is_cpu(logits) {
        return Some(Box::new(cube::Batch::new(logits, labels, question)));
    }
    None
}
