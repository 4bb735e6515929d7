//! Group norm with activation.

use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};

use crate::kernels::{ConvInput, DeferredGroupNorm};
use crate::network::config::Activation;

/// Group norm with activation.
#[derive(Module, Debug)]
pub struct GroupNorm {
    /// Scale, `[c]`.
    pub gamma: Param<Tensor<1>>,
    /// Shift, `[c]`.
    pub beta: Param<Tensor<1>>,
    /// Number of groups.
    #[module(skip)]
    pub groups: usize,
    /// Activation after the norm.
    #[module(skip)]
    pub activation: Activation,
}

impl GroupNorm {
    /// Creates a norm of `channels` channels.
    pub fn new(channels: usize, groups: usize, activation: Activation, device: &Device) -> Self {
        let gamma = Initializer::Ones.init([channels], device);
        let beta = Initializer::Zeros.init([channels], device);
        GroupNorm { gamma, beta, groups, activation }
    }

    /// # Shapes
    /// - x, output: `[b, c, k, j, i]`
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        ConvInput::DeferredGroupNorm(self.ahead(x)).whole()
    }

    /// Returns a norm that the next convolution applies while it loads x.
    ///
    /// # Shapes
    /// - x: `[b, c, k, j, i]`
    pub fn ahead(&self, x: Tensor<5>) -> DeferredGroupNorm {
        let (gamma, beta) = (self.gamma.val(), self.beta.val());
        DeferredGroupNorm { x, gamma, beta, groups: self.groups, activation: self.activation }
    }
}
