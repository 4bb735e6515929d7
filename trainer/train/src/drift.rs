//! The drift monitor: how far rewinding lands from where it came from, on one patch, watched while
//! the network is trained.
//!
//! Rewinding takes away what was added, and what the streams have rounded off is lost. In f32 that
//! is nothing; in half precision the error grows with every block that is rewound, and the gradients
//! of those are of inputs that never were.

use burn::module::Module;
use burn::tensor::FloatDType;
use model_core::nets::{Precision, UNet3d};

use crate::model;
use trainer_data::patches::Batch;

/// The relative error of a recovered input above which a run is warned: gradients are then off by as
/// much or several times that from those of storing everything. The measurements are in
/// `trainer/docs/precision.md`.
pub const BOUND: f64 = 0.02;

/// What was found on one patch.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /// Of every rewound sequence, first to last: [`UNet3d::drift`].
    pub by_sequence: Vec<f64>,
}

impl Drift {
    /// Of a network on the first patch of a batch, `patch` voxels (i, j, k) large; none where
    /// nothing is rewound.
    pub fn of(network: &UNet3d, batch: &Batch, patch: [usize; 3]) -> Option<Drift> {
        let channels = network.config.in_channels();
        let values = batch.values[..channels * patch.iter().product::<usize>()].to_vec();
        let device = network.devices().into_iter().next()?.without_autodiff();
        let by_sequence = network.drift(model::tensor(values, channels, patch, &device));
        (!by_sequence.is_empty()).then_some(Drift { by_sequence })
    }

    /// The largest, with the number of its sequence, counted from 0; no number counts as largest.
    pub fn worst(&self) -> (usize, f64) {
        let all = self.by_sequence.iter().copied().enumerate();
        let size = |drift: f64| if drift.is_nan() { f64::INFINITY } else { drift };
        all.max_by(|a, b| size(a.1).total_cmp(&size(b.1))).expect("at least one sequence")
    }

    /// What to tell the user, where the drift is beyond the bound.
    pub fn warning(&self, precision: Precision) -> Option<String> {
        let (number, worst) = self.worst();
        // Not the other way round: what is no number is beyond every bound.
        if worst <= BOUND {
            return None;
        }
        let advice = match (precision.compute, precision.stream) {
            (FloatDType::F32, _) => "look at the loss: the weights may be about to diverge",
            (_, FloatDType::F32) => "set precision = \"f32\", or take fewer blocks a level",
            _ => "set stream = \"f32\"",
        };
        Some(format!(
            "rewinding drifts: sequence {} of {} finds its input again with a relative error of \
             {worst:.3}, more than {BOUND}, and its gradients are off by as much or \
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
    fn a_warning_says_what_to_do_and_no_number_is_the_worst() {
        let drift = |by_sequence: &[f64]| Drift { by_sequence: by_sequence.to_vec() };
        let half = Precision { compute: FloatDType::BF16, stream: FloatDType::BF16 };
        assert_eq!(drift(&[1e-6, BOUND]).warning(half), None);
        let warning = drift(&[0.1, 0.3, 0.2]).warning(half).unwrap();
        assert!(warning.contains("sequence 2 of 3") && warning.contains("stream = \"f32\""));
        let warning = drift(&[f64::NAN, 9.0]).warning(Precision::mixed(FloatDType::F16)).unwrap();
        assert!(warning.contains("sequence 1 of 2") && warning.contains("precision = \"f32\""));
    }
}
