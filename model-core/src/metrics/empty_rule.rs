//! The scores of regions that are empty in the prediction or in the reference.

use std::str::FromStr;

use crate::{Error, Result};

/// The rule for the scores of a region that is empty in the prediction, in the reference or in both.
/// Tools differ, so a report names the rule that it used.
///
/// | rule | both empty | one empty |
/// |---|---|---|
/// | `brats2021` | Dice and NSD 1, HD and HD95 0 mm | Dice and NSD 0, HD and HD95 373.13 mm |
/// | `brats2023` | as `brats2021` | Dice and NSD 0, HD and HD95 374 mm |
/// | `nnunet` | no score | Dice and NSD 0, HD and HD95 the volume's diagonal |
/// | `monai` | no score | prediction empty: as `nnunet`; reference empty: no score |
///
/// nnU-Net measures no distances, and MONAI has no distance if the prediction is empty. Omitting such
/// a case would reward missing it, so here it counts with the largest distance within the volume.
/// Volumes are always measured: an empty region has 0 ml.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EmptyRule {
    /// BraTS until 2022; the distance is the diagonal of its 240 × 240 × 155 mm.
    Brats2021,
    /// BraTS 2023.
    #[default]
    Brats2023,
    /// nnU-Net: no score if both are empty.
    Nnunet,
    /// MONAI: no score if the reference is empty.
    Monai,
}

impl EmptyRule {
    /// All rules.
    pub const ALL: [EmptyRule; 4] =
        [EmptyRule::Brats2021, EmptyRule::Brats2023, EmptyRule::Nnunet, EmptyRule::Monai];

    /// Returns the rule's name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            EmptyRule::Brats2021 => "brats2021",
            EmptyRule::Brats2023 => "brats2023",
            EmptyRule::Nnunet => "nnunet",
            EmptyRule::Monai => "monai",
        }
    }

    /// Returns a description of the rule, for reports.
    pub fn describe(self) -> &'static str {
        match self {
            EmptyRule::Brats2021 => {
                "both empty: Dice and NSD 1, HD and HD95 0 mm; one empty: 0 and 373.13 mm"
            }
            EmptyRule::Brats2023 => {
                "both empty: Dice and NSD 1, HD and HD95 0 mm; one empty: 0 and 374 mm"
            }
            EmptyRule::Nnunet => {
                "both empty: no score; one empty: Dice and NSD 0, HD and HD95 the volume's diagonal"
            }
            EmptyRule::Monai => {
                "reference empty: no score; only the prediction empty: Dice and NSD 0, HD and HD95 \
                 the volume's diagonal"
            }
        }
    }

    /// Returns Dice and NSD if prediction or reference is empty; NaN if there is no score.
    pub(super) fn overlap(self, predicted_is_empty: bool, reference_is_empty: bool) -> f64 {
        match (self, predicted_is_empty, reference_is_empty) {
            (EmptyRule::Monai, _, true) | (EmptyRule::Nnunet, true, true) => f64::NAN,
            (_, true, true) => 1.0,
            _ => 0.0,
        }
    }

    /// Returns HD and HD95 if prediction or reference is empty; NaN if there is no score.
    pub(super) fn distance_mm(
        self,
        predicted_is_empty: bool,
        reference_is_empty: bool,
        diagonal_mm: f64,
    ) -> f64 {
        match (self, predicted_is_empty, reference_is_empty) {
            (EmptyRule::Monai, _, true) | (EmptyRule::Nnunet, true, true) => f64::NAN,
            (_, true, true) => 0.0,
            (EmptyRule::Brats2021, ..) => 373.13,
            (EmptyRule::Brats2023, ..) => 374.0,
            (EmptyRule::Nnunet | EmptyRule::Monai, ..) => diagonal_mm,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases are: both empty; reference empty; prediction empty.
    #[test]
    fn distances_of_empty_regions_follow_the_rule() {
        let distances = |rule: &str| {
            let rule: EmptyRule = rule.parse().unwrap();
            let empty = [(true, true), (false, true), (true, false)];
            empty.map(|(predicted, reference)| rule.distance_mm(predicted, reference, 50.0))
        };
        assert_eq!(distances("brats2021"), [0.0, 373.13, 373.13]);
        assert_eq!(distances("brats2023"), [0.0, 374.0, 374.0]);
        let [both, reference, predicted] = distances("nnunet");
        assert!(both.is_nan() && reference == 50.0 && predicted == 50.0);
        let [both, reference, predicted] = distances("monai");
        assert!(both.is_nan() && reference.is_nan() && predicted == 50.0);
        assert!("brats".parse::<EmptyRule>().is_err());
    }
}
