//! Divides the surface between voxels into elements with an area.
//!
//! An element lies at a point where eight voxels meet if some but not all of them are in the mask. Its
//! area is the area of the polygons through the midpoints of the edges between a voxel inside and a
//! voxel outside (marching cubes, Lorensen and Cline 1987). Ambiguous cases are resolved as in
//! DeepMind's surface-distance. Voxels that only touch by an edge are separate; this holds for the
//! mask or for its complement, whichever has fewer of the eight voxels. A polygon that is not flat is
//! divided into the triangles that have the largest area on a cube.

use super::distance::Voxel;
use super::region_masks::VoxelSpace;

/// A point in the cube between eight voxel centers, in units of half an edge.
type Point = [u8; 3];

/// Returns the positions of the elements, ordered by k, then j, then i, and their areas in mm².
/// Position n along an axis lies between the voxels n − 1 and n.
///
/// Along an axis with a single voxel the mask is continued, so that a slice's areas are the lengths of
/// its contour times the spacing of that axis.
pub(super) fn surface_elements(
    mask: &[bool],
    dims: [usize; 3],
    space: &VoxelSpace,
) -> (Vec<Voxel>, Vec<f32>) {
    let table = areas_mm2(space.spacing_mm);
    let neighbors = |axis: usize, position: usize| -> [Option<usize>; 2] {
        match space.is_flat[axis] {
            true => [Some(0), Some(0)],
            false => [position.checked_sub(1), Some(position).filter(|&n| n < dims[axis])],
        }
    };
    let num_positions = |axis: usize| if space.is_flat[axis] { 1 } else { dims[axis] + 1 };
    let (mut positions, mut areas) = (Vec::new(), Vec::new());
    for k in 0..num_positions(2) {
        for j in 0..num_positions(1) {
            // The four adjacent rows, in the order of a code's bits; empty beyond the mask.
            let rows: [&[bool]; 4] = std::array::from_fn(|n| {
                let row = neighbors(1, j)[n & 1].zip(neighbors(2, k)[n >> 1]);
                row.map_or(&[][..], |(j, k)| &mask[dims[0] * (j + dims[1] * k)..][..dims[0]])
            });
            if rows.iter().all(|row| !row.contains(&true)) {
                continue;
            }
            let bits = |i: Option<usize>| -> usize {
                let bit = |n: usize| i.and_then(|i| rows[n].get(i)).is_some_and(|&inside| inside);
                (0..4).map(|n| usize::from(bit(n)) << n).sum()
            };
            for i in 0..num_positions(0) {
                let [before, behind] = neighbors(0, i);
                let code = bits(before) | (bits(behind) << 4);
                if code != 0 && code != 255 {
                    positions.push([i, j, k].map(|x| x as u32));
                    areas.push(table[code] as f32);
                }
            }
        }
    }
    (positions, areas)
}

/// Returns the corner of the cube that a code's bit stands for.
fn corner(bit: usize) -> Point {
    [(bit >> 2) & 1, bit & 1, (bit >> 1) & 1].map(|x| x as u8)
}

/// Returns the area of the surface between eight voxels, for each of the 256 subsets of the voxels
/// that can be in a mask.
fn areas_mm2(spacing_mm: [f64; 3]) -> [f64; 256] {
    std::array::from_fn(|code| {
        let code = if code.count_ones() > 4 { 255 - code } else { code };
        let triangles =
            polygons(code).into_iter().flat_map(|polygon| largest_triangulation(&polygon).1);
        triangles.map(|triangle| area(&triangle, spacing_mm)).sum()
    })
}

/// Returns the closed polygons between the voxels in the mask and the other voxels.
fn polygons(code: usize) -> Vec<Vec<Point>> {
    let is_inside = |at: Point| (0..8).any(|bit| (code >> bit) & 1 == 1 && corner(bit) == at);
    let midpoint = |a: Point, b: Point| -> Point { std::array::from_fn(|axis| a[axis] + b[axis]) };
    // The next midpoint after each midpoint of an edge.
    let mut steps: Vec<(Point, Point)> = Vec::new();
    for axis in 0..3 {
        for side in 0..2 {
            // The face's corners, counterclockwise as seen from outside.
            let mut ring = [(0, 0), (1, 0), (1, 1), (0, 1)].map(|(u, v)| {
                let mut at = [side; 3];
                (at[(axis + 1) % 3], at[(axis + 2) % 3]) = (u, v);
                at
            });
            if side == 0 {
                ring.reverse();
            }
            let at = |n: usize| ring[n % 4];
            for n in 0..4 {
                if !is_inside(at(n)) && is_inside(at(n + 1)) {
                    // Into the mask, and out of it again.
                    let last = (n + 1..n + 4).find(|&m| !is_inside(at(m + 1)));
                    let last = last.expect("the ring came from outside");
                    steps.push((midpoint(at(n), at(n + 1)), midpoint(at(last), at(last + 1))));
                }
            }
        }
    }
    let mut polygons = Vec::new();
    while let Some((first, mut next)) = steps.pop() {
        let mut polygon = vec![first];
        while next != first {
            polygon.push(next);
            let step = steps.iter().position(|(from, _)| *from == next);
            next = steps.swap_remove(step.expect("an edge belongs to two faces")).1;
        }
        polygons.push(polygon);
    }
    polygons
}

/// Returns the largest area of a polygon's triangulations on a cube, and its triangles.
fn largest_triangulation(polygon: &[Point]) -> (f64, Vec<[Point; 3]>) {
    let mut best = (0.0, Vec::new());
    for apex in 1..polygon.len().saturating_sub(1) {
        let triangle = [polygon[0], polygon[apex], polygon[polygon.len() - 1]];
        let (left, right) =
            (largest_triangulation(&polygon[..=apex]), largest_triangulation(&polygon[apex..]));
        let whole = left.0 + right.0 + area(&triangle, [1.0; 3]);
        if whole > best.0 {
            best = (whole, [left.1, right.1, vec![triangle]].concat());
        }
    }
    best
}

/// Returns the area of a triangle in a cube of this spacing.
fn area(triangle: &[Point; 3], spacing: [f64; 3]) -> f64 {
    let [a, b, c] = triangle.map(|point| {
        let x = |axis: usize| f64::from(point[axis]) / 2.0 * spacing[axis];
        glam::DVec3::new(x(0), x(1), x(2))
    });
    (b - a).cross(c - a).length() / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_of_simple_surfaces_match_geometry() {
        let table = areas_mm2([1.0, 2.0, 3.0]);
        let area_of = |inside: &[Point]| {
            let bits = (0..8).filter(|&bit| inside.contains(&corner(bit)));
            table[bits.map(|bit| 1usize << bit).sum::<usize>()]
        };
        // A plane across i, j and k.
        let plane = |axis: usize| -> Vec<Point> {
            (0..8).map(corner).filter(|corner| corner[axis] == 0).collect()
        };
        assert_eq!([0, 1, 2].map(|axis| area_of(&plane(axis))), [6.0, 3.0, 2.0]);
        // A corner: half of |a × b + b × c + c × a|, with half edges.
        let corner_area = (9.0f64 + 2.25 + 1.0).sqrt() / 2.0 / 2.0;
        assert!((area_of(&[[1, 0, 1]]) - corner_area).abs() < 1e-12, "{}", area_of(&[[1, 0, 1]]));
        assert_eq!(area_of(&[[0, 0, 0], [1, 1, 1]]), 2.0 * area_of(&[[0, 0, 0]]));
        assert_eq!((table[0], table[255]), (0.0, 0.0));
        (0..256).for_each(|code| assert_eq!(table[code], table[255 - code], "{code}"));
    }
}
