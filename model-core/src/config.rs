//! The only description of a network: from it come the trainable module, the program that the
//! engine runs, and the list of parameters.

use serde::{Deserialize, Serialize};

use crate::{Error, Result, Task};

/// A 3D U-Net with reversible MBConv blocks (Pendse et al. 2020, section 2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UNetConfig {
    /// Channels of the input; 0, or left out, in settings that are yet to meet their task.
    #[serde(default, skip_serializing_if = "is_open")]
    pub in_channels: usize,
    /// Channels of the output: regions, or labels and background; 0 as above.
    #[serde(default, skip_serializing_if = "is_open")]
    pub out_channels: usize,
    /// Channels at each level, from full resolution down; each level halves every axis.
    pub widths: Vec<usize>,
    /// Channels inside an MBConv, as a multiple of its own (t in the paper).
    #[serde(default = "two")]
    pub expand_ratio: usize,
    /// Reversible blocks at each level of the encoder, and of a reversible decoder. The paper: 1.
    #[serde(default = "one")]
    pub blocks: usize,
    /// What a decoder level is made of. The paper does not say; its presets read `conv2`.
    pub decoder: Decoder,
    /// Groups of every group norm. The paper does not say; half the first width divides every
    /// width, half width and expanded width of its networks.
    pub groups: usize,
    /// The activation after every norm but the projections'. The paper names only ReLU.
    #[serde(default)]
    pub activation: Activation,
    /// Whether blocks are rewound in the backward pass, or stored as plain autodiff does. The
    /// function computed is the same.
    #[serde(default = "yes")]
    pub reversible: bool,
}

fn is_open(channels: &usize) -> bool {
    *channels == 0
}

fn one() -> usize {
    1
}

fn two() -> usize {
    2
}

fn yes() -> bool {
    true
}

/// The regular part of the decoder, at one level's resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decoder {
    /// Two dense 3³ convolutions, each with norm and activation: c → c and c → next width.
    Conv2,
    /// A reversible sequence of MBConv blocks, then a 1³ convolution with bias c → next width
    /// (none at the top).
    ReversibleMbconv,
}

/// An activation function.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// max(x, 0).
    #[default]
    Relu,
    /// x where positive, else 0.01 x.
    LeakyRelu,
    /// x; what follows an MBConv's projection (its bottleneck is linear).
    Identity,
}

impl Activation {
    /// The factor applied to negative values.
    pub fn negative_slope(self) -> f32 {
        match self {
            Activation::Relu => 0.0,
            Activation::LeakyRelu => 0.01,
            Activation::Identity => 1.0,
        }
    }
}

/// Added to every variance before its root.
pub const NORM_EPSILON: f32 = 1e-5;

/// The names of the presets, for messages and help.
pub const PRESETS: [&str; 3] = ["mbconv-base", "mbconv-slim", "demo"];

impl UNetConfig {
    /// A named network for a task's channels and outputs.
    ///
    /// # Errors
    /// [`Error::Network`] for a name that is not among [`PRESETS`].
    pub fn preset(name: &str, in_channels: usize, out_channels: usize) -> Result<Self> {
        let (widths, decoder, groups): (&[usize], _, _) = match name {
            "mbconv-base" => (&[30, 60, 120, 180, 240], Decoder::Conv2, 15),
            "mbconv-slim" => (&[30, 60, 120, 180, 240], Decoder::ReversibleMbconv, 15),
            "demo" => (&[16, 32, 48, 64], Decoder::ReversibleMbconv, 8),
            _ => {
                let expected = format!("a preset, one of {}", PRESETS.join(", "));
                return Err(Error::network(expected, format!("{name:?}")));
            }
        };
        Ok(UNetConfig {
            in_channels,
            out_channels,
            widths: widths.to_vec(),
            expand_ratio: 2,
            blocks: 1,
            decoder,
            groups,
            activation: Activation::Relu,
            reversible: true,
        })
    }

    /// The same network for a task's channels and outputs.
    ///
    /// # Errors
    /// [`Error::Network`] when the configuration states others.
    pub fn for_task(&self, task: &Task) -> Result<Self> {
        let wanted = [task.channels.len(), task.num_outputs()];
        let stated = [self.in_channels, self.out_channels];
        if stated.iter().zip(&wanted).any(|(stated, wanted)| !is_open(stated) && stated != wanted) {
            let text = |[inputs, outputs]: [usize; 2]| {
                format!("{inputs} input and {outputs} output channels")
            };
            return Err(Error::network(text(wanted), text(stated)));
        }
        let [in_channels, out_channels] = wanted;
        Ok(UNetConfig { in_channels, out_channels, ..self.clone() })
    }

    /// Number of levels; the bottom is 2^(levels − 1) times smaller than the input on each axis.
    pub fn num_levels(&self) -> usize {
        self.widths.len()
    }

    /// Every axis of an input is a multiple of this.
    pub fn size_multiple(&self) -> usize {
        1 << (self.num_levels() - 1)
    }

    /// No axis of an input is smaller: the bottom needs 2³ voxels, since a norm over one voxel
    /// gives only its bias.
    pub fn min_size(&self) -> usize {
        2 * self.size_multiple()
    }

    /// The smallest size that the network takes and that holds `dims`.
    pub fn padded(&self, dims: [usize; 3]) -> [usize; 3] {
        dims.map(|d| d.next_multiple_of(self.size_multiple()).max(self.min_size()))
    }

    /// Refuses a configuration that cannot be built. The bounds are far above any network of the
    /// field; they keep a hostile bundle from asking for absurd sizes.
    ///
    /// # Errors
    /// [`Error::Network`], naming the setting.
    pub fn check(&self) -> Result<()> {
        let within = |name: &str, value: usize, most: usize| {
            if (1..=most).contains(&value) {
                return Ok(());
            }
            Err(Error::network(format!("{name} from 1 to {most}"), value))
        };
        within("in_channels", self.in_channels, 64)?;
        within("out_channels", self.out_channels, 256)?;
        within("the number of widths", self.widths.len(), 8)?;
        within("expand_ratio", self.expand_ratio, 16)?;
        within("blocks", self.blocks, 64)?;
        within("groups", self.groups, 1024)?;
        for &width in &self.widths {
            within("each width", width, 4096)?;
            if width % 2 != 0 || (width / 2) % self.groups != 0 {
                let expected = format!("widths whose halves are multiples of {}", self.groups);
                return Err(Error::network(expected, format!("{:?}", self.widths)));
            }
        }
        Ok(())
    }

    /// Refuses an input size that the network does not take.
    ///
    /// # Errors
    /// [`Error::Network`], naming the size.
    pub fn check_size(&self, dims: [usize; 3]) -> Result<()> {
        if dims == self.padded(dims) {
            return Ok(());
        }
        let (multiple, least) = (self.size_multiple(), self.min_size());
        let expected = format!("each axis a multiple of {multiple} and at least {least}");
        Err(Error::network(expected, format!("{dims:?}")))
    }
}

/// A parameter's name, as in the bundle and in the module's path, and its shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Path in the module tree, with dots.
    pub name: String,
    /// Output channels first; then input channels, except for depthwise; then the kernel's k, j, i.
    pub shape: Vec<usize>,
}

/// All parameters of a network, in the order data passes them.
pub fn parameters(config: &UNetConfig) -> Vec<Parameter> {
    let mut list = Parameters(Vec::new());
    let mut before = config.in_channels;
    for (level, &width) in config.widths.iter().enumerate() {
        let path = format!("encoder.{level}");
        list.conv_norm(&format!("{path}.pointwise"), &[width, before]);
        list.blocks(&format!("{path}.sequence"), config, width);
        before = width;
    }
    // The decoder is stored from the top down, as the encoder is; data passes it bottom first.
    for (level, &width) in config.widths.iter().enumerate().rev() {
        let path = format!("decoder.{level}");
        let next = config.widths[level.saturating_sub(1)];
        match config.decoder {
            Decoder::Conv2 => {
                list.conv_norm(&format!("{path}.convs.0"), &[width, width, 3, 3, 3]);
                list.conv_norm(&format!("{path}.convs.1"), &[next, width, 3, 3, 3]);
            }
            Decoder::ReversibleMbconv => {
                list.blocks(&format!("{path}.sequence"), config, width);
                if level > 0 {
                    list.push(&format!("{path}.out.weight"), &[next, width]);
                    list.push(&format!("{path}.out.bias"), &[next]);
                }
            }
        }
    }
    list.push("head.weight", &[config.out_channels, config.widths[0]]);
    list.push("head.bias", &[config.out_channels]);
    list.0
}

struct Parameters(Vec<Parameter>);

impl Parameters {
    fn push(&mut self, name: &str, shape: &[usize]) {
        self.0.push(Parameter { name: name.to_string(), shape: shape.to_vec() });
    }

    fn norm(&mut self, path: &str, channels: usize) {
        self.push(&format!("{path}.gamma"), &[channels]);
        self.push(&format!("{path}.beta"), &[channels]);
    }

    fn conv_norm(&mut self, path: &str, weight: &[usize]) {
        self.push(&format!("{path}.conv.weight"), weight);
        self.norm(&format!("{path}.norm"), weight[0]);
    }

    fn blocks(&mut self, path: &str, config: &UNetConfig, width: usize) {
        let (half, expanded) = (width / 2, width / 2 * config.expand_ratio);
        for block in 0..config.blocks {
            for part in ["f", "g"] {
                let path = format!("{path}.blocks.{block}.{part}");
                self.conv_norm(&format!("{path}.expand"), &[expanded, half]);
                self.conv_norm(&format!("{path}.depthwise"), &[expanded, 3, 3, 3]);
                self.conv_norm(&format!("{path}.project"), &[half, expanded]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn num_parameters(preset: &str) -> usize {
        let config = UNetConfig::preset(preset, 4, 3).unwrap();
        config.check().unwrap();
        parameters(&config).iter().map(|p| p.shape.iter().product::<usize>()).sum()
    }

    /// The counts of the published reading, four channels in and three regions out.
    #[test]
    fn parameter_counts_are_the_published_ones() {
        assert_eq!(num_parameters("mbconv-base"), 5_292_693);
        assert_eq!(num_parameters("mbconv-slim"), 665_703);
    }

    #[test]
    fn sizes_are_padded_to_the_networks_multiple() {
        let config = UNetConfig::preset("mbconv-base", 4, 3).unwrap();
        assert_eq!(config.padded([240, 240, 155]), [240, 240, 160]);
        assert_eq!(config.padded([5, 33, 32]), [32, 48, 32]);
        assert!(config.check_size([240, 240, 155]).is_err());
    }

    #[test]
    fn unknown_presets_and_odd_widths_are_refused() {
        assert!(UNetConfig::preset("mbconv", 4, 3).is_err());
        let mut config = UNetConfig::preset("demo", 4, 3).unwrap();
        config.widths[1] = 36;
        assert!(config.check().is_err());
    }
}
