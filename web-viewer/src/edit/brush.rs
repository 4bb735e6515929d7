//! A disc or a ball that paints labels along the pointer's path.

use model_core::{Grid, LabelMap};

use super::{Change, Recoding};

/// The shape of a brush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrushShape {
    /// A disc in the slice perpendicular to this axis of the voxels (0 = i, 1 = j, 2 = k).
    Disc(usize),
    /// A ball through the slices.
    Ball,
}

/// A brush. It is round in millimeters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Brush {
    /// The shape.
    pub shape: BrushShape,
    /// The radius.
    pub radius_mm: f64,
}

/// One movement of the brush, from a voxel to a voxel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dab {
    /// The voxel at the beginning.
    pub from: [usize; 3],
    /// The voxel at the end.
    pub to: [usize; 3],
}

/// Recodes all voxels whose centers lie within the brush's radius of the line of a movement, if they are
/// `allowed` by their index. Returns what changed.
pub fn paint(
    map: &mut LabelMap,
    dab: Dab,
    brush: Brush,
    recoding: &Recoding,
    allowed: impl Fn(usize) -> bool,
) -> Change {
    let grid = map.grid().clone();
    let Dab { from, to } = dab;
    let range = |axis: usize| {
        let (low, high) = (from[axis].min(to[axis]), from[axis].max(to[axis]));
        let reach = match brush.shape {
            BrushShape::Disc(normal) if normal == axis => 0,
            // The distance between planes of voxels is at most the spacing.
            _ => (brush.radius_mm / plane_distance_mm(&grid, axis)).floor() as usize,
        };
        let end = high.saturating_add(reach).saturating_add(1).min(grid.dims[axis]);
        low.saturating_sub(reach)..end
    };
    let ranges = [0, 1, 2].map(range);
    let world = |voxel: [usize; 3]| grid.world_from_voxel.apply(voxel.map(|index| index as f64));
    let (from_mm, to_mm) = (world(from), world(to));
    let along = difference(to_mm, from_mm);
    let squared_length = dot(along, along);
    let squared_radius = brush.radius_mm * brush.radius_mm * (1.0 + 1e-9);
    let is_inside = |voxel: [usize; 3]| {
        let from_start = difference(world(voxel), from_mm);
        let t = match squared_length > 0.0 {
            true => (dot(from_start, along) / squared_length).clamp(0.0, 1.0),
            false => 0.0,
        };
        let to_line = [0, 1, 2].map(|axis| from_start[axis] - t * along[axis]);
        dot(to_line, to_line) <= squared_radius
    };
    let (dims, labels) = (grid.dims, map.labels_mut());
    let mut change = Change::default();
    for k in ranges[2].clone() {
        for j in ranges[1].clone() {
            let row = dims[0] * (j + dims[1] * k);
            let inside = ranges[0].clone().filter(|&i| is_inside([i, j, k])).map(|i| row + i);
            change.extend(Change::make(labels, inside.filter(|&n| allowed(n)), |_, code| {
                recoding.code(code)
            }));
        }
    }
    change
}

/// Returns the distance between neighboring planes of voxels perpendicular to an axis.
fn plane_distance_mm(grid: &Grid, axis: usize) -> f64 {
    let origin = grid.world_from_voxel.apply([0.0; 3]);
    let step = |axis: usize| {
        let mut voxel = [0.0; 3];
        voxel[axis] = 1.0;
        difference(grid.world_from_voxel.apply(voxel), origin)
    };
    let [a, b] = [step((axis + 1) % 3), step((axis + 2) % 3)];
    let normal = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
    let length = dot(normal, normal).sqrt();
    (dot(step(axis), normal) / length).abs().max(1e-6)
}

fn difference(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [0, 1, 2].map(|axis| a[axis] - b[axis])
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    (0..3).map(|axis| a[axis] * b[axis]).sum()
}

#[cfg(test)]
mod tests {
    use model_core::Affine;

    use super::*;

    const MASK: [&[u8]; 1] = [&[1]];

    fn at(voxel: [usize; 3]) -> Dab {
        Dab { from: voxel, to: voxel }
    }

    fn ball(radius_mm: f64) -> Brush {
        Brush { shape: BrushShape::Ball, radius_mm }
    }

    fn empty(dims: [usize; 3], spacing_mm: [f64; 3]) -> LabelMap {
        LabelMap::background(Grid::new(dims, Affine::from_spacing(spacing_mm)))
    }

    fn count(map: &LabelMap) -> usize {
        map.labels().iter().filter(|&&label| label != 0).count()
    }

    #[test]
    fn a_ball_is_round_in_millimeters_and_stays_in_the_grid() {
        let mut map = empty([9, 9, 3], [1.0, 1.0, 3.0]);
        let add = Recoding::adding(&MASK, 0);
        assert!(!paint(&mut map, at([4, 4, 1]), ball(3.0), &add, |_| true).is_empty());
        let label = |voxel: [usize; 3]| map.labels()[map.grid().index(voxel)];
        // One slice up is 3 mm away, as three voxels to the side are.
        assert_eq!([[4, 4, 0], [7, 4, 1], [5, 4, 0], [8, 4, 1]].map(label), [1, 1, 0, 0]);
        let again = paint(&mut map, at([4, 4, 1]), ball(3.0), &add, |_| true);
        assert!(again.is_empty(), "nothing changes");
        paint(&mut map, at([0, 8, 2]), ball(1e9), &add, |_| true);
        assert_eq!(count(&map), map.labels().len());
        let erase = Recoding::erasing(&MASK, 0);
        paint(&mut map, at([4, 4, 1]), ball(0.0), &erase, |_| true);
        assert_eq!(count(&map), map.labels().len() - 1);
    }

    #[test]
    fn a_disc_stays_in_its_slice() {
        let mut map = empty([9, 9, 9], [1.0; 3]);
        let disc = Brush { shape: BrushShape::Disc(1), radius_mm: 2.0 };
        paint(&mut map, at([4, 4, 4]), disc, &Recoding::adding(&MASK, 0), |_| true);
        // A disc of 2 voxels' radius has 13 voxels.
        assert_eq!(count(&map), 13);
        let outside = (0..729).filter(|n| n / 9 % 9 != 4).filter(|&n| map.labels()[n] != 0).count();
        assert_eq!(outside, 0);
    }

    #[test]
    fn a_fast_movement_leaves_no_gap() {
        let mut map = empty([40, 10, 3], [1.0; 3]);
        let dab = Dab { from: [3, 3, 1], to: [36, 6, 1] };
        paint(&mut map, dab, ball(1.0), &Recoding::adding(&MASK, 0), |_| true);
        for i in 3..=36 {
            assert!((0..10).any(|j| map.labels()[map.grid().index([i, j, 1])] == 1), "column {i}");
        }
    }

    #[test]
    fn only_allowed_voxels_change() {
        let mut map = empty([9, 9, 1], [1.0; 3]);
        let change =
            paint(&mut map, at([4, 4, 0]), ball(9.0), &Recoding::adding(&MASK, 0), |n| n % 2 == 0);
        assert_eq!(count(&map), 41);
        change.reversed().apply(map.labels_mut());
        assert_eq!(count(&map), 0);
    }
}
