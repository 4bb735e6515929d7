//! The variational branch that reconstructs the input from the network's bottleneck (Myronenko
//! 2018, section 2.3; the regularization path of the 2022 paper). Used in training only, with plain
//! autodiff.

use burn::module::Module;
use burn::tensor::activation::leaky_relu;
use burn::tensor::module::conv3d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, FloatDType, Tensor};

use super::{Conv3, GroupNorm, PointwiseConv, cast};
use crate::kernels::upsample2;
use crate::network::config::{UNetConfig, Vae};

/// A branch from the bottleneck to a latent, and from a sample of it back to the input.
#[derive(Module, Debug)]
pub struct VaeBranch {
    /// Norm and activation of the bottleneck.
    pub norm: GroupNorm,
    /// 3³ with stride 2.
    pub down: Conv3,
    /// Dense layer to mean and log-variance.
    pub encode: PointwiseConv,
    /// Dense layer from the sample.
    pub decode: PointwiseConv,
    /// 1³ to the bottleneck's width.
    pub widen: PointwiseConv,
    /// The decoder's levels, from the bottleneck up.
    pub levels: Vec<VaeLevel>,
    /// 1³ to the input's channels.
    pub out: PointwiseConv,
}

/// One level of the branch's decoder.
#[derive(Module, Debug)]
pub struct VaeLevel {
    /// 1³ to the level's width, before up-sampling.
    pub narrow: PointwiseConv,
    /// First convolution of the level's block.
    pub first: PreactivationConv,
    /// Second convolution of the level's block.
    pub second: PreactivationConv,
}

/// Norm, activation, 3³ convolution.
#[derive(Module, Debug)]
pub struct PreactivationConv {
    /// Norm with activation.
    pub norm: GroupNorm,
    /// The convolution.
    pub conv: Conv3,
}

/// Output of the branch.
#[derive(Debug, Clone)]
pub struct Branch {
    /// `[b, in, k, j, i]`
    pub reconstruction: Tensor<5>,
    /// `[b, units, 1, 1, 1]`
    pub mean: Tensor<5>,
    /// Logarithm of the variance, with the shape of the mean.
    pub log_variance: Tensor<5>,
}

impl VaeBranch {
    /// Creates a branch with random weights.
    pub fn new(config: &UNetConfig, vae: &Vae, device: &Device) -> Self {
        let norm = |width| GroupNorm::new(width, vae.groups_of(width), config.activation, device);
        let dense = |from, to| PointwiseConv::new(from, to, true, device);
        let bottom = config.widths[config.num_levels() - 1];
        let halved = vae.latent_size(config.size_multiple());
        let flat = vae.channels * halved.iter().product::<usize>();
        let conv =
            |width| PreactivationConv { norm: norm(width), conv: Conv3::new(width, width, device) };
        let level = |pair: &[usize]| VaeLevel {
            narrow: dense(pair[1], pair[0]),
            first: conv(pair[0]),
            second: conv(pair[0]),
        };
        VaeBranch {
            norm: norm(bottom),
            down: Conv3::new(bottom, vae.channels, device),
            encode: dense(flat, 2 * vae.units),
            decode: dense(vae.units, flat),
            widen: dense(vae.channels, bottom),
            levels: config.widths.windows(2).rev().map(level).collect(),
            out: dense(config.widths[0], config.in_channels()),
        }
    }

    /// Samples the latent with `noise`, a standard normal draw, and decodes it.
    ///
    /// # Shapes
    /// - bottom: `[b, width, k, j, i]` for the patch of the configuration
    /// - noise: `[b, units, 1, 1, 1]`
    pub fn forward(&self, bottom: Tensor<5>, noise: Tensor<5>) -> Branch {
        let activation = |x| leaky_relu(x, f64::from(self.norm.activation.negative_slope()));
        let x = self.norm.forward(cast(bottom, FloatDType::F32));
        let stride = ConvOptions::new([2; 3], [1; 3], [1; 3], 1);
        let x = conv3d(x, self.down.weight.val(), None, stride);
        let [b, c, k, j, i] = x.dims();
        let latent = self.encode.forward(x.reshape([b, c * k * j * i, 1, 1, 1]));
        let units = latent.dims()[1] / 2;
        let mean = latent.clone().narrow(1, 0, units);
        let log_variance = latent.narrow(1, units, units);
        let draw = mean.clone() + log_variance.clone().mul_scalar(0.5).exp() * noise;
        let x = self.decode.forward(draw).reshape([b, c, k, j, i]);
        let mut x = upsample2(self.widen.forward(activation(x)));
        for level in &self.levels {
            x = upsample2(level.narrow.forward(x));
            let block = level.first.conv.forward(level.first.norm.ahead(x.clone()));
            x = x + level.second.conv.forward(level.second.norm.ahead(block));
        }
        Branch { reconstruction: self.out.forward(x), mean, log_variance }
    }
}
