//! The mobile inverted bottleneck block in three dimensions (Pendse et al. 2020, figure 1).

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{ConvNorm, DepthwiseConv, GroupNorm, PointwiseConv};
use crate::config::{Activation, UNetConfig};

/// Expand, filter every channel by itself, project. No residual inside: the coupling is the
/// residual.
#[derive(Module, Debug)]
pub struct MbConv {
    /// 1³, c → t·c.
    pub expand: ConvNorm<PointwiseConv>,
    /// 3³ depthwise on t·c channels.
    pub depthwise: ConvNorm<DepthwiseConv>,
    /// 1³, t·c → c, without activation (the bottleneck is linear).
    pub project: ConvNorm<PointwiseConv>,
}

impl MbConv {
    /// On `channels` channels.
    pub fn new(config: &UNetConfig, channels: usize, device: &Device) -> Self {
        let expanded = channels * config.expand_ratio;
        let norm =
            |channels, activation| GroupNorm::new(channels, config.groups, activation, device);
        MbConv {
            expand: ConvNorm {
                conv: PointwiseConv::new(channels, expanded, false, device),
                norm: norm(expanded, config.activation),
            },
            depthwise: ConvNorm {
                conv: DepthwiseConv::new(expanded, device),
                norm: norm(expanded, config.activation),
            },
            project: ConvNorm {
                conv: PointwiseConv::new(expanded, channels, false, device),
                norm: norm(channels, Activation::Identity),
            },
        }
    }

    /// # Shapes
    /// - x, output: `[b, c, k, j, i]`
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let x = self.expand.norm.forward(self.expand.conv.forward(x));
        let x = self.depthwise.norm.forward(self.depthwise.conv.forward(x));
        self.project.norm.forward(self.project.conv.forward(x))
    }
}
