//! The losses of logits where they are: what crosses to the host is sums, and back a few slopes.

use anyhow::Result;
use burn::tensor::{Tensor, TensorData};
use model_core::kernels::loss::{LossDerivatives, LossTarget, voxel_passes};
use model_core::kernels::profiler::{OpKind, forward_scope};

use super::dice::Sums;
use super::focal::WEIGHTS;
use super::{Loss, LossTerms, Report};
use crate::adam::numbers;

impl Loss {
    /// [`Loss::of_part`], with the logits and the gradient as tensors on one device. On a GPU they stay
    /// there; on a CPU the numbers are exactly those of [`Loss::of_part`].
    ///
    /// # Shapes
    /// - `logits`: `[batch, output, k, j, i]`, f32, without autodiff
    /// - `labels`: `[batch, k, j, i]`, codes
    /// - gradient: as `logits`
    ///
    /// # Errors
    /// Those of `total`.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn of_tensor(
        &self,
        logits: Tensor<5>,
        labels: &[u8],
        total: impl FnOnce(&mut [f64]) -> Result<()>,
    ) -> Result<(Report, Tensor<5>)> {
        let _scope = forward_scope(OpKind::Loss, &logits);
        let shape @ [batch, ..] = logits.dims();
        let question = LossTarget {
            members: &self.members,
            exclusive: self.exclusive,
            focal_weights: WEIGHTS,
        };
        let Some(passes) = voxel_passes(&logits, labels, question) else {
            let device = logits.device();
            let (report, gradient) = self.of_part(&numbers(logits), labels, batch, total)?;
            return Ok((report, Tensor::from_data(TensorData::new(gradient, shape), &device)));
        };
        let found = passes.sums();
        let sums: Vec<Sums> = found.iter().map(Sums::found).collect();
        let cross_entropy = found.iter().map(|sums| sums.cross_entropy).sum();
        let focal = found.iter().map(|sums| sums.focal).sum();
        let LossTerms { report, slopes, scale } =
            self.judge(&sums, [cross_entropy, focal], labels.len(), total)?;
        let voxel_loss = self.voxel_loss;
        let slopes = LossDerivatives { by_probability: &slopes, voxel_loss, scale };
        Ok((report, passes.gradient(slopes)))
    }
}
