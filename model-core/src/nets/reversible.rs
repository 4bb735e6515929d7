//! Reversible blocks (Gomez et al. 2017; Pendse et al. 2020, section 2.1).

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{Precision, ResidualBranch, cast};
use crate::kernels::add_branch;
use crate::network::layers;

/// `y1 = x1 + F(x2); y2 = x2 + G(y1)` on two halves of the channels.
#[derive(Module, Debug)]
pub struct ReversibleBlock {
    /// The residual branch F.
    pub f: ResidualBranch,
    /// The residual branch G.
    pub g: ResidualBranch,
}

impl ReversibleBlock {
    /// Creates a block with random weights.
    pub fn new(
        f: &[layers::ConvNorm],
        g: &[layers::ConvNorm],
        precision: Precision,
        device: &Device,
    ) -> Self {
        let half = |units| ResidualBranch::new(units, precision, device);
        ReversibleBlock { f: half(f), g: half(g) }
    }

    /// # Shapes
    /// - x1, x2, y1, y2: `[b, c/2, k, j, i]`
    pub fn forward(&self, (x1, x2): (Tensor<5>, Tensor<5>)) -> (Tensor<5>, Tensor<5>) {
        let stream = self.f.precision.stream;
        let (x1, x2) = (cast(x1, stream), cast(x2, stream));
        let y1 = add_branch(x1, self.f.forward(x2.clone()), 1.0);
        let y2 = add_branch(x2, self.g.forward(y1.clone()), 1.0);
        (y1, y2)
    }

    /// `x2 = y2 − G(y1); x1 = y1 − F(x2)`.
    ///
    /// # Shapes
    /// - y1, y2, x1, x2: `[b, c/2, k, j, i]`
    pub fn inverse(&self, (y1, y2): (Tensor<5>, Tensor<5>)) -> (Tensor<5>, Tensor<5>) {
        let x2 = add_branch(y2, self.g.forward(y1.clone()), -1.0);
        let x1 = add_branch(y1, self.f.forward(x2.clone()), -1.0);
        (x1, x2)
    }
}
