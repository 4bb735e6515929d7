//! Scores lesion by lesion, as BraTS 2023 (GLI) ranks by.

use serde::Serialize;

use super::overlap::Counts;
use super::pair::{Bounds, Pair};
use super::surface::surface_voxels;
use super::{Components, Connectivity, EmptyRule, Surface, SurfaceDistances, components};
use crate::LabelMap;

/// How often a reference lesion is dilated, each time by the 18 neighbors that share a face or an
/// edge (SciPy's `generate_binary_structure(3, 2)`).
const DILATIONS: usize = 3;

/// Reference lesions of at most this volume are left out.
pub const MIN_LESION_MM3: f64 = 50.0;

/// HD95 of a missed lesion and of a false positive.
pub const LESION_PENALTY_MM: f64 = 374.0;

/// Scores over the lesions of one region of one case, by the rule of BraTS 2023 (GLI), whichever
/// rule holds for empty regions:
///
/// - the reference is dilated 3 times; what is then connected (26 neighbors) is one lesion, dilated;
/// - every connected component of the prediction (26 neighbors) that touches a dilated lesion is
///   merged into it, and compared with it as a whole; a component that touches none is a false
///   positive;
/// - lesions of at most 50 mm³ are left out, whether found or missed, but what touches them is no
///   false positive;
/// - the mean is over the other lesions and the false positives. A missed lesion and a false positive
///   count Dice 0 and HD95 374 mm. Where there is neither lesion nor false positive, Dice is 1 and
///   HD95 0 mm.
///
/// Dice and HD95 are defined as in [`super::Scores`]; BraTS 2023 takes [`Surface::Areas`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LesionScores {
    /// Mean Dice over lesions and false positives.
    pub dice: f64,
    /// Mean HD95 over lesions and false positives.
    pub hd95_mm: f64,
    /// Reference lesions that are scored.
    pub num_lesions: usize,
    /// Those of them that nothing predicted touches.
    pub num_missed: usize,
    /// Predicted components that touch no reference lesion, of whatever size.
    pub num_false_positives: usize,
    /// Reference lesions of at most [`MIN_LESION_MM3`], left out.
    pub num_small: usize,
}

/// Scores the lesions of the region that unites `codes`.
///
/// # Panics
/// When the two have not the same dimensions, or not as many labels as those say.
pub fn lesion_scores(
    predicted: &LabelMap,
    reference: &LabelMap,
    codes: &[u8],
    surface: Surface,
) -> LesionScores {
    let pair = Pair::new(predicted, reference, codes, DILATIONS);
    let voxel_mm3 = reference.grid().world_from_voxel.voxel_volume_mm3();
    let parts = Parts::of(&pair);
    // Rounding of the spacing makes no lesion larger than it is.
    let is_small =
        |lesion: usize| parts.sizes[lesion] as f64 * voxel_mm3 <= MIN_LESION_MM3 * (1.0 + 1e-6);
    let count = parts.sizes.len();
    let (mut dice, mut hd95_mm) = (Vec::new(), Vec::new());
    let mut num_missed = 0;
    for lesion in (0..count).filter(|&lesion| !is_small(lesion)) {
        let (lesion_dice, lesion_hd95_mm) = match parts.compare(lesion, &pair, surface) {
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
    let num_false_positives = parts.num_false_positives();
    let num_scored = num_lesions + num_false_positives;
    let penalties_mm = LESION_PENALTY_MM * num_false_positives as f64;
    let mean =
        |sum: f64, of_none: f64| if num_scored == 0 { of_none } else { sum / num_scored as f64 };
    LesionScores {
        dice: mean(dice.iter().sum(), 1.0),
        hd95_mm: mean(hd95_mm.iter().sum::<f64>() + penalties_mm, 0.0),
        num_lesions,
        num_missed,
        num_false_positives,
        num_small: count - num_lesions,
    }
}

/// The scores of a case that has no prediction: every lesion is missed, and a case without lesions
/// counts as one missed, so that leaving a case out never pays.
pub fn missing_lesions(reference: &LabelMap, codes: &[u8]) -> LesionScores {
    let nothing = LabelMap::background(reference.grid().clone());
    let found = lesion_scores(&nothing, reference, codes, Surface::Voxels);
    LesionScores { dice: 0.0, hd95_mm: LESION_PENALTY_MM, ..found }
}

/// The lesions of a reference, the components of a prediction, and which touch. All numbers from 0.
struct Parts {
    /// For each voxel its dilated lesion, from 1; 0 outside.
    dilated: Components,
    /// The reference's voxels in each lesion.
    sizes: Vec<usize>,
    /// The predicted components.
    predicted: Components,
    /// Boxes of the lesions (undilated) and of the predicted components.
    boxes: [Vec<Bounds>; 2],
    /// Lesions and components that touch, from 0, ascending.
    touches: Vec<(usize, usize)>,
}

impl Parts {
    fn of(pair: &Pair) -> Parts {
        let dims = pair.dims;
        let predicted = components(&pair.predicted, dims, Connectivity::Corner);
        let dilated = components(&dilate(&pair.reference, dims), dims, Connectivity::Corner);
        let mut sizes = vec![0; dilated.count()];
        let mut boxes =
            [vec![Bounds::EMPTY; dilated.count()], vec![Bounds::EMPTY; predicted.count()]];
        let mut touches = Vec::new();
        for (at, (&lesion, &component)) in dilated.labels.iter().zip(&predicted.labels).enumerate()
        {
            if lesion == 0 && component == 0 {
                continue;
            }
            let voxel = [at % dims[0], at / dims[0] % dims[1], at / (dims[0] * dims[1])];
            if pair.reference[at] {
                sizes[lesion as usize - 1] += 1;
                boxes[0][lesion as usize - 1].add(voxel);
            }
            if component > 0 {
                boxes[1][component as usize - 1].add(voxel);
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
        Parts { dilated, sizes, predicted, boxes, touches }
    }

    fn num_false_positives(&self) -> usize {
        let mut touches_none = vec![true; self.predicted.count()];
        self.touches.iter().for_each(|&(_, component)| touches_none[component] = false);
        touches_none.iter().filter(|none| **none).count()
    }

    /// A lesion against all that touches it; none where nothing does.
    fn compare(
        &self,
        lesion: usize,
        pair: &Pair,
        surface: Surface,
    ) -> Option<(Counts, SurfaceDistances)> {
        let mut is_merged = vec![false; self.predicted.count() + 1];
        let mut bounds = self.boxes[0][lesion];
        for &(_, component) in self.touches.iter().filter(|(other, _)| *other == lesion) {
            is_merged[component + 1] = true;
            bounds.unite(&self.boxes[1][component]);
        }
        let merged = bounds.cut(&self.predicted.labels, pair.dims, |n| is_merged[n as usize]);
        let mut is_lesion =
            bounds.cut(&self.dilated.labels, pair.dims, |n| n as usize == lesion + 1);
        let reference = bounds.cut(&pair.reference, pair.dims, |inside| inside);
        is_lesion.iter_mut().zip(reference).for_each(|(lesion, inside)| *lesion &= inside);
        let mut counts = Counts::default();
        merged.iter().zip(&is_lesion).for_each(|(&p, &r)| counts.add(p, r));
        let dims = bounds.dims();
        let distances = SurfaceDistances::between(&merged, &is_lesion, dims, &pair.space, surface)?;
        Some((counts, distances))
    }
}

/// Dilates a mask by the 18 neighbors, [`DILATIONS`] times, without leaving the volume.
fn dilate(mask: &[bool], dims: [usize; 3]) -> Vec<bool> {
    let mut dilated = mask.to_vec();
    // What a voxel within reaches, those of the surface reach too.
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

    /// A map of 40 × 12 × 12 mm with cubes, each from a corner with an edge.
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
    fn a_missed_lesion_and_a_false_positive_count_in_the_mean() {
        let reference = map(&[([2, 2, 2], 4), ([14, 2, 2], 4), ([26, 2, 2], 3)]);
        let predicted = map(&[([2, 2, 2], 4), ([34, 8, 8], 1)]);
        let found = lesion_scores(&predicted, &reference, &[1], Surface::Voxels);
        // One found, one missed, one of 27 mm³ left out, one false positive.
        assert_eq!(found.dice, 1.0 / 3.0);
        assert_eq!(found.hd95_mm, 2.0 * LESION_PENALTY_MM / 3.0);
        assert_eq!((found.num_lesions, found.num_missed), (2, 1));
        assert_eq!((found.num_false_positives, found.num_small), (1, 1));
    }

    #[test]
    fn lesions_that_dilations_join_are_one_and_what_touches_is_merged() {
        // Gaps of 6 voxels close, of 7 do not; 3 voxels away touches, 4 do not.
        let count = |gap: usize| {
            let reference = map(&[([2, 2, 2], 4), ([6 + gap, 2, 2], 4)]);
            lesion_scores(&reference, &reference, &[1], Surface::Voxels).num_lesions
        };
        assert_eq!([count(6), count(7)], [1, 2]);
        let away = |gap: usize| {
            let reference = map(&[([2, 2, 2], 4)]);
            let predicted = map(&[([2, 2, 2], 4), ([6 + gap, 2, 2], 1)]);
            let found = lesion_scores(&predicted, &reference, &[1], Surface::Voxels);
            (found.num_false_positives, found.dice)
        };
        assert_eq!(away(2), (0, 128.0 / 129.0));
        assert_eq!(away(3), (1, 0.5));
    }

    #[test]
    fn nothing_to_find_and_nothing_found_is_right_but_no_prediction_is_not() {
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
