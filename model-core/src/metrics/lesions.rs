//! Scores single lesions, as in the ranking of BraTS 2023 (GLI).

use serde::Serialize;

use super::dice::Counts;
use super::region_masks::RegionMasks;
use super::surface_distances::surface_voxels;
use super::{Components, Connectivity, EmptyRule, Surface, SurfaceDistances, components};
use crate::{LabelMap, VoxelBox};

/// The number of dilations of a reference lesion. Each adds the 18 neighbors that share a face or an
/// edge (SciPy's `generate_binary_structure(3, 2)`).
const DILATIONS: usize = 3;

/// The largest volume of reference lesions that are not scored.
pub const MIN_LESION_MM3: f64 = 50.0;

/// The HD95 of a missed lesion and of a false positive.
pub const LESION_PENALTY_MM: f64 = 374.0;

/// Scores over the lesions of one region of one case, by the rule of BraTS 2023 (GLI). The
/// [`EmptyRule`] does not apply.
///
/// - The reference is dilated 3 times. Each connected component (26 neighbors) is then one dilated
///   lesion.
/// - All connected components of the prediction (26 neighbors) that touch a dilated lesion are compared
///   with the lesion as one object. A component that touches no lesion is a false positive.
/// - Lesions of at most 50 mm³ are not scored, whether found or missed. A component that touches one is
///   not a false positive.
/// - The mean is over the other lesions and the false positives. A missed lesion and a false positive
///   count with Dice 0 and HD95 374 mm. Without lesions and false positives, Dice is 1 and HD95 0 mm.
///
/// Dice and HD95 are defined as in [`super::Scores`]; BraTS 2023 takes [`Surface::Areas`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LesionScores {
    /// Mean Dice over lesions and false positives.
    pub dice: f64,
    /// Mean HD95 over lesions and false positives.
    pub hd95_mm: f64,
    /// The number of scored reference lesions.
    pub num_lesions: usize,
    /// The number of scored reference lesions that no predicted component touches.
    pub num_missed: usize,
    /// The number of predicted components that touch no reference lesion, of any size.
    pub num_false_positives: usize,
    /// The number of reference lesions of at most [`MIN_LESION_MM3`], which are not scored.
    pub num_small: usize,
}

/// Scores the lesions of the region with these label codes.
///
/// # Panics
/// If the two maps have different dimensions.
pub fn lesion_scores(
    predicted: &LabelMap,
    reference: &LabelMap,
    codes: &[u8],
    surface: Surface,
) -> LesionScores {
    let masks = RegionMasks::new(predicted, reference, codes, DILATIONS);
    let voxel_mm3 = reference.grid().world_from_voxel.voxel_volume_mm3();
    let matches = LesionMatches::new(&masks);
    // Tolerate rounding of the spacing.
    let is_small =
        |lesion: usize| matches.sizes[lesion] as f64 * voxel_mm3 <= MIN_LESION_MM3 * (1.0 + 1e-6);
    let count = matches.sizes.len();
    let (mut dice, mut hd95_mm) = (Vec::new(), Vec::new());
    let mut num_missed = 0;
    for lesion in (0..count).filter(|&lesion| !is_small(lesion)) {
        let (lesion_dice, lesion_hd95_mm) = match matches.compare(lesion, &masks, surface) {
            Some((counts, distances)) => (counts.dice(EmptyRule::Brats2023), distances.hd95_mm()),
            None => {
                num_missed += 1;
                (0.0, LESION_PENALTY_MM)
            }
        };
        dice.push(lesion_dice);
        hd95_mm.push(lesion_hd95_mm);
    }
    let num_lesions = dice.len();
    let num_false_positives = matches.num_false_positives();
    let num_scored = num_lesions + num_false_positives;
    let penalties_mm = LESION_PENALTY_MM * num_false_positives as f64;
    let mean =
        |sum: f64, default: f64| if num_scored == 0 { default } else { sum / num_scored as f64 };
    LesionScores {
        dice: mean(dice.iter().sum(), 1.0),
        hd95_mm: mean(hd95_mm.iter().sum::<f64>() + penalties_mm, 0.0),
        num_lesions,
        num_missed,
        num_false_positives,
        num_small: count - num_lesions,
    }
}

/// Returns the scores of a case without a prediction. Every lesion is missed. A case without lesions
/// also counts as missed, so that omitting a case never improves the result.
pub fn missing_lesions(reference: &LabelMap, codes: &[u8]) -> LesionScores {
    let empty = LabelMap::background(reference.grid().clone());
    let found = lesion_scores(&empty, reference, codes, Surface::Voxels);
    LesionScores { dice: 0.0, hd95_mm: LESION_PENALTY_MM, ..found }
}

/// The lesions of a reference, the components of a prediction, and the pairs that touch. Indices are
/// from 0.
struct LesionMatches {
    /// The dilated lesion of each voxel, from 1; 0 outside.
    dilated: Components,
    /// The number of the reference's voxels in each lesion.
    sizes: Vec<usize>,
    /// The components of the prediction.
    predicted: Components,
    /// The bounding boxes of the lesions (undilated) and of the predicted components.
    boxes: [Vec<VoxelBox>; 2],
    /// The pairs of a lesion and a component that touch, ascending.
    touches: Vec<(usize, usize)>,
}

impl LesionMatches {
    fn new(masks: &RegionMasks) -> LesionMatches {
        let dims = masks.dims;
        let predicted = components(&masks.predicted, dims, Connectivity::Corner);
        let dilated = components(&dilate(&masks.reference, dims), dims, Connectivity::Corner);
        let mut sizes = vec![0; dilated.count()];
        let mut boxes =
            [vec![VoxelBox::EMPTY; dilated.count()], vec![VoxelBox::EMPTY; predicted.count()]];
        let mut touches = Vec::new();
        for (at, (&lesion, &component)) in dilated.labels.iter().zip(&predicted.labels).enumerate()
        {
            if lesion == 0 && component == 0 {
                continue;
            }
            let voxel = [at % dims[0], at / dims[0] % dims[1], at / (dims[0] * dims[1])];
            if masks.reference[at] {
                sizes[lesion as usize - 1] += 1;
                boxes[0][lesion as usize - 1].include(voxel);
            }
            if component > 0 {
                boxes[1][component as usize - 1].include(voxel);
                if lesion > 0 {
                    let touch = (lesion as usize - 1, component as usize - 1);
                    if touches.last() != Some(&touch) {
                        touches.push(touch);
                    }
                }
            }
        }
        touches.sort_unstable();
        touches.dedup();
        LesionMatches { dilated, sizes, predicted, boxes, touches }
    }

    /// Returns the number of predicted components that touch no lesion.
    fn num_false_positives(&self) -> usize {
        let mut is_false_positive = vec![true; self.predicted.count()];
        self.touches.iter().for_each(|&(_, component)| is_false_positive[component] = false);
        is_false_positive.iter().filter(|is_false| **is_false).count()
    }

    /// Compares a lesion with all components that touch it; `None` if no component does.
    fn compare(
        &self,
        lesion: usize,
        masks: &RegionMasks,
        surface: Surface,
    ) -> Option<(Counts, SurfaceDistances)> {
        let mut is_merged = vec![false; self.predicted.count() + 1];
        let mut bounds = self.boxes[0][lesion];
        for &(_, component) in self.touches.iter().filter(|(other, _)| *other == lesion) {
            is_merged[component + 1] = true;
            bounds.unite(&self.boxes[1][component]);
        }
        let merged = bounds.crop(&self.predicted.labels, masks.dims, |n| is_merged[n as usize]);
        let mut is_lesion =
            bounds.crop(&self.dilated.labels, masks.dims, |n| n as usize == lesion + 1);
        let reference = bounds.crop(&masks.reference, masks.dims, |inside| inside);
        is_lesion.iter_mut().zip(reference).for_each(|(lesion, inside)| *lesion &= inside);
        let mut counts = Counts::default();
        merged.iter().zip(&is_lesion).for_each(|(&p, &r)| counts.add(p, r));
        let dims = bounds.dims();
        let distances =
            SurfaceDistances::between_masks(&merged, &is_lesion, dims, &masks.space, surface)?;
        Some((counts, distances))
    }
}

/// Dilates a mask by the 18 neighbors, [`DILATIONS`] times, within the volume.
fn dilate(mask: &[bool], dims: [usize; 3]) -> Vec<bool> {
    let mut dilated = mask.to_vec();
    // The surface's neighbors include all neighbors of the mask.
    let mut front = surface_voxels(mask, dims, [false; 3]);
    let neighbors: Vec<[i64; 3]> = (0..27)
        .map(|n| [n % 3 - 1, n / 3 % 3 - 1, n / 9 - 1])
        .filter(|step| step.iter().filter(|x| **x != 0).count() <= 2)
        .collect();
    for _ in 0..DILATIONS {
        let mut next = Vec::new();
        for voxel in &front {
            for step in &neighbors {
                let to: [i64; 3] = std::array::from_fn(|axis| i64::from(voxel[axis]) + step[axis]);
                if (0..3).any(|axis| to[axis] < 0 || to[axis] >= dims[axis] as i64) {
                    continue;
                }
                let [i, j, k] = to.map(|x| x as usize);
                let at = i + dims[0] * (j + dims[1] * k);
                if !dilated[at] {
                    dilated[at] = true;
                    next.push(to.map(|x| x as u32));
                }
            }
        }
        front = next;
    }
    dilated
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Affine, Grid};

    /// Returns a map of 40 × 12 × 12 mm with cubes, each given by its first corner and its edge length.
    fn map(cubes: &[([usize; 3], usize)]) -> LabelMap {
        let grid = Grid::new([40, 12, 12], Affine::IDENTITY);
        let mut labels = vec![0; grid.num_voxels()];
        for &([i, j, k], edge) in cubes {
            for n in 0..edge * edge * edge {
                let voxel = [i + n % edge, j + n / edge % edge, k + n / (edge * edge)];
                labels[grid.index(voxel)] = 1;
            }
        }
        LabelMap::new(grid, labels).unwrap()
    }

    #[test]
    fn missed_lesions_and_false_positives_count_in_the_mean() {
        let reference = map(&[([2, 2, 2], 4), ([14, 2, 2], 4), ([26, 2, 2], 3)]);
        let predicted = map(&[([2, 2, 2], 4), ([34, 8, 8], 1)]);
        let found = lesion_scores(&predicted, &reference, &[1], Surface::Voxels);
        // One found, one missed, one of 27 mm³ not scored, one false positive.
        assert_eq!(found.dice, 1.0 / 3.0);
        assert_eq!(found.hd95_mm, 2.0 * LESION_PENALTY_MM / 3.0);
        assert_eq!((found.num_lesions, found.num_missed), (2, 1));
        assert_eq!((found.num_false_positives, found.num_small), (1, 1));
    }

    #[test]
    fn dilation_joins_lesions_and_touching_components_are_merged() {
        // Dilation closes a gap of 6 voxels, but not of 7. A gap of 2 voxels touches, a gap of 3 does
        // not.
        let count = |gap: usize| {
            let reference = map(&[([2, 2, 2], 4), ([6 + gap, 2, 2], 4)]);
            lesion_scores(&reference, &reference, &[1], Surface::Voxels).num_lesions
        };
        assert_eq!([count(6), count(7)], [1, 2]);
        let with_gap = |gap: usize| {
            let reference = map(&[([2, 2, 2], 4)]);
            let predicted = map(&[([2, 2, 2], 4), ([6 + gap, 2, 2], 1)]);
            let found = lesion_scores(&predicted, &reference, &[1], Surface::Voxels);
            (found.num_false_positives, found.dice)
        };
        assert_eq!(with_gap(2), (0, 128.0 / 129.0));
        assert_eq!(with_gap(3), (1, 0.5));
    }

    #[test]
    fn an_empty_prediction_of_an_empty_reference_is_right_but_a_missing_one_is_not() {
        let (some, none) = (map(&[([2, 2, 2], 4)]), map(&[]));
        let found = lesion_scores(&none, &none, &[1], Surface::Voxels);
        assert_eq!((found.dice, found.hd95_mm, found.num_lesions), (1.0, 0.0, 0));
        assert_eq!(lesion_scores(&some, &none, &[1], Surface::Voxels).dice, 0.0);
        for reference in [&some, &none] {
            let found = missing_lesions(reference, &[1]);
            assert_eq!((found.dice, found.hd95_mm), (0.0, LESION_PENALTY_MM));
        }
        assert_eq!(missing_lesions(&some, &[1]).num_missed, 1);
    }
}
