//! What a score is where there is nothing to compare with.

use std::str::FromStr;

use crate::{Error, Result};

/// What a score is where the reference, or both, hold nothing of a region. Tools differ, so a
/// report names the rule that it used.
///
/// | rule | both empty | one empty |
/// |---|---|---|
/// | `brats2021` | Dice and NSD 1, HD and HD95 0 mm | Dice and NSD 0, HD and HD95 373.13 mm |
/// | `brats2023` | the same | the same with 374 mm |
/// | `nnunet` | no score | Dice and NSD 0, HD and HD95 the volume's diagonal |
/// | `monai` | no score | as `nnunet`; no score where it is the reference that is empty |
///
/// nnU-Net measures no distances, and MONAI gives none where the prediction is empty. Leaving such a
/// case out would reward missing it: here it counts as the greatest distance that the volume has.
/// Volumes are always measured: an empty region has 0 ml.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EmptyRule {
    /// BraTS up to 2022; the distance is the diagonal of its 240 × 240 × 155 mm.
    Brats2021,
    /// BraTS 2023.
    #[default]
    Brats2023,
    /// nnU-Net: no score where both are empty.
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

    /// The rule in words, for reports.
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

    /// Dice and NSD where prediction or reference is empty; NaN says "no score".
    pub(super) fn overlap(self, predicted_is_empty: bool, reference_is_empty: bool) -> f64 {
        match (self, predicted_is_empty, reference_is_empty) {
            (EmptyRule::Monai, _, true) | (EmptyRule::Nnunet, true, true) => f64::NAN,
            (_, true, true) => 1.0,
            _ => 0.0,
        }
    }

    /// HD and HD95 where prediction or reference is empty; NaN says "no score".
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

    /// FIELD: both empty; reference empty; prediction empty.
    #[test]
    fn distances_to_nothing_are_those_of_the_named_rule() {
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
