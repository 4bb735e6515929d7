//! Soft Dice, and Dice of the decided voxels, from sums over voxels.

use model_core::kernels::loss::VoxelSums;

/// The smoothing of numerator and denominator of Dice (code of Brügger et al. 2019), so that an absent
/// region has a gradient.
const SMOOTHING: f64 = 1.0;

/// The sums of one output over voxels.
#[derive(Clone, Copy, Default)]
pub(super) struct Sums {
    /// Probability where the reference is.
    overlap: f64,
    predicted: f64,
    reference: f64,
    decided_overlap: u64,
    decided: u64,
}

impl Sums {
    /// Counts a voxel: its probability, whether the output is decided for, and whether the reference
    /// is there.
    pub(super) fn count(&mut self, probability: f32, decided: bool, there: bool) {
        self.predicted += f64::from(probability);
        self.decided += u64::from(decided);
        if there {
            self.overlap += f64::from(probability);
            self.reference += 1.0;
            self.decided_overlap += u64::from(decided);
        }
    }

    /// Adds the sums of other voxels.
    pub(super) fn add(&mut self, other: &Sums) {
        self.overlap += other.overlap;
        self.predicted += other.predicted;
        self.reference += other.reference;
        self.decided_overlap += other.decided_overlap;
        self.decided += other.decided;
    }

    /// Converts the sums of a GPU's kernels.
    pub(super) fn from_device(sums: &VoxelSums) -> Sums {
        Sums {
            overlap: sums.overlap,
            predicted: sums.predicted,
            reference: sums.reference,
            decided_overlap: sums.decided_overlap as u64,
            decided: sums.decided as u64,
        }
    }

    /// Returns the sums as plain numbers that can be added; counts are exact up to 2^53.
    pub(super) fn numbers(&self) -> [f64; Sums::LEN] {
        let Sums { overlap, predicted, reference, decided_overlap, decided } = *self;
        [overlap, predicted, reference, decided_overlap as f64, decided as f64]
    }

    /// The number of sums.
    pub(super) const LEN: usize = 5;

    /// Converts the numbers of [`Sums::numbers`] back.
    pub(super) fn of(numbers: &[f64]) -> Sums {
        let [overlap, predicted, reference, decided_overlap, decided] =
            numbers.try_into().expect("as many numbers as sums");
        let [decided_overlap, decided] = [decided_overlap, decided].map(|count: f64| count as u64);
        Sums { overlap, predicted, reference, decided_overlap, decided }
    }

    /// Returns soft Dice: 2 Σ p t / (Σ p + Σ t), smoothed.
    pub(super) fn dice(&self) -> f64 {
        (2.0 * self.overlap + SMOOTHING) / (self.predicted + self.reference + SMOOTHING)
    }

    /// Returns the derivative of `weight · (1 − dice)` by a probability, and its addition where the
    /// reference is.
    pub(super) fn slopes(&self, weight: f64) -> (f32, f32) {
        let total = self.predicted + self.reference + SMOOTHING;
        ((weight * self.dice() / total) as f32, (-weight * 2.0 / total) as f32)
    }
}

/// Returns Dice of the decided voxels, averaged over the outputs that are decided for or in the
/// reference anywhere; 1 if there is no such output.
pub(super) fn decided_dice(sums: &[Sums]) -> f64 {
    let dice: Vec<f64> = sums
        .iter()
        .map(|sums| (2.0 * sums.decided_overlap as f64, sums.decided as f64 + sums.reference))
        .filter(|(_, total)| *total > 0.0)
        .map(|(overlap, total)| overlap / total)
        .collect();
    if dice.is_empty() { 1.0 } else { dice.iter().sum::<f64>() / dice.len() as f64 }
}
