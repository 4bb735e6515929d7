//! The maps from which registration starts.

use glam::{DAffine3, DMat3, DQuat, DVec3};

use super::mutual_information::{MutualInformation, Similarity};
use super::pyramid::Level;
use super::samples::head;

/// The turns of the head that are tried about each axis, in degrees.
const TURNS_DEG: [f64; 4] = [-30.0, -15.0, 15.0, 30.0];

/// The shifts of the head that are tried along each axis, in millimeters.
const SHIFTS_MM: [f64; 4] = [-20.0, -10.0, 10.0, 20.0];

/// The number of starts that are kept.
const NUM_STARTS: usize = 5;

/// Returns the center of the head and its surroundings, in world millimeters.
pub(super) fn head_center(level: &Level) -> DVec3 {
    let [ni, nj, _] = level.dims;
    let voxel = |index: usize| {
        DVec3::new((index % ni) as f64, (index / ni % nj) as f64, (index / ni / nj) as f64)
    };
    let head = head(level);
    let inside = head.iter().enumerate().filter(|(_, is_head)| **is_head);
    let (sum, count) =
        inside.fold((DVec3::ZERO, 0usize), |(sum, n), (index, _)| (sum + voxel(index), n + 1));
    level.world_from_voxel.transform_point3(sum / count.max(1) as f64)
}

/// Orders maps. Information about a part of the head counts by the size of the part, so that no map
/// wins by moving the head out of the field of view.
pub(super) fn score(at: &Similarity) -> f64 {
    at.information * at.overlap
}

/// Returns the maps, between the worlds, that are worth a climb: the initial one first, then the
/// best of those that put the centers of the heads onto each other, turn or shift the head.
pub(super) fn starts(
    information: &MutualInformation,
    initial: DAffine3,
    moving_center: DVec3,
) -> Vec<DAffine3> {
    let center = information.samples.center;
    let from_offset = initial * DAffine3::from_translation(center);
    let centered = DAffine3 { translation: moving_center, ..from_offset };
    let mut candidates = vec![centered];
    for base in [from_offset, centered] {
        for axis in [DVec3::X, DVec3::Y, DVec3::Z] {
            candidates.extend(TURNS_DEG.map(|turn_deg| {
                let turn = DMat3::from_quat(DQuat::from_axis_angle(axis, turn_deg.to_radians()));
                DAffine3 { matrix3: turn * base.matrix3, ..base }
            }));
            candidates.extend(SHIFTS_MM.map(|shift_mm| DAffine3 {
                translation: base.translation + axis * shift_mm,
                ..base
            }));
        }
    }
    let mut scored: Vec<(f64, DAffine3)> =
        candidates.into_iter().map(|map| (score(&information.evaluate(&map)), map)).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    let best = scored.into_iter().take(NUM_STARTS - 1).map(|(_, map)| map);
    let maps = std::iter::once(from_offset).chain(best);
    maps.map(|map| map * DAffine3::from_translation(-center)).collect()
}
