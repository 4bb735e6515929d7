//! What a loss needs of every voxel, found on the device that holds the logits: sums on the way
//! there, and the gradient on the way back. Which loss is made of the sums, and with which slopes,
//! is the caller's matter; no logits leave the device.
//!
//! GPUs alone have these passes: a CPU's caller has the logits at hand.

#[cfg(feature = "gpu")]
mod cube;

use burn::Tensor;

/// What the outputs are asked, and what is made of the answers.
#[derive(Debug, Clone, Copy)]
pub struct LossTarget<'a> {
    /// For each output, which label codes belong to it.
    pub members: &'a [[bool; 256]],
    /// Whether one output is right (softmax), or each is asked by itself (sigmoid).
    pub exclusive: bool,
    /// What a focal loss weighs an answer with: where the reference is foreground, and elsewhere.
    pub focal_weights: [f32; 2],
}

/// The part of a loss that is a mean over voxels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VoxelLoss {
    /// −ln p of what the reference says.
    CrossEntropy,
    /// Focal loss with γ = 2.
    Focal,
}

/// One output's sums over voxels.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct VoxelSums {
    /// Of probabilities.
    pub predicted: f64,
    /// Of probabilities where the reference is.
    pub overlap: f64,
    /// Voxels where the reference is.
    pub reference: f64,
    /// Voxels decided for this output.
    pub decided: f64,
    /// Such where the reference is.
    pub decided_overlap: f64,
    /// Of the cross-entropy; where one output is right, the first output's holds all of it.
    pub cross_entropy: f64,
    /// Of the focal loss; likewise.
    pub focal: f64,
}

/// The derivatives of a loss that its gradient is made of.
#[derive(Debug, Clone, Copy)]
pub struct LossDerivatives<'a> {
    /// For each output, by a probability: anywhere, and what is added where the reference is.
    pub by_probability: &'a [(f32, f32)],
    /// The part that is a mean over voxels, if there is one.
    pub voxel_loss: Option<VoxelLoss>,
    /// What that part's sum is multiplied by.
    pub scale: f32,
}

/// The passes over one batch's logits.
pub trait VoxelPasses {
    /// Every output's sums. Cubes add in f32 in a fixed order, over 16384 voxels each; these sums
    /// are added in f64.
    fn sums(&self) -> Vec<VoxelSums>;

    /// The gradient of the loss by the logits.
    fn gradient(&self, slopes: LossDerivatives) -> Tensor<5>;
}

/// The passes over these logits, where they are on a device that has them.
///
/// # Shapes
/// - logits: `[b, output, k, j, i]`, f32, without autodiff
/// - labels: `[b, k, j, i]`, codes
///
/// # Panics
/// When the sizes do not fit.
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
