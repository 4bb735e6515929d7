//! The learning rate at each step.

use crate::config::{Decay, TrainConfig};

/// The learning rate of step `step`, counted from 0: a linear rise over the warm-up, then the
/// decay down to the end of the run.
pub fn learning_rate(config: &TrainConfig, step: usize) -> f64 {
    let warm_up = config.warm_up.min(config.steps / 2);
    if step < warm_up {
        return config.learning_rate * (step + 1) as f64 / warm_up as f64;
    }
    // From 0 at the end of the warm-up to 1 after the last step.
    let t = ((step - warm_up) as f64 / (config.steps - warm_up) as f64).min(1.0);
    let factor = match config.decay {
        Decay::Polynomial => (1.0 - t).powf(0.9), // the exponent of nnU-Net (Isensee et al. 2021)
        Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * t).cos()),
        Decay::Constant => 1.0,
    };
    config.learning_rate * factor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_then_falls_to_nothing() {
        for decay in [Decay::Polynomial, Decay::Cosine] {
            let config = TrainConfig { steps: 100, warm_up: 10, decay, ..TrainConfig::default() };
            let rates: Vec<f64> = (0..100).map(|step| learning_rate(&config, step)).collect();
            assert!(rates[..10].is_sorted() && rates[10..].is_sorted_by(|a, b| a >= b));
            assert!((rates[9] - config.learning_rate).abs() < 1e-12);
            assert!(rates[99] > 0.0 && rates[99] < 0.05 * config.learning_rate);
        }
    }

    #[test]
    fn a_run_of_one_step_has_a_rate() {
        let config = TrainConfig { steps: 1, ..TrainConfig::default() };
        assert_eq!(learning_rate(&config, 0), config.learning_rate);
    }
}
