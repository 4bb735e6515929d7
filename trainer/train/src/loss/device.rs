//! The losses of logits on their device. Only sums and a few derivatives are copied between device and
//! host.

use anyhow::Result;
use burn::tensor::{Tensor, TensorData};
use model_core::kernels::loss::{LossDerivatives, LossTarget, voxel_passes};
use model_core::kernels::profiler::{OpKind, forward_scope};

use super::dice::Sums;
use super::focal::WEIGHTS;
use super::{Loss, LossTerms, Report};
use crate::adam::numbers;

impl Loss {
    /// Computes [`Loss::of_part`] with the logits and the gradient as tensors. On a GPU they stay there;
    /// on a CPU the numbers are exactly those of [`Loss::of_part`].
    ///
    /// # Shapes
    /// - `logits`: `[batch, output, k, j, i]`, f32, without autodiff
    /// - `labels`: `[batch, k, j, i]`, codes
    /// - gradient: as `logits`
    ///
    /// # Errors
    /// As `total`.
    ///
    /// # Panics
    /// Panics if the lengths differ from the shapes.
    pub fn of_tensor(
        &self,
        logits: Tensor<5>,
        labels: &[u8],
        total: impl FnOnce(&mut [f64]) -> Result<()>,
    ) -> Result<(Report, Tensor<5>)> {
        let _scope = forward_scope(OpKind::Loss, &logits);
        let shape @ [batch, ..] = logits.dims();
        let target = LossTarget {
            members: &self.members,
            exclusive: self.exclusive,
            focal_weights: WEIGHTS,
        };
        let Some(passes) = voxel_passes(&logits, labels, target) else {
            let device = logits.device();
            let (report, gradient) = self.of_part(&numbers(logits), labels, batch, total)?;
            return Ok((report, Tensor::from_data(TensorData::new(gradient, shape), &device)));
        };
        let found = passes.sums();
        let sums: Vec<Sums> = found.iter().map(Sums::from_device).collect();
        let cross_entropy = found.iter().map(|sums| sums.cross_entropy).sum();
        let focal = found.iter().map(|sums| sums.focal).sum();
        let LossTerms { report, slopes, scale } =
            self.terms(&sums, [cross_entropy, focal], labels.len(), total)?;
        let voxel_loss = self.voxel_loss;
        let slopes = LossDerivatives { by_probability: &slopes, voxel_loss, scale };
        Ok((report, passes.gradient(slopes)))
    }
}
