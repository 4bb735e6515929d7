//! The scores by name, for tables.

use model_core::metrics::{LesionScores, Scores};

/// One of the numbers in a set of scores.
pub struct Measure<T> {
    /// Its name in files.
    pub name: &'static str,
    /// Its name on screen, with its unit.
    pub title: &'static str,
    /// Digits behind the point on screen.
    pub digits: usize,
    /// Takes it out.
    pub of: fn(&T) -> f64,
}

/// What is measured of a region.
pub const MEASURES: [Measure<Scores>; 6] = [
    Measure { name: "dice", title: "Dice", digits: 4, of: |scores| scores.dice },
    Measure { name: "hd95_mm", title: "HD95 mm", digits: 2, of: |scores| scores.hd95_mm },
    Measure { name: "hd_mm", title: "HD mm", digits: 2, of: |scores| scores.hd_mm },
    Measure { name: "nsd", title: "NSD", digits: 4, of: |scores| scores.nsd },
    Measure {
        name: "predicted_ml",
        title: "predicted ml",
        digits: 3,
        of: |scores| scores.predicted_ml,
    },
    Measure {
        name: "reference_ml",
        title: "reference ml",
        digits: 3,
        of: |scores| scores.reference_ml,
    },
];

/// What is measured of a region's lesions.
pub const LESION_MEASURES: [Measure<LesionScores>; 2] = [
    Measure { name: "lesion_dice", title: "lesion Dice", digits: 4, of: |scores| scores.dice },
    Measure {
        name: "lesion_hd95_mm",
        title: "lesion HD95 mm",
        digits: 2,
        of: |scores| scores.hd95_mm,
    },
];
