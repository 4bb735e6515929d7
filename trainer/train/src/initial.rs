//! The weights that training starts from.

use std::collections::BTreeSet;

use model_core::network::config::UNetConfig;
use model_core::network::layers::parameters;
use model_core::network::layers::{ConvNorm, Layer, deep_heads, steps};
use model_core::{Array, Weights};
use rand::RngExt;

use trainer_run::rng::{RngStream, generator, normal};

/// Weights uniform within ±√(6 / fan-in) (He et al. 2015), or ±√(3 / fan-in) where nothing has
/// halved their input; reflections in random directions; norms that change nothing, biases 0: on
/// every device the same function of the seed. What the branch adds leaves the others as they are.
pub fn initial_weights(network: &UNetConfig, seed: u64) -> Weights {
    let unhalved = unhalved(network);
    let weights = parameters(network).into_iter().enumerate().map(|(number, parameter)| {
        let (name, num_values) = (&parameter.name, parameter.len());
        let mut generator = generator(seed, RngStream::Weights, number as u64);
        let values = match name.rsplit('.').next() {
            Some("gamma") => vec![1.0; num_values],
            Some("beta" | "bias") => vec![0.0; num_values],
            // Only their directions count; of normal numbers, every direction is as likely.
            Some("vectors") => normal(generator).take(num_values).collect(),
            Some("weight") => {
                // Of a depthwise convolution [c, 3, 3, 3] the taps, else input channels and taps.
                let fan_in: usize = parameter.shape[1..].iter().product();
                let gain = if unhalved.contains(name) { 3.0 } else { 6.0 };
                let bound = (gain / fan_in as f32).sqrt();
                (0..num_values).map(|_| bound * (2.0 * generator.random::<f32>() - 1.0)).collect()
            }
            _ => unreachable!("no start for a parameter named {name}"),
        };
        (parameter.name, Array { shape: parameter.shape, values })
    });
    weights.collect()
}

/// The weights between whose input and output neither an activation halves the squares nor a norm
/// makes them 1 again, so that He's factor would double them at each: what brings the channels from
/// level to level without a norm, the head of a reversible decoder, and the branch's linear layers.
fn unhalved(network: &UNetConfig) -> BTreeSet<String> {
    let is_stream =
        |unit: &ConvNorm| network.decoder.half().is_some() || unit.path.starts_with("encoder.");
    let of_network = steps(network).into_iter().filter_map(|step| match step.layer {
        Layer::ConvNorm(unit) if unit.norm.is_none() && is_stream(&unit) => Some(unit.weight()),
        _ => None,
    });
    let levels = (0..network.num_levels()).map(|level| format!("vae.levels.{level}.narrow.weight"));
    let heads = deep_heads(network).into_iter().map(|head| head.weight());
    let of_branch = ["encode", "decode", "out"].map(|name| format!("vae.{name}.weight"));
    of_network.chain(heads).chain(levels).chain(of_branch).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adam::numbers;
    use crate::model;
    use burn::tensor::{Device, Tensor};
    use model_core::Vae;
    use model_core::network::config::PRESETS;

    #[test]
    fn initial_weights_fit_the_network_and_have_unit_gain() {
        let network = UNetConfig::preset("demo", 4, 3).unwrap();
        let weights = initial_weights(&network, 1);
        model_core::check_weights(&network, &weights).unwrap();
        assert_eq!(weights, initial_weights(&network, 1));
        assert_ne!(weights, initial_weights(&network, 2));
        let Array { shape, values } = &weights["encoder.3.pointwise.conv.weight"];
        let square = values.iter().map(|v| f64::from(v * v)).sum::<f64>() / values.len() as f64;
        assert!((square * shape[1] as f64 / 2.0 - 1.0).abs() < 0.1, "{square}");
    }

    fn deviation(tensor: Tensor<5>) -> f64 {
        let values = numbers(tensor);
        let count = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
        let squares: f64 = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum();
        (squares / count).sqrt()
    }

    fn random(shape: [usize; 5], number: u64) -> Tensor<5> {
        let values = normal(generator(3, RngStream::Patch, number));
        let values: Vec<f32> = values.take(shape.iter().product()).collect();
        Tensor::<1>::from_floats(&values[..], &Device::flex()).reshape(shape)
    }

    /// Every preset at its smallest size, with a branch.
    #[test]
    fn every_network_starts_with_outputs_of_about_its_inputs_size() {
        for preset in PRESETS {
            let network = UNetConfig::preset(preset, 2, 3).unwrap();
            let without = initial_weights(&network, 1);
            let size = network.min_size();
            let vae = Some(Vae { patch: Some([size; 3]), ..Vae::default() });
            let network = network.with(|network| network.vae = vae).unwrap();
            let weights = initial_weights(&network, 1);
            assert!(without.iter().all(|(name, array)| weights[name] == *array), "{preset}");
            let module = model::build(&network, &weights, &Device::flex()).unwrap();
            let (logits, hooks) = module.forward_with_hooks(random([1, 2, size, size, size], 0));
            let branch = module.vae.as_ref().unwrap();
            let branch = branch.forward(hooks.bottleneck.take(), random([1, 128, 1, 1, 1], 1));
            let outputs = [logits, branch.reconstruction, branch.mean, branch.log_variance];
            let found = outputs.map(deviation);
            assert!(found.iter().all(|d| (0.05..20.0).contains(d)), "{preset}: {found:?}");
        }
    }
}
