//! A network as the list of its layers, in the order in which data passes them. The trainable
//! module, the program, the parameters and the memory estimate are all built from this list.

use crate::network::config::{
    Activation, BranchKind, Decoder, EncoderBlock, LevelTransition, Resampling, Skip, UNetConfig,
};

mod parameters;
mod segments;

pub use parameters::{Parameter, parameters};
pub use segments::{Backward, Segment, longest_rewound_sequence, segments};

/// A convolution. None changes the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// 1³: a matrix product over the channels.
    Pointwise,
    /// Depthwise 3³, zero padding 1.
    Depthwise3,
    /// Dense 3³, zero padding 1.
    Conv3,
}

/// A group norm with activation, before or after a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Norm {
    /// Whether the norm comes before the convolution (pre-activation).
    pub first: bool,
    /// Number of groups.
    pub groups: usize,
    /// Activation after the norm.
    pub activation: Activation,
}

/// A convolution with its norm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvNorm {
    /// Prefix of the parameters' names.
    pub path: String,
    /// The convolution.
    pub kernel: Kernel,
    /// Input channels.
    pub from: usize,
    /// Output channels.
    pub to: usize,
    /// Whether the convolution has a bias. A norm after it would cancel a bias.
    pub bias: bool,
    /// The norm.
    pub norm: Option<Norm>,
}

/// A layer. It transforms one tensor x and may push to, or pop from, the stack of skip connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layer {
    /// A convolution with its norm.
    ConvNorm(ConvNorm),
    /// A reversible block on the two halves of x: `y1 = x1 + F(x2); y2 = x2 + G(y1)`.
    Block {
        /// F, in order.
        f: Vec<ConvNorm>,
        /// G, in order.
        g: Vec<ConvNorm>,
    },
    /// Maximum over 2³ voxels.
    Pool,
    /// Trilinear ×2 (`align_corners = false`).
    Upsample,
    /// Pushes x.
    PushSkip,
    /// Pops a tensor and adds it to x.
    AddSkip,
    /// Pops a tensor and concatenates it in front of x.
    ConcatSkip,
    /// Pushes the first half of the channels; x becomes the second half.
    PushHalf,
    /// Pops a half and concatenates it in front of x.
    ConcatHalf,
    /// 2³ voxels become 8 channels.
    SpaceToDepth,
    /// 8 channels become 2³ voxels.
    DepthToSpace,
    /// An orthogonal 1³ convolution made of Householder reflections.
    Reflect {
        /// Prefix of the parameter's name.
        path: String,
        /// Input and output channels.
        channels: usize,
        /// Number of reflections.
        reflections: usize,
    },
    /// The position where the variational branch reads the bottleneck.
    BottleneckHook,
    /// The position where a head of deep supervision reads the end of a decoder level.
    DecoderHook,
}

impl Layer {
    /// Returns whether the layer's input can be recovered from its output.
    pub fn is_invertible(&self) -> bool {
        match self {
            Layer::Block { .. } | Layer::Reflect { .. } | Layer::BottleneckHook => true,
            Layer::PushHalf | Layer::ConcatHalf | Layer::SpaceToDepth | Layer::DepthToSpace => true,
            Layer::ConvNorm(_) | Layer::Pool | Layer::Upsample => false,
            Layer::PushSkip | Layer::AddSkip | Layer::ConcatSkip | Layer::DecoderHook => false,
        }
    }
}

/// A layer and its level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The level whose width and resolution the layer ends at.
    pub level: usize,
    /// The layer.
    pub layer: Layer,
}

/// Returns the convolutions of a layer, in order.
pub fn units(layer: &Layer) -> Vec<&ConvNorm> {
    match layer {
        Layer::ConvNorm(unit) => vec![unit],
        Layer::Block { f, g } => f.iter().chain(g).collect(),
        _ => Vec::new(),
    }
}

/// Returns a network's layers from the input to the logits, without the variational branch.
pub fn steps(config: &UNetConfig) -> Vec<Step> {
    let bottom = config.num_levels() - 1;
    let shuffled = config.resampling == Resampling::PixelShuffle;
    let mut list = Steps { config, steps: Vec::new(), level: 0 };
    let mut before = config.in_channels();
    for (level, &width) in config.widths.iter().enumerate() {
        let path = format!("encoder.{level}");
        list.level = level;
        if level > 0 && shuffled {
            list.extend([Layer::PushHalf, Layer::SpaceToDepth]);
            list.reflect(&path, width);
        } else {
            if level > 0 {
                list.extend([Layer::PushSkip, Layer::Pool]);
            }
            list.entry(&path, if level == 0 { config.first } else { config.entry }, before, width);
        }
        match config.body {
            EncoderBlock::Reversible => list.blocks(&path, config.half, config.blocks, width),
            EncoderBlock::Conv if level < bottom => {
                list.conv(&format!("{path}.body"), width, width)
            }
            EncoderBlock::Conv => {}
        }
        before = width;
    }
    if config.vae.is_some() {
        list.extend([Layer::BottleneckHook]);
    }
    for (level, &width) in config.widths.iter().enumerate().rev() {
        let path = format!("decoder.{level}");
        let next = config.widths[level.saturating_sub(1)];
        let joined = config.skip == Skip::Concat && !shuffled && level < bottom;
        let from = if joined { 2 * width } else { width };
        list.level = level;
        if let Some(half) = config.decoder.half() {
            let blocks = config.decoder_blocks.unwrap_or(config.blocks);
            list.blocks(&path, half, blocks, width);
            if level > 0 && !shuffled {
                list.unit(&format!("{path}.out"), Kernel::Pointwise, [width, next], true, None);
            }
        } else {
            let single = config.decoder == Decoder::Conv1
                || (config.body == EncoderBlock::Conv && level == bottom);
            let mut from = from;
            for (n, to) in [width, next].into_iter().skip(usize::from(single)).enumerate() {
                list.conv(&format!("{path}.convs.{n}"), from, to);
                from = to;
            }
        }
        if level == 0 {
            break;
        }
        if shuffled {
            list.reflect(&path, width);
            list.level = level - 1;
            list.extend([Layer::DepthToSpace, Layer::ConcatHalf]);
        } else {
            if level <= config.deep_supervision {
                list.extend([Layer::DecoderHook]);
            }
            list.level = level - 1;
            let join = if config.skip == Skip::Concat { Layer::ConcatSkip } else { Layer::AddSkip };
            list.extend([Layer::Upsample, join]);
        }
    }
    let channels = [config.widths[0], config.out_channels()];
    list.unit("head", Kernel::Pointwise, channels, true, None);
    list.steps
}

/// Returns the heads of deep supervision, the lowest level first. Each is a pointwise convolution
/// from the end of its decoder level to logits. Only training has them.
pub fn deep_heads(config: &UNetConfig) -> Vec<ConvNorm> {
    let levels = (1..=config.deep_supervision).rev();
    let head = |level: usize| ConvNorm {
        path: format!("deep.{level}"),
        kernel: Kernel::Pointwise,
        from: config.widths[level - 1],
        to: config.out_channels(),
        bias: true,
        norm: None,
    };
    levels.map(head).collect()
}

struct Steps<'a> {
    config: &'a UNetConfig,
    steps: Vec<Step>,
    level: usize,
}

impl Steps<'_> {
    fn extend<const N: usize>(&mut self, layers: [Layer; N]) {
        let level = self.level;
        self.steps.extend(layers.map(|layer| Step { level, layer }));
    }

    fn norm(&self, first: bool, channels: usize) -> Norm {
        let groups = self.config.groups.unwrap_or(channels);
        Norm { first, groups, activation: self.config.activation }
    }

    fn unit(
        &mut self,
        path: &str,
        kernel: Kernel,
        channels: [usize; 2],
        bias: bool,
        norm: Option<Norm>,
    ) {
        let [from, to] = channels;
        self.extend([Layer::ConvNorm(ConvNorm {
            path: path.to_string(),
            kernel,
            from,
            to,
            bias,
            norm,
        })]);
    }

    /// Adds a 3³ convolution, norm and activation.
    fn conv(&mut self, path: &str, from: usize, to: usize) {
        self.unit(path, Kernel::Conv3, [from, to], false, Some(self.norm(false, to)));
    }

    fn entry(&mut self, path: &str, entry: LevelTransition, from: usize, to: usize) {
        let (pointwise, conv) = (format!("{path}.pointwise"), format!("{path}.conv"));
        let norm = Some(self.norm(false, to));
        match entry {
            LevelTransition::PointwiseNorm => {
                self.unit(&pointwise, Kernel::Pointwise, [from, to], false, norm);
            }
            LevelTransition::Pointwise => {
                self.unit(&pointwise, Kernel::Pointwise, [from, to], true, None)
            }
            LevelTransition::ConvNorm => self.conv(&conv, from, to),
            LevelTransition::Conv => self.unit(&conv, Kernel::Conv3, [from, to], false, None),
        }
    }

    fn reflect(&mut self, path: &str, channels: usize) {
        let reflections = self.config.reflections;
        if reflections > 0 {
            self.extend([Layer::Reflect { path: format!("{path}.mix"), channels, reflections }]);
        }
    }

    fn blocks(&mut self, path: &str, half: BranchKind, blocks: usize, width: usize) {
        for block in 0..blocks {
            let part =
                |part| self.half(format!("{path}.sequence.blocks.{block}.{part}"), half, width / 2);
            let (f, g) = (part("f"), part("g"));
            self.extend([Layer::Block { f, g }]);
        }
    }

    /// Returns F or G on `c` channels.
    fn half(&self, path: String, half: BranchKind, c: usize) -> Vec<ConvNorm> {
        let unit = |path: String, kernel, from, to, norm| ConvNorm {
            path,
            kernel,
            from,
            to,
            bias: false,
            norm: Some(norm),
        };
        match half {
            BranchKind::Mbconv => {
                let e = c * self.config.expand_ratio;
                // The MBConv bottleneck is linear: no activation after the projection.
                let linear = Norm { activation: Activation::Identity, ..self.norm(false, c) };
                let name = |part: &str| format!("{path}.{part}");
                vec![
                    unit(name("expand"), Kernel::Pointwise, c, e, self.norm(false, e)),
                    unit(name("depthwise"), Kernel::Depthwise3, e, e, self.norm(false, e)),
                    unit(name("project"), Kernel::Pointwise, e, c, linear),
                ]
            }
            BranchKind::Conv => vec![unit(path, Kernel::Conv3, c, c, self.norm(false, c))],
            BranchKind::Preactivation => vec![unit(path, Kernel::Conv3, c, c, self.norm(true, c))],
        }
    }
}
