//! The passes over voxels: their target, sums and derivatives.

use burn::Tensor;

/// The target that the outputs are compared with.
#[derive(Debug, Clone, Copy)]
pub struct LossTarget<'a> {
    /// For each output, the label codes that belong to it.
    pub members: &'a [[bool; 256]],
    /// Whether outputs are exclusive (softmax) or independent (sigmoid).
    pub exclusive: bool,
    /// Weights of the focal loss: for voxels of the foreground, and for all others.
    pub focal_weights: [f32; 2],
}

/// The part of a loss that is a mean over voxels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VoxelLoss {
    /// Cross-entropy: −ln p of the reference class.
    CrossEntropy,
    /// Focal loss with γ = 2.
    Focal,
}

/// Sums of one output over voxels.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct VoxelSums {
    /// Sum of the probabilities.
    pub predicted: f64,
    /// Sum of the probabilities inside the reference.
    pub overlap: f64,
    /// Number of voxels of the reference.
    pub reference: f64,
    /// Number of voxels predicted as this output.
    pub decided: f64,
    /// Number of voxels predicted as this output inside the reference.
    pub decided_overlap: f64,
    /// Sum of the cross-entropy. For exclusive outputs the first output holds the whole sum.
    pub cross_entropy: f64,
    /// Sum of the focal loss. For exclusive outputs the first output holds the whole sum.
    pub focal: f64,
}

/// Derivatives of a loss with respect to its sums.
#[derive(Debug, Clone, Copy)]
pub struct LossDerivatives<'a> {
    /// For each output, the derivative by a probability: in every voxel, and the addition inside
    /// the reference.
    pub by_probability: &'a [(f32, f32)],
    /// The mean over voxels, if the loss has one.
    pub voxel_loss: Option<VoxelLoss>,
    /// Factor of the sum of `voxel_loss`.
    pub scale: f32,
}

/// The passes over the logits of one batch.
pub trait VoxelPasses {
    /// Returns the sums of every output. A cube adds 16384 voxels in f32 in a fixed order; the sums
    /// of the cubes are added in f64.
    fn sums(&self) -> Vec<VoxelSums>;

    /// Returns the gradient of the loss with respect to the logits.
    fn gradient(&self, slopes: LossDerivatives) -> Tensor<5>;
}
