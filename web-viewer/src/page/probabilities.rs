//! The probabilities of a result's regions.

use std::sync::Arc;

use js_sys::{Array, Uint8Array};
use model_core::Card;
use model_core::metrics::Calibration;

/// Each region's probability in every voxel of the result.
#[derive(Debug, Clone, PartialEq)]
pub struct Probabilities {
    /// For each region the voxels' probabilities, from 0 to 255.
    pub regions: Vec<Vec<u8>>,
    /// How well they are calibrated, if that was measured.
    pub calibration: Option<Calibration>,
}

impl Probabilities {
    /// Reads the arrays that follow the labels in the worker's response. Returns `None` if there are
    /// none.
    pub fn new(card: &Card, arrays: &Array) -> Option<Arc<Probabilities>> {
        let bytes = arrays.iter().skip(1).map(|array| Uint8Array::from(array).to_vec());
        let regions: Vec<Vec<u8>> = bytes.collect();
        let is_whole = !regions.is_empty() && regions.len() == card.task.regions.len();
        let calibration = card.calibration.clone();
        is_whole.then(|| Arc::new(Probabilities { regions, calibration }))
    }

    /// Returns what the numbers are, for the user.
    pub fn meaning(&self) -> String {
        let Some(Calibration { regions, cases }) = &self.calibration else {
            return "How sure the network is, not calibrated: not a probability of being right."
                .into();
        };
        let errors = regions.iter().map(|region| region.error);
        let worst = errors.fold(0.0, f64::max);
        format!(
            "Probability near the border, calibrated on {cases} held-out {}: off by {:.0} % on average \
             in the worst region. A missed region can have a low one everywhere.",
            if *cases == 1 { "case" } else { "cases" },
            100.0 * worst,
        )
    }
}
