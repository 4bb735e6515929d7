//! The drift monitor: the error of the inputs that rewinding recovers, measured on one patch during
//! training.
//!
//! Rewinding subtracts the sum that the forward pass added, but the rounding of the streams is lost.
//! In f32 the error is negligible. In half precision it grows with every rewound block, and the
//! gradients are computed at inputs that differ from the true ones.

use burn::module::Module;
use burn::tensor::FloatDType;
use model_core::nets::{Precision, UNet3d};

use crate::model;
use trainer_data::patches::Batch;

/// The relative error of a recovered input above which training warns. The gradients then differ by
/// as much, or several times as much, from those of stored activations. The measurements are in
/// `trainer/docs/precision.md`.
pub const MAX_DRIFT: f64 = 0.02;

/// The drift on one patch.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /// The drift of every rewound sequence, first to last, as [`UNet3d::drift`] measures it.
    pub by_sequence: Vec<f64>,
}

impl Drift {
    /// Measures a network on the first patch of a batch, of `patch` voxels along i, j, k; `None` for a
    /// network that rewinds nothing.
    pub fn measure(network: &UNet3d, batch: &Batch, patch: [usize; 3]) -> Option<Drift> {
        let channels = network.config.in_channels();
        let values = batch.values[..channels * patch.iter().product::<usize>()].to_vec();
        let device = network.devices().into_iter().next()?.without_autodiff();
        let by_sequence = network.drift(model::tensor(values, channels, patch, &device));
        (!by_sequence.is_empty()).then_some(Drift { by_sequence })
    }

    /// Returns the largest drift with the number of its sequence, counted from 0. Not a number counts
    /// as the largest.
    pub fn worst(&self) -> (usize, f64) {
        let all = self.by_sequence.iter().copied().enumerate();
        let size = |drift: f64| if drift.is_nan() { f64::INFINITY } else { drift };
        all.max_by(|a, b| size(a.1).total_cmp(&size(b.1))).expect("at least one sequence")
    }

    /// Returns a warning for the user; `None` for a drift within [`MAX_DRIFT`].
    pub fn warning(&self, precision: Precision) -> Option<String> {
        let (number, worst) = self.worst();
        // This order also warns of a drift that is not a number.
        if worst <= MAX_DRIFT {
            return None;
        }
        let advice = match (precision.compute, precision.stream) {
            (FloatDType::F32, _) => "look at the loss: the weights may be about to diverge",
            (_, FloatDType::F32) => "set precision = \"f32\", or take fewer blocks a level",
            _ => "set stream = \"f32\"",
        };
        Some(format!(
            "rewinding drifts: sequence {} of {} finds its input again with a relative error of \
             {worst:.3}, more than {MAX_DRIFT}, and its gradients are off by as much or \
             several times that: {advice}, and go on with --accept-changes",
            number + 1,
            self.by_sequence.len()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_advises_and_not_a_number_is_the_worst() {
        let drift = |by_sequence: &[f64]| Drift { by_sequence: by_sequence.to_vec() };
        let half = Precision { compute: FloatDType::BF16, stream: FloatDType::BF16 };
        assert_eq!(drift(&[1e-6, MAX_DRIFT]).warning(half), None);
        let warning = drift(&[0.1, 0.3, 0.2]).warning(half).unwrap();
        assert!(warning.contains("sequence 2 of 3") && warning.contains("stream = \"f32\""));
        let warning = drift(&[f64::NAN, 9.0]).warning(Precision::mixed(FloatDType::F16)).unwrap();
        assert!(warning.contains("sequence 1 of 2") && warning.contains("precision = \"f32\""));
    }
}
