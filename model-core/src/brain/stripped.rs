//! Decides whether a scan is skull-stripped already.

use crate::Volume;

/// The least share of a stripped scan that has the background's value. A brain fills half of its own
/// bounding box. Stripped scans that were measured: 0.63 to 0.86.
const MIN_BACKGROUND: f64 = 0.4;

/// The largest axial section of a brain. Measured: 147 to 202 cm² of 35 brains; 236 to 304 cm² of heads.
const MAX_SECTION_MM2: f64 = 22_000.0;

/// The least intensity below the surface, as a share of that at the surface. Behind the scalp comes the
/// dark skull: heads 0.6 or less, brains 0.85 or more.
const MIN_BELOW_SURFACE: f64 = 0.7;

/// Depths below the first voxel that is not background: the scalp or the brain's surface, and the
/// skull or the brain.
const SURFACE_MM: [f64; 2] = [2.0, 6.0];
const BELOW_MM: [f64; 2] = [6.0, 15.0];

/// Returns whether the scan shows a brain without skull: a large part is exactly constant, the rest is
/// not larger than a brain, and there is no dark skull below its surface.
pub fn is_stripped(volume: &Volume) -> bool {
    let grid = volume.grid();
    let values = volume.values();
    let Some(&first) = values.first() else { return false };
    let [low, _] = volume.range();
    let count = |background: f32| values.iter().filter(|v| **v == background).count();
    let candidates = [0.0, first, low];
    let best = candidates.into_iter().map(|b| (count(b), b)).max_by_key(|(count, _)| *count);
    let Some((num_background, background)) = best else { return false };
    if (num_background as f64) < MIN_BACKGROUND * values.len() as f64
        || num_background == values.len()
    {
        return false;
    }
    let orientation = grid.orientation();
    let spacing = grid.world_from_voxel.spacing_mm();
    let dims = orientation.canonical_dims(grid.dims);
    let [right_mm, front_mm, _] = orientation.axes.map(|axis| spacing[axis]);
    let canonical = orientation.to_canonical(grid.dims, values);
    let sections: Vec<usize> = canonical
        .chunks(dims[0] * dims[1])
        .map(|plane| plane.iter().filter(|v| **v != background).count())
        .collect();
    let largest = sections.iter().max().copied().unwrap_or(0);
    if largest as f64 * right_mm * front_mm > MAX_SECTION_MM2 {
        return false;
    }
    // The planes from the largest section upwards, where the surface is steep and nothing but skull
    // and scalp is around the brain.
    let from = sections.iter().position(|section| *section == largest).unwrap_or(0);
    let planes = canonical.chunks(dims[0] * dims[1]).zip(&sections).skip(from);
    let large = planes.filter(|(_, section)| **section * 2 > largest).map(|(plane, _)| plane);
    let [surface, below] = profile(large, dims[0], right_mm, background);
    below >= MIN_BELOW_SURFACE * surface
}

/// Returns the mean intensity over the background in [`SURFACE_MM`] and in [`BELOW_MM`], along the rows
/// of the middle third of each plane, from both sides.
fn profile<'a>(
    planes: impl Iterator<Item = &'a [f32]>,
    length: usize,
    spacing_mm: f64,
    background: f32,
) -> [f64; 2] {
    let (mut sums, mut counts) = ([0.0; 2], [0u32; 2]);
    for plane in planes {
        let is_head = |row: &&[f32]| row.iter().any(|v| *v != background);
        let rows: Vec<&[f32]> = plane.chunks(length).filter(is_head).collect();
        for row in &rows[rows.len() / 3..rows.len() - rows.len() / 3] {
            let mut add = |values: &mut dyn Iterator<Item = &f32>| {
                let inside = values.skip_while(|v| **v == background).enumerate();
                for (n, value) in inside {
                    let depth = n as f64 * spacing_mm;
                    let bin = |[from, to]: [f64; 2]| (from..to).contains(&depth);
                    let Some(at) = [SURFACE_MM, BELOW_MM].into_iter().position(bin) else {
                        if depth >= BELOW_MM[1] {
                            break;
                        }
                        continue;
                    };
                    sums[at] += f64::from(*value - background);
                    counts[at] += 1;
                }
            };
            add(&mut row.iter());
            add(&mut row.iter().rev());
        }
    }
    std::array::from_fn(|at| sums[at] / f64::from(counts[at].max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phantom::phantom;
    use crate::phantom::whole_head::{BrainContrast, RealBrain, whole_head};

    #[test]
    fn heads_with_skull_are_not_stripped_and_brains_are() {
        let case = phantom(3, 96);
        for channel in case.channels() {
            assert!(is_stripped(channel));
        }
        let brain = RealBrain::new(case.channels()).unwrap();
        for seed in 0..12 {
            let contrast = BrainContrast::Channel(seed as usize % 4);
            let head = whole_head(&brain, contrast, seed);
            assert_eq!(is_stripped(&head.volume), head.is_stripped, "seed {seed}");
        }
    }

    #[test]
    fn an_empty_scan_is_not_stripped() {
        let grid = crate::Grid::new([8; 3], crate::Affine::IDENTITY);
        assert!(!is_stripped(&Volume::new(grid, vec![0.0; 512]).unwrap()));
    }
}
