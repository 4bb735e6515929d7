//! The parameters of a network: names and shapes, in the order in which data passes them.

use super::{ConvNorm, Kernel, Layer, deep_heads, steps, units};
use crate::network::config::{UNetConfig, Vae};

/// A parameter's name, as in the bundle, and its shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Path in the network, separated by dots.
    pub name: String,
    /// Output channels, input channels (absent for depthwise), then the kernel's k, j, i.
    pub shape: Vec<usize>,
}

impl Parameter {
    /// Returns the number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Returns whether the parameter has no values, which never happens.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl ConvNorm {
    /// Returns the name of the convolution's weight.
    pub fn weight(&self) -> String {
        match self.norm {
            Some(_) => format!("{}.conv.weight", self.path),
            None => format!("{}.weight", self.path),
        }
    }

    /// Returns the name of the convolution's bias.
    pub fn bias(&self) -> Option<String> {
        self.bias.then(|| format!("{}.bias", self.path))
    }

    /// Returns the names of the norm's scale and shift.
    pub fn affine(&self) -> [String; 2] {
        ["gamma", "beta"].map(|name| format!("{}.norm.{name}", self.path))
    }

    /// Returns the parameters, in the order in which data passes them.
    pub fn parameters(&self) -> Vec<Parameter> {
        let (from, to) = (self.from, self.to);
        let shape = match self.kernel {
            Kernel::Pointwise => vec![to, from],
            Kernel::Depthwise3 => vec![to, 3, 3, 3],
            Kernel::Conv3 => vec![to, from, 3, 3, 3],
        };
        let mut convolution = vec![Parameter { name: self.weight(), shape }];
        convolution.extend(self.bias().map(|name| Parameter { name, shape: vec![to] }));
        let Some(norm) = self.norm else { return convolution };
        let channels = if norm.first { from } else { to };
        let affine = self.affine().map(|name| Parameter { name, shape: vec![channels] });
        match norm.first {
            true => affine.into_iter().chain(convolution).collect(),
            false => convolution.into_iter().chain(affine).collect(),
        }
    }
}

impl Layer {
    /// Returns the parameters, in the order in which data passes them.
    pub fn parameters(&self) -> Vec<Parameter> {
        match self {
            Layer::Reflect { path, channels, reflections } => {
                let name = format!("{path}.vectors");
                vec![Parameter { name, shape: vec![*reflections, *channels] }]
            }
            layer => units(layer).into_iter().flat_map(ConvNorm::parameters).collect(),
        }
    }
}

/// Returns all parameters of a network, in the order in which data passes them; those of the heads
/// of deep supervision and of the variational branch come last.
pub fn parameters(config: &UNetConfig) -> Vec<Parameter> {
    let mut list: Vec<Parameter> =
        steps(config).iter().flat_map(|step| step.layer.parameters()).collect();
    list.extend(deep_heads(config).iter().flat_map(ConvNorm::parameters));
    if let Some(vae) = &config.vae {
        list.extend(branch_parameters(config, vae));
    }
    list
}

/// Returns the parameters of the variational branch.
fn branch_parameters(config: &UNetConfig, vae: &Vae) -> Vec<Parameter> {
    let mut list = Vec::new();
    let mut push = |name: String, shape: &[usize]| {
        list.push(Parameter { name: format!("vae.{name}"), shape: shape.to_vec() });
    };
    let bottom = config.widths[config.num_levels() - 1];
    // Half the size of the bottleneck on each axis.
    let voxels: usize = vae.latent_size(config.size_multiple()).iter().product();
    let flat = vae.channels * voxels;
    for name in ["norm.gamma", "norm.beta"] {
        push(name.into(), &[bottom]);
    }
    push("down.weight".into(), &[vae.channels, bottom, 3, 3, 3]);
    for (name, from, to) in [
        ("encode", flat, 2 * vae.units),
        ("decode", vae.units, flat),
        ("widen", vae.channels, bottom),
    ] {
        push(format!("{name}.weight"), &[to, from]);
        push(format!("{name}.bias"), &[to]);
    }
    for level in (0..config.num_levels() - 1).rev() {
        let (width, from) = (config.widths[level], config.widths[level + 1]);
        push(format!("levels.{level}.narrow.weight"), &[width, from]);
        push(format!("levels.{level}.narrow.bias"), &[width]);
        for part in ["first", "second"] {
            push(format!("levels.{level}.{part}.norm.gamma"), &[width]);
            push(format!("levels.{level}.{part}.norm.beta"), &[width]);
            push(format!("levels.{level}.{part}.conv.weight"), &[width, width, 3, 3, 3]);
        }
    }
    push("out.weight".into(), &[config.in_channels(), config.widths[0]]);
    push("out.bias".into(), &[config.in_channels()]);
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn num_parameters(preset: &str) -> usize {
        let config = UNetConfig::preset(preset, 4, 3).unwrap();
        parameters(&config).iter().map(Parameter::len).sum()
    }

    /// Counts of the published networks with four input channels and three regions.
    #[test]
    fn parameter_counts_are_the_published_ones() {
        let published = [
            ("pendse-baseline", 19_052_223),
            ("mbconv-base", 5_292_693),
            ("mbconv-deeper", 15_233_013),
            ("mbconv-wider", 6_063_273),
            ("mbconv-slim", 665_703),
            ("brugger-baseline", 12_425_253),
            ("brugger-1-1", 12_365_283),
            ("brugger-2-1", 18_248_403),
            ("brugger-3-1", 24_131_523),
            ("brugger-4-1", 30_014_643),
        ];
        for (preset, count) in published {
            assert_eq!(num_parameters(preset), count, "{preset}");
        }
    }

    /// Counts of the readings where the papers give none, so that no reading changes unnoticed.
    #[test]
    fn the_other_readings_stay_as_they_are() {
        let counts = [
            ("unet3d", 4_097_827),
            ("partially-invres", 3_560_963),
            ("fully-invres", 30_247_107),
            ("fully-invres-slim", 4_264_887),
            ("demo", 61_971),
        ];
        for (preset, count) in counts {
            assert_eq!(num_parameters(preset), count, "{preset}");
        }
    }

    #[test]
    fn every_preset_can_be_built_and_names_no_parameter_twice() {
        for preset in crate::network::config::PRESETS {
            let config = UNetConfig::preset(preset, 2, 4).unwrap();
            let patch = Some([2 * config.min_size(); 3]);
            let vae = Some(Vae { patch, ..Vae::default() });
            let config = config.with(|config| config.vae = vae).unwrap();
            let mut names: Vec<String> = parameters(&config).into_iter().map(|p| p.name).collect();
            let count = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), count, "{preset}");
        }
    }
}
