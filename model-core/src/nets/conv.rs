//! The convolutions of the networks: 1³, depthwise 3³ and dense 3³. None changes the size. Each
//! computes in the precision of its input.

use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};

use super::like;
use crate::kernels::{ConvInput, conv3, depthwise_conv3, pointwise_conv};

/// Initializes weights so that the variance is kept through rectifiers (He et al. 2015).
fn he_normal<const D: usize>(shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    let fan_in: usize = match shape[1..] {
        // Depthwise, `[c, 3, 3, 3]`: each output reads the taps of one channel.
        [3, 3, 3] => 27,
        ref rest => rest.iter().product(),
    };
    Initializer::Normal { mean: 0.0, std: (2.0 / fan_in as f64).sqrt() }.init(shape, device)
}

/// 1³ convolution: a matrix product over the channels.
#[derive(Module, Debug)]
pub struct PointwiseConv {
    /// `[out, in]`
    pub weight: Param<Tensor<2>>,
    /// `[out]`. Absent before a norm, which would cancel it.
    pub bias: Option<Param<Tensor<1>>>,
}

impl PointwiseConv {
    /// Creates a convolution from `input` to `output` channels.
    pub fn new(input: usize, output: usize, bias: bool, device: &Device) -> Self {
        let bias = bias.then(|| Initializer::Zeros.init([output], device));
        PointwiseConv { weight: he_normal([output, input], device), bias }
    }

    /// # Shapes
    /// - x: `[b, in, k, j, i]`
    /// - output: `[b, out, k, j, i]`
    pub fn forward(&self, x: impl Into<ConvInput>) -> Tensor<5> {
        let x = x.into();
        let weight = like(self.weight.val(), x.tensor());
        let output = weight.dims()[0];
        let y = pointwise_conv(x, weight);
        match &self.bias {
            Some(bias) => {
                let bias = like(bias.val(), &y);
                y + bias.reshape([1, output, 1, 1, 1])
            }
            None => y,
        }
    }
}

/// Depthwise 3³ convolution, zero padding 1, without bias.
#[derive(Module, Debug)]
pub struct DepthwiseConv {
    /// `[c, 3, 3, 3]`
    pub weight: Param<Tensor<4>>,
}

impl DepthwiseConv {
    /// Creates a convolution of `channels` channels.
    pub fn new(channels: usize, device: &Device) -> Self {
        DepthwiseConv { weight: he_normal([channels, 3, 3, 3], device) }
    }

    /// # Shapes
    /// - x, output: `[b, c, k, j, i]`
    pub fn forward(&self, x: impl Into<ConvInput>) -> Tensor<5> {
        let x = x.into();
        let weight = like(self.weight.val(), x.tensor());
        depthwise_conv3(x, weight)
    }
}

/// Dense 3³ convolution, zero padding 1, without bias.
#[derive(Module, Debug)]
pub struct Conv3 {
    /// `[out, in, 3, 3, 3]`
    pub weight: Param<Tensor<5>>,
}

impl Conv3 {
    /// Creates a convolution from `input` to `output` channels.
    pub fn new(input: usize, output: usize, device: &Device) -> Self {
        Conv3 { weight: he_normal([output, input, 3, 3, 3], device) }
    }

    /// # Shapes
    /// - x: `[b, in, k, j, i]`
    /// - output: `[b, out, k, j, i]`
    pub fn forward(&self, x: impl Into<ConvInput>) -> Tensor<5> {
        let x = x.into();
        let weight = like(self.weight.val(), x.tensor());
        conv3(x, weight)
    }
}
