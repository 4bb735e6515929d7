//! The 3D U-Net of Pendse et al. 2020: reversible MBConv blocks, additive skips.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{Conv3, ConvNorm, GroupNorm, PointwiseConv, ReversibleSequence};
use crate::config::{Decoder, UNetConfig};
use crate::kernels::{max_pool2, upsample2};

/// A U-Net from logits' point of view: encoder down, decoder up, one pointwise head.
#[derive(Module, Debug)]
pub struct UNet3d {
    /// From full resolution down.
    pub encoder: Vec<EncoderLevel>,
    /// From full resolution down too; data passes it from the bottom.
    pub decoder: Vec<DecoderLevel>,
    /// To the regions' or labels' logits.
    pub head: PointwiseConv,
}

/// To the level's width, then its reversible blocks.
#[derive(Module, Debug)]
pub struct EncoderLevel {
    /// 1³ to the level's width.
    pub pointwise: ConvNorm<PointwiseConv>,
    /// Its reversible blocks.
    pub sequence: ReversibleSequence,
}

/// The regular blocks of a level, the last of which maps to the next level's width. Which of the
/// fields are there is the configuration's [`Decoder`].
#[derive(Module, Debug)]
pub struct DecoderLevel {
    /// Dense 3³ convolutions, of `conv2`.
    pub convs: Vec<ConvNorm<Conv3>>,
    /// Reversible blocks, of `reversible_mbconv`.
    pub sequence: Option<ReversibleSequence>,
    /// 1³ with bias to the next level's width, of `reversible_mbconv`; none at the top.
    pub out: Option<PointwiseConv>,
}

impl EncoderLevel {
    fn new(config: &UNetConfig, from: usize, width: usize, device: &Device) -> Self {
        let pointwise = ConvNorm {
            conv: PointwiseConv::new(from, width, false, device),
            norm: GroupNorm::new(width, config.groups, config.activation, device),
        };
        EncoderLevel { pointwise, sequence: ReversibleSequence::new(config, width, device) }
    }

    /// # Shapes
    /// - x: `[b, in, k, j, i]`
    /// - output: `[b, width, k, j, i]`
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let x = self.pointwise.norm.forward(self.pointwise.conv.forward(x));
        self.sequence.forward(x)
    }
}

impl DecoderLevel {
    fn new(config: &UNetConfig, level: usize, device: &Device) -> Self {
        let width = config.widths[level];
        let next = config.widths[level.saturating_sub(1)];
        let conv = |output| ConvNorm {
            conv: Conv3::new(width, output, device),
            norm: GroupNorm::new(output, config.groups, config.activation, device),
        };
        match config.decoder {
            Decoder::Conv2 => {
                DecoderLevel { convs: vec![conv(width), conv(next)], sequence: None, out: None }
            }
            Decoder::ReversibleMbconv => DecoderLevel {
                convs: Vec::new(),
                sequence: Some(ReversibleSequence::new(config, width, device)),
                out: (level > 0).then(|| PointwiseConv::new(width, next, true, device)),
            },
        }
    }

    /// # Shapes
    /// - x: `[b, width, k, j, i]`
    /// - output: `[b, next, k, j, i]`
    pub fn forward(&self, mut x: Tensor<5>) -> Tensor<5> {
        for conv in &self.convs {
            x = conv.norm.forward(conv.conv.forward(x));
        }
        if let Some(sequence) = &self.sequence {
            x = sequence.forward(x);
        }
        match &self.out {
            Some(out) => out.forward(x),
            None => x,
        }
    }
}

impl UNet3d {
    /// With random weights from the device's seed.
    ///
    /// # Panics
    /// When [`UNetConfig::check`] refuses the configuration.
    pub fn new(config: &UNetConfig, device: &Device) -> Self {
        config.check().expect("a configuration that was checked");
        let from = |level: usize| match level {
            0 => config.in_channels,
            _ => config.widths[level - 1],
        };
        let levels = || config.widths.iter().copied().enumerate();
        let encoder = levels()
            .map(|(level, width)| EncoderLevel::new(config, from(level), width, device))
            .collect();
        let decoder = levels().map(|(level, _)| DecoderLevel::new(config, level, device)).collect();
        let head = PointwiseConv::new(config.widths[0], config.out_channels, true, device);
        UNet3d { encoder, decoder, head }
    }

    /// # Shapes
    /// - x: `[b, in, k, j, i]`, each axis as [`UNetConfig::check_size`] wants it
    /// - output: `[b, out, k, j, i]`, logits
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let mut skips: Vec<Tensor<5>> = Vec::new();
        for level in &self.encoder {
            let x = match skips.last() {
                None => x.clone(),
                Some(above) => max_pool2(above.clone()),
            };
            skips.push(level.forward(x));
        }
        let mut x = skips.pop().expect("at least one level");
        for level in self.decoder.iter().rev() {
            x = level.forward(x);
            if let Some(skip) = skips.pop() {
                x = upsample2(x) + skip;
            }
        }
        self.head.forward(x)
    }
}
