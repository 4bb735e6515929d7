//! The scores of tables: name, title and value.

use model_core::metrics::{LesionScores, Scores};

/// A number of a set of scores `T`.
pub struct Measure<T> {
    /// The name in files.
    pub name: &'static str,
    /// The name in the printed report, with its unit.
    pub title: &'static str,
    /// The number of decimals in the printed report.
    pub digits: usize,
    /// Returns the number.
    pub value: fn(&T) -> f64,
}

/// The measures of a region.
pub const REGION_MEASURES: [Measure<Scores>; 6] = [
    Measure { name: "dice", title: "Dice", digits: 4, value: |scores| scores.dice },
    Measure { name: "hd95_mm", title: "HD95 mm", digits: 2, value: |scores| scores.hd95_mm },
    Measure { name: "hd_mm", title: "HD mm", digits: 2, value: |scores| scores.hd_mm },
    Measure { name: "nsd", title: "NSD", digits: 4, value: |scores| scores.nsd },
    Measure {
        name: "predicted_ml",
        title: "predicted ml",
        digits: 3,
        value: |scores| scores.predicted_ml,
    },
    Measure {
        name: "reference_ml",
        title: "reference ml",
        digits: 3,
        value: |scores| scores.reference_ml,
    },
];

/// The measures of a region's lesions.
pub const LESION_MEASURES: [Measure<LesionScores>; 2] = [
    Measure { name: "lesion_dice", title: "lesion Dice", digits: 4, value: |scores| scores.dice },
    Measure {
        name: "lesion_hd95_mm",
        title: "lesion HD95 mm",
        digits: 2,
        value: |scores| scores.hd95_mm,
    },
];
