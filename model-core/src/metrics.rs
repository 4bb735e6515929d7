//! How well a segmentation agrees with a reference, as the field measures it.

use std::str::FromStr;

use crate::{Error, Result};

/// What a score is where the reference, or both, hold nothing of a region. Tools differ, so a
/// report names the rule that it used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EmptyRule {
    /// BraTS up to 2022: both empty 1, one empty 0.
    Brats2021,
    /// BraTS 2023: for Dice the same.
    #[default]
    Brats2023,
    /// nnU-Net: no score where both are empty, 0 where one is.
    Nnunet,
    /// MONAI: no score where the reference is empty.
    Monai,
}

impl EmptyRule {
    /// All rules.
    pub const ALL: [EmptyRule; 4] =
        [EmptyRule::Brats2021, EmptyRule::Brats2023, EmptyRule::Nnunet, EmptyRule::Monai];

    /// The rule's name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            EmptyRule::Brats2021 => "brats2021",
            EmptyRule::Brats2023 => "brats2023",
            EmptyRule::Nnunet => "nnunet",
            EmptyRule::Monai => "monai",
        }
    }

    /// Dice where prediction or reference is empty; NaN says "no score".
    fn dice(self, predicted_is_empty: bool, reference_is_empty: bool) -> f64 {
        match (self, predicted_is_empty, reference_is_empty) {
            (EmptyRule::Monai, _, true) => f64::NAN,
            (EmptyRule::Nnunet, true, true) => f64::NAN,
            (_, true, true) => 1.0,
            _ => 0.0,
        }
    }
}

impl FromStr for EmptyRule {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        EmptyRule::ALL.into_iter().find(|rule| rule.name() == name).ok_or_else(|| {
            let names = EmptyRule::ALL.map(EmptyRule::name).join(", ");
            Error::task(format!("a rule for empty regions, one of {names}"), format!("{name:?}"))
        })
    }
}

/// Dice (2 |A ∩ B| / (|A| + |B|)) of the region that unites `codes`; NaN where the rule gives no
/// score.
///
/// # Panics
/// When the two have not as many voxels.
pub fn dice(predicted: &[u8], reference: &[u8], codes: &[u8], rule: EmptyRule) -> f64 {
    assert_eq!(predicted.len(), reference.len(), "both on one grid");
    let mut is_in = [false; 256];
    codes.iter().for_each(|&code| is_in[usize::from(code)] = true);
    let (mut both, mut in_predicted, mut in_reference) = (0u64, 0u64, 0u64);
    for (&p, &r) in predicted.iter().zip(reference) {
        let (p, r) = (is_in[usize::from(p)], is_in[usize::from(r)]);
        both += u64::from(p && r);
        in_predicted += u64::from(p);
        in_reference += u64::from(r);
    }
    match in_predicted == 0 || in_reference == 0 {
        true => rule.dice(in_predicted == 0, in_reference == 0),
        false => 2.0 * both as f64 / (in_predicted + in_reference) as f64,
    }
}

/// A region's scores over cases.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Number of cases with a score.
    pub n: usize,
    /// Their mean; NaN for none.
    pub mean: f64,
    /// Their median; NaN for none.
    pub median: f64,
    /// Their standard deviation, as of a sample; NaN for fewer than two.
    pub deviation: f64,
}

impl Summary {
    /// Of scores, leaving out those that are NaN: only an empty reference has no score, never a
    /// missed lesion.
    pub fn of(scores: &[f64]) -> Self {
        let mut scores: Vec<f64> = scores.iter().copied().filter(|s| !s.is_nan()).collect();
        scores.sort_by(f64::total_cmp);
        let n = scores.len();
        let mean = scores.iter().sum::<f64>() / n as f64;
        let median = match n {
            0 => f64::NAN,
            _ => (scores[(n - 1) / 2] + scores[n / 2]) / 2.0,
        };
        let squares: f64 = scores.iter().map(|s| (s - mean) * (s - mean)).sum();
        let deviation = if n < 2 { f64::NAN } else { (squares / (n - 1) as f64).sqrt() };
        Summary { n, mean, median, deviation }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dice_counts_the_regions_voxels() {
        let (predicted, reference) = ([0, 1, 1, 2, 4], [0, 1, 2, 2, 0]);
        assert_eq!(dice(&predicted, &reference, &[1], EmptyRule::Monai), 2.0 / 3.0);
        assert_eq!(dice(&predicted, &reference, &[1, 2], EmptyRule::Monai), 1.0);
        assert_eq!(dice(&predicted, &reference, &[1, 2, 4], EmptyRule::Monai), 6.0 / 7.0);
    }

    /// FIELD: both empty; reference empty; prediction empty.
    #[test]
    fn empty_regions_score_by_the_named_rule() {
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
        assert!("brats".parse::<EmptyRule>().is_err());
    }

    #[test]
    fn a_summary_leaves_out_only_what_has_no_score() {
        let summary = Summary::of(&[0.0, f64::NAN, 1.0, 0.5]);
        assert_eq!((summary.n, summary.mean, summary.median), (3, 0.5, 0.5));
        assert_eq!(summary.deviation, 0.5);
        assert!(Summary::of(&[]).mean.is_nan());
    }
}
