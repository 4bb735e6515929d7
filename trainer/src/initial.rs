//! The weights that training starts from.

use model_core::config::{UNetConfig, parameters};
use model_core::{Array, Weights};
use rand::RngExt;

use crate::draws::{Purpose, generator};

/// Weights uniform within ±√(6 / fan-in) (He et al. 2015), norms that change nothing, biases 0:
/// on every device the same function of the seed.
pub fn initial_weights(network: &UNetConfig, seed: u64) -> Weights {
    let weights = parameters(network).into_iter().enumerate().map(|(number, parameter)| {
        let num_values: usize = parameter.shape.iter().product();
        let values = if parameter.name.ends_with(".gamma") {
            vec![1.0; num_values]
        } else if parameter.name.ends_with(".weight") {
            let fan_in: usize = parameter.shape[1..].iter().product();
            let bound = (6.0 / fan_in as f32).sqrt();
            let mut generator = generator(seed, Purpose::Weights, number as u64);
            (0..num_values).map(|_| bound * (2.0 * generator.random::<f32>() - 1.0)).collect()
        } else {
            vec![0.0; num_values]
        };
        (parameter.name, Array { shape: parameter.shape, values })
    });
    weights.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
