//! Dice of a region.

use super::EmptyRule;

/// Returns for each code whether it belongs to a region.
pub(super) fn code_table(codes: &[u8]) -> [bool; 256] {
    let mut is_in = [false; 256];
    codes.iter().for_each(|&code| is_in[usize::from(code)] = true);
    is_in
}

/// Returns Dice (2 |A ∩ B| / (|A| + |B|)) of the region with these label codes; NaN if the rule gives
/// no score.
///
/// # Panics
/// If the two maps have different numbers of voxels.
pub fn dice(predicted: &[u8], reference: &[u8], codes: &[u8], rule: EmptyRule) -> f64 {
    assert_eq!(predicted.len(), reference.len(), "both on one grid");
    let is_in = code_table(codes);
    let mut counts = Counts::default();
    for (&p, &r) in predicted.iter().zip(reference) {
        counts.add(is_in[usize::from(p)], is_in[usize::from(r)]);
    }
    counts.dice(rule)
}

/// The numbers of a region's voxels in prediction and reference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub both: u64,
    pub predicted: u64,
    pub reference: u64,
}

impl Counts {
    pub fn add(&mut self, is_predicted: bool, is_reference: bool) {
        self.both += u64::from(is_predicted && is_reference);
        self.predicted += u64::from(is_predicted);
        self.reference += u64::from(is_reference);
    }

    pub fn dice(&self, rule: EmptyRule) -> f64 {
        match (self.predicted, self.reference) {
            (0, _) | (_, 0) => rule.overlap(self.predicted == 0, self.reference == 0),
            (predicted, reference) => 2.0 * self.both as f64 / (predicted + reference) as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dice_counts_the_voxels_of_the_region() {
        let (predicted, reference) = ([0, 1, 1, 2, 4], [0, 1, 2, 2, 0]);
        assert_eq!(dice(&predicted, &reference, &[1], EmptyRule::Monai), 2.0 / 3.0);
        assert_eq!(dice(&predicted, &reference, &[1, 2], EmptyRule::Monai), 1.0);
        assert_eq!(dice(&predicted, &reference, &[1, 2, 4], EmptyRule::Monai), 6.0 / 7.0);
    }

    /// The cases are: both empty; reference empty; prediction empty.
    #[test]
    fn empty_regions_score_by_the_rule() {
        let score = |rule: &str| {
            let rule: EmptyRule = rule.parse().unwrap();
            let pairs = [([0], [0]), ([1], [0]), ([0], [1])];
            pairs.map(|(predicted, reference)| dice(&predicted, &reference, &[1], rule))
        };
        assert_eq!(score("brats2021"), [1.0, 0.0, 0.0]);
        assert_eq!(score("brats2023"), [1.0, 0.0, 0.0]);
        let [both, reference, predicted] = score("nnunet");
        assert!(both.is_nan() && reference == 0.0 && predicted == 0.0);
        let [both, reference, predicted] = score("monai");
        assert!(both.is_nan() && reference.is_nan() && predicted == 0.0);
    }
}
