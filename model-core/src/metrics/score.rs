//! Computes all scores of one region of one case.

use serde::Serialize;

use super::region_masks::RegionMasks;
use super::{EmptyRule, Surface, SurfaceDistances};
use crate::LabelMap;

/// The settings of scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// The rule for empty regions.
    pub rule: EmptyRule,
    /// The tolerance of NSD: the largest distance at which surfaces agree.
    pub tolerance_mm: f64,
    /// The definition of a region's surface.
    pub surface: Surface,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { rule: EmptyRule::default(), tolerance_mm: 1.0, surface: Surface::default() }
    }
}

/// The scores of one region of one case; NaN if the rule gives no score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Scores {
    /// Dice, from 0 to 1.
    pub dice: f64,
    /// The 95th percentile Hausdorff distance, see [`SurfaceDistances::hd95_mm`].
    pub hd95_mm: f64,
    /// The Hausdorff distance, see [`SurfaceDistances::hd_mm`].
    pub hd_mm: f64,
    /// Normalized surface distance at the tolerance, from 0 to 1, see [`SurfaceDistances::nsd`].
    pub nsd: f64,
    /// The prediction's volume; NaN only if there is no prediction.
    pub predicted_ml: f64,
    /// The reference's volume.
    pub reference_ml: f64,
}

/// Scores the region with these label codes.
///
/// # Panics
/// If the two maps have different dimensions.
pub fn score(
    predicted: &LabelMap,
    reference: &LabelMap,
    codes: &[u8],
    settings: &Settings,
) -> Scores {
    let masks = RegionMasks::new(predicted, reference, codes, 0);
    let voxel_ml = reference.grid().world_from_voxel.voxel_volume_mm3() / 1000.0;
    let distances = SurfaceDistances::between(&masks, settings.surface);
    let (hd95_mm, hd_mm, nsd) = match distances {
        Some(distances) => {
            (distances.hd95_mm(), distances.hd_mm(), distances.nsd(settings.tolerance_mm))
        }
        None => {
            let (p, r) = (masks.counts.predicted == 0, masks.counts.reference == 0);
            let distance_mm = settings.rule.distance_mm(p, r, diagonal_mm(reference));
            (distance_mm, distance_mm, settings.rule.overlap(p, r))
        }
    };
    Scores {
        dice: masks.counts.dice(settings.rule),
        hd95_mm,
        hd_mm,
        nsd,
        predicted_ml: masks.counts.predicted as f64 * voxel_ml,
        reference_ml: masks.counts.reference as f64 * voxel_ml,
    }
}

/// Returns the scores of a case without a prediction: the worst scores of the rule, even if the
/// reference is empty, so that omitting a case never improves the result. If the rule gives no score
/// for this reference, the result is NaN.
pub fn missing_scores(reference: &LabelMap, codes: &[u8], settings: &Settings) -> Scores {
    let reference_ml = reference.volume_ml(codes);
    let is_empty = reference_ml == 0.0;
    let distance_mm = settings.rule.distance_mm(!is_empty, is_empty, diagonal_mm(reference));
    let overlap = settings.rule.overlap(!is_empty, is_empty);
    Scores {
        dice: overlap,
        hd95_mm: distance_mm,
        hd_mm: distance_mm,
        nsd: overlap,
        predicted_ml: f64::NAN,
        reference_ml,
    }
}

/// Returns the diagonal of the whole volume.
fn diagonal_mm(map: &LabelMap) -> f64 {
    let spacing = map.grid().world_from_voxel.spacing_mm();
    let squares = (0..3).map(|axis| (map.grid().dims[axis] as f64 * spacing[axis]).powi(2));
    squares.sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Affine, Grid};

    fn map(labels: &[u8]) -> LabelMap {
        let grid = Grid::new([labels.len(), 1, 1], Affine::from_spacing([2.0, 1.0, 1.0]));
        LabelMap::new(grid, labels.to_vec()).unwrap()
    }

    #[test]
    fn an_empty_region_scores_by_the_rule_in_every_metric() {
        let (some, none) = (map(&[0, 1, 1]), map(&[0, 0, 0]));
        let score = |rule, predicted: &LabelMap| {
            let settings = Settings { rule, ..Settings::default() };
            let found = score(predicted, &some, &[1], &settings);
            [found.dice, found.nsd, found.hd95_mm, found.hd_mm, found.predicted_ml]
        };
        assert_eq!(score(EmptyRule::Brats2023, &none), [0.0, 0.0, 374.0, 374.0, 0.0]);
        let diagonal_mm = 38f64.sqrt();
        assert_eq!(score(EmptyRule::Monai, &none), [0.0, 0.0, diagonal_mm, diagonal_mm, 0.0]);
        assert_eq!(score(EmptyRule::Monai, &some), [1.0, 1.0, 0.0, 0.0, 0.004]);
    }

    #[test]
    fn a_missing_prediction_has_the_worst_scores() {
        let settings = |rule| Settings { rule, ..Settings::default() };
        for labels in [[0, 1, 1], [0, 0, 0]] {
            let found = missing_scores(&map(&labels), &[1], &settings(EmptyRule::Brats2023));
            assert_eq!(
                (found.dice, found.nsd, found.hd95_mm, found.hd_mm),
                (0.0, 0.0, 374.0, 374.0)
            );
            assert!(found.predicted_ml.is_nan());
        }
        let found = missing_scores(&map(&[0, 1, 1]), &[1], &settings(EmptyRule::Monai));
        assert_eq!((found.dice, found.reference_ml), (0.0, 0.004));
        assert!(missing_scores(&map(&[0, 0, 0]), &[1], &settings(EmptyRule::Monai)).dice.is_nan());
    }
}
