//! The only description of a network. The trainable module, the program of the engines, the list of
//! parameters and the memory estimate are all derived from it.
//!
//! Every detail that a paper leaves open is a field here. The field's comment states the reading
//! that the default, or the preset, follows.

use documented::DocumentedFields;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

mod check;
mod presets;
mod unet_config;
mod wire;

pub use presets::{PRESETS, published_size};
pub use unet_config::UNetConfig;

/// The settings of a 3D U-Net, as a file states them; [`NetworkSettings::build`] checks them.
///
/// The papers: Pendse et al. 2020, "Memory efficient 3D U-Net with reversible mobile inverted
/// bottlenecks for brain tumor segmentation" (<https://arxiv.org/abs/2104.09648>); Brügger et al.
/// 2019, "A partially reversible U-Net for memory-efficient volumetric image segmentation"
/// (<https://arxiv.org/abs/1906.06148>); Yamazaki et al. 2022, "Invertible residual network with
/// regularization for effective volumetric segmentation" (<https://arxiv.org/abs/2103.09042>),
/// whose networks are Partially- and Fully-InvRes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, DocumentedFields)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct NetworkSettings {
    /// Channels of the input; by default those of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_channels: Option<usize>,
    /// Channels of the output, regions or labels with background; by default those of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_channels: Option<usize>,
    /// Channels at each level, from full resolution down; each level halves every axis.
    pub widths: Vec<usize>,
    /// The layer from the input to the first width: "pointwise_norm" (1³ convolution, norm,
    /// activation), "pointwise" (1³ convolution with bias), "conv_norm" (3³ convolution, norm,
    /// activation) or "conv" (3³ convolution). Pendse do not describe it; it is read as on every
    /// level. Brügger: "conv". Fully-InvRes, our reading: "pointwise".
    #[serde(default)]
    pub first: LevelTransition,
    /// The layer that changes the width at the other levels, with the same choices. Pendse:
    /// "pointwise_norm". Brügger: "pointwise". Partially-InvRes does not describe it and is read as
    /// "conv_norm", as in a plain U-Net.
    #[serde(default)]
    pub entry: LevelTransition,
    /// The blocks of an encoder level, after the transition: "reversible", or one plain "conv".
    #[serde(default)]
    pub body: EncoderBlock,
    /// F and G of the encoder's reversible blocks: "mbconv", "conv" or "preactivation".
    #[serde(default)]
    pub half: BranchKind,
    /// Channels inside an MBConv, as a multiple of its input channels (t in the paper).
    #[serde(default = "two")]
    pub expand_ratio: usize,
    /// Reversible blocks at each level of the encoder. Pendse: 1.
    #[serde(default = "one")]
    pub blocks: usize,
    /// Reversible blocks at each level of a reversible decoder; by default as many as in the
    /// encoder. Brügger: 1 for every encoder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoder_blocks: Option<usize>,
    /// The blocks of a decoder level: "conv1" or "conv2" (one or two 3³ convolutions),
    /// "reversible", "reversible_mbconv" or "reversible_preactivation". Pendse do not describe it;
    /// read as "conv2".
    pub decoder: Decoder,
    /// Downsampling and upsampling between levels: "pool_trilinear" or "pixel_shuffle".
    #[serde(default)]
    pub resampling: Resampling,
    /// Householder reflections of the orthogonal 1³ convolution beside a pixel shuffle; 0 omits the
    /// convolution. Yamazaki et al. only say "learnable"; it is read as a product of 16
    /// reflections.
    #[serde(default = "sixteen")]
    pub reflections: usize,
    /// The use of a skip connection in the decoder: "add" or "concat". A pixel shuffle always
    /// concatenates halves.
    #[serde(default)]
    pub skip: Skip,
    /// Groups of every group norm; 0 (here `None`) for one per channel, which is instance norm.
    /// Pendse do not state it; half the first width divides every width, half width and expanded
    /// width of their networks. Brügger: 30, and their baseline is read likewise.
    #[serde(with = "wire::zero_as_none")]
    pub groups: Option<usize>,
    /// The activation after every norm except those of projections: "relu", "leaky_relu" or
    /// "identity". Pendse name only ReLU; the others use a leaky one.
    #[serde(default)]
    pub activation: Activation,
    /// The source of activations in the backward pass: "reversible", "non_reversible" or
    /// "checkpointed". The computed function is the same.
    #[serde(default)]
    pub backward: BackwardMode,
    /// Deep supervision: the number of decoder levels below the top whose ends have a head and a
    /// loss of their own, in training only (Lee et al. 2015; as nnU-Net does).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub deep_supervision: usize,
    /// A variational branch that reconstructs the input from the bottleneck, in training only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vae: Option<Vae>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

fn one() -> usize {
    1
}

fn two() -> usize {
    2
}

fn sixteen() -> usize {
    16
}

/// Where the backward pass takes the activations of a layer from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackwardMode {
    /// Reversible blocks are rewound from their outputs.
    #[default]
    #[serde(alias = "rewound")]
    Reversible,
    /// All activations are stored, as plain autodiff does.
    #[serde(alias = "stored")]
    NonReversible,
    /// Of n layers between two skips only every √n-th input is stored; the others are computed
    /// again (Chen et al. 2016, "Training deep nets with sublinear memory cost"). For comparison.
    Checkpointed,
}

impl BackwardMode {
    /// All modes.
    pub const ALL: [BackwardMode; 3] =
        [BackwardMode::Reversible, BackwardMode::NonReversible, BackwardMode::Checkpointed];

    /// Returns the name for tables.
    pub fn name(self) -> &'static str {
        match self {
            BackwardMode::Reversible => "reversible",
            BackwardMode::NonReversible => "non-reversible",
            BackwardMode::Checkpointed => "checkpointed",
        }
    }
}

/// The layer that changes the number of channels to a level's width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LevelTransition {
    /// 1³ convolution, norm, activation.
    #[default]
    PointwiseNorm,
    /// 1³ convolution with bias.
    Pointwise,
    /// 3³ convolution, norm, activation.
    ConvNorm,
    /// 3³ convolution, without bias.
    Conv,
}

/// The blocks of an encoder level, after the transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EncoderBlock {
    /// Reversible blocks.
    #[default]
    Reversible,
    /// 3³ convolution, norm, activation; absent at the bottom, where the decoder holds the second
    /// and only one: a plain U-Net of two convolutions per level.
    Conv,
}

/// F and G of a reversible block, on half of the channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BranchKind {
    /// Expand, filter depthwise, project, each with a norm (Pendse et al. 2020, figure 1).
    #[default]
    Mbconv,
    /// 3³ convolution, norm, activation.
    Conv,
    /// Norm, activation, 3³ convolution (Brügger et al. 2019, section 2.1).
    Preactivation,
}

/// The blocks of a decoder level, at its own resolution, before up-sampling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decoder {
    /// One 3³ convolution with norm and activation: c → next width.
    Conv1,
    /// Two of them: c → c and c → next width.
    Conv2,
    /// Reversible blocks of 3³ convolution, norm, activation; then a 1³ convolution with bias c →
    /// next width (absent at the top and beside a pixel shuffle).
    Reversible,
    /// As `Reversible`, with MBConv branches.
    ReversibleMbconv,
    /// As `Reversible`, with pre-activation branches.
    ReversiblePreactivation,
}

impl Decoder {
    /// Returns the residual branches of a reversible decoder.
    pub fn half(self) -> Option<BranchKind> {
        match self {
            Decoder::Conv1 | Decoder::Conv2 => None,
            Decoder::Reversible => Some(BranchKind::Conv),
            Decoder::ReversibleMbconv => Some(BranchKind::Mbconv),
            Decoder::ReversiblePreactivation => Some(BranchKind::Preactivation),
        }
    }
}

/// Down- and up-sampling between levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resampling {
    /// Maximum over 2³ voxels down, trilinear ×2 up.
    #[default]
    PoolTrilinear,
    /// Half of the channels is the skip. In the other half every 2³ voxels become 8 channels, mixed
    /// by a learned orthogonal 1³ convolution; the decoder inverts this. Nothing is lost, so the
    /// whole path is rewound (Fully-InvRes).
    PixelShuffle,
}

/// The use of a skip connection in the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Skip {
    /// Addition.
    #[default]
    Add,
    /// Concatenation in front of the channels (Çiçek et al. 2016); only for decoders of
    /// convolutions.
    Concat,
}

/// An activation function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// max(x, 0).
    #[default]
    Relu,
    /// x if positive, else 0.01 x.
    LeakyRelu,
    /// x, as after an MBConv's projection (its bottleneck is linear).
    Identity,
}

impl Activation {
    /// Returns the factor of negative values.
    pub fn negative_slope(self) -> f32 {
        match self {
            Activation::Relu => 0.0,
            Activation::LeakyRelu => 0.01,
            Activation::Identity => 1.0,
        }
    }
}

/// The variational branch of Yamazaki et al. They refer to Myronenko 2018
/// (<https://arxiv.org/abs/1810.11654>, section 2.3), which is followed here: norm, activation and
/// a 3³ convolution of stride 2 from the bottleneck; a dense layer to mean and log-variance of the
/// latent; and a decoder from a sample of it that mirrors the network's widths, one block per
/// level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, DocumentedFields)]
#[serde(deny_unknown_fields)]
pub struct Vae {
    /// Units of the latent: the number of means, and of log-variances. Myronenko: 128.
    #[serde(default = "latent_units")]
    pub units: usize,
    /// Channels between the bottleneck and the dense layers. Myronenko: 16.
    #[serde(default = "sixteen")]
    pub channels: usize,
    /// Groups of its norms; reduced to a power of two that divides the width. Myronenko: 8.
    #[serde(default = "eight")]
    pub groups: usize,
    /// The patch size (i, j, k) of the dense layers; by default the patch of the training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<[usize; 3]>,
}

impl Default for Vae {
    fn default() -> Self {
        Vae { units: latent_units(), channels: sixteen(), groups: eight(), patch: None }
    }
}

fn eight() -> usize {
    8
}

fn latent_units() -> usize {
    128
}

impl Vae {
    /// Returns the voxels (i, j, k) of the bottom that the dense layers read, halved once more by
    /// the branch's first convolution; zeros if the patch is not known.
    pub fn latent_size(&self, size_multiple: usize) -> [usize; 3] {
        self.patch.unwrap_or_default().map(|d| d / (2 * size_multiple))
    }

    /// Returns the groups of the branch's norm on `width` channels.
    pub fn groups_of(&self, width: usize) -> usize {
        let power = 1 << width.trailing_zeros();
        if width.is_multiple_of(self.groups) { self.groups } else { power.min(self.groups) }
    }
}

/// Added to every variance before the square root.
pub const NORM_EPSILON: f32 = 1e-5;

impl NetworkSettings {
    /// Returns the number of levels. The bottom is 2^(levels − 1) times smaller than the input on
    /// each axis.
    pub fn num_levels(&self) -> usize {
        self.widths.len()
    }

    /// Returns the number that must divide every axis of an input.
    pub fn size_multiple(&self) -> usize {
        1 << (self.num_levels() - 1)
    }

    /// Returns the shortest axis of an input. The bottom needs 2³ voxels, since a norm over one
    /// voxel returns only its bias.
    pub fn min_size(&self) -> usize {
        2 * self.size_multiple()
    }

    /// Returns the smallest accepted size that holds `dims`.
    pub fn padded(&self, dims: [usize; 3]) -> [usize; 3] {
        let (multiple, least) = (self.size_multiple(), self.min_size());
        dims.map(|d| d.checked_next_multiple_of(multiple).unwrap_or(0).max(least))
    }

    /// Returns the size of inference tiles: the smallest accepted size that holds `wanted`, but no
    /// larger than the whole input.
    pub fn tile_dims(&self, wanted: [usize; 3], input_dims: [usize; 3]) -> [usize; 3] {
        let tile_dims = self.padded(wanted);
        std::array::from_fn(|axis| tile_dims[axis].min(input_dims[axis]))
    }

    /// Checks an input size.
    ///
    /// # Errors
    /// [`Error::Network`] with the size, if the network does not accept it.
    pub fn check_size(&self, dims: [usize; 3]) -> Result<()> {
        if dims == self.padded(dims) {
            return Ok(());
        }
        let (multiple, least) = (self.size_multiple(), self.min_size());
        let expected = format!("each axis a multiple of {multiple} and at least {least}");
        Err(Error::network(expected, format!("{dims:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_padded_to_the_networks_multiple() {
        let config = UNetConfig::preset("mbconv-base", 4, 3).unwrap();
        assert_eq!(config.padded([240, 240, 155]), [240, 240, 160]);
        assert_eq!(config.padded([5, 33, 32]), [32, 48, 32]);
        assert!(config.check_size([240, 240, 155]).is_err());
    }
}
