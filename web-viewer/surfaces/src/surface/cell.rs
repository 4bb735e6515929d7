//! The sheets of surface in a cell: the cube between eight neighboring voxels.
//!
//! The surface crosses each edge of the cube between a voxel inside the region and one outside. On
//! every face of the cube the crossed edges are linked in pairs, and the links close to loops. Each
//! loop bounds one sheet and gets a vertex of its own, so that no vertex and no edge is shared by two
//! sheets: Nielson, "Dual marching cubes", IEEE Visualization 2004; the rule for ambiguous faces after
//! Wenger, "Isosurfaces", 2013, section 5.4.

use glam::Vec3;

/// The sheet of an edge that the surface does not cross.
const NO_SHEET: u8 = u8::MAX;

/// The sheets of a cell, by the edges that they cross.
///
/// Corner (x, y, z) of a cell, each 0 or 1, is bit `y + 2 z + 4 x` of its corners. An edge along axis a
/// at the offsets (b, c) of the next two axes has the number `4 a + b + 2 c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sheets {
    of_edge: [u8; 12],
    /// The number of sheets, at most 4.
    pub count: u8,
}

/// Returns the bit of a corner.
fn corner_bit(corner: [usize; 3]) -> u8 {
    1 << (corner[1] + 2 * corner[2] + 4 * corner[0])
}

/// Returns whether a corner is inside the region.
fn is_inside(corners: u8, corner: [usize; 3]) -> bool {
    corners & corner_bit(corner) != 0
}

/// Returns the corner of a cell at the offset `at` along `axis`, and at (b, c) along the next two axes.
fn corner(axis: usize, at: usize, [b, c]: [usize; 2]) -> [usize; 3] {
    let mut corner = [0; 3];
    corner[axis] = at;
    corner[(axis + 1) % 3] = b;
    corner[(axis + 2) % 3] = c;
    corner
}

/// Returns whether the first end of an edge along `axis` is inside; `None` if the surface does not
/// cross the edge.
pub fn crossing(corners: u8, axis: usize, offsets: [usize; 2]) -> Option<bool> {
    let [first, second] = [0, 1].map(|at| is_inside(corners, corner(axis, at, offsets)));
    (first != second).then_some(first)
}

/// Returns the two edges of a face that meet in its corner (b, c).
fn edges_at_corner(axis: usize, side: usize, [b, c]: [usize; 2]) -> [usize; 2] {
    let (next, after) = ((axis + 1) % 3, (axis + 2) % 3);
    [4 * next + c + 2 * side, 4 * after + side + 2 * b]
}

/// Returns the pairs of linked edges of a face.
///
/// A face is ambiguous if its inside corners are opposite: the surface crosses all four edges, and
/// either joins the inside corners or separates them.
fn links(corners: u8, axis: usize, side: usize, separates: bool) -> Vec<[usize; 2]> {
    let inside = |b, c| is_inside(corners, corner(axis, side, [b, c]));
    let all = [[0, 0], [1, 0], [0, 1], [1, 1]];
    if is_ambiguous(corners, axis, side) {
        let around = all.into_iter().filter(|&[b, c]| inside(b, c) == separates);
        return around.map(|at| edges_at_corner(axis, side, at)).collect();
    }
    let (next, after) = ((axis + 1) % 3, (axis + 2) % 3);
    let crossed_next = [0, 1].into_iter().filter(|&c| inside(0, c) != inside(1, c));
    let crossed_after = [0, 1].into_iter().filter(|&b| inside(b, 0) != inside(b, 1));
    let crossed: Vec<usize> = crossed_next
        .map(|c| 4 * next + c + 2 * side)
        .chain(crossed_after.map(|b| 4 * after + side + 2 * b))
        .collect();
    match crossed[..] {
        [a, b] => vec![[a, b]],
        _ => Vec::new(),
    }
}

/// Returns whether the inside corners of a face are opposite.
pub fn is_ambiguous(corners: u8, axis: usize, side: usize) -> bool {
    let inside = |b, c| is_inside(corners, corner(axis, side, [b, c]));
    inside(0, 0) == inside(1, 1) && inside(1, 0) == inside(0, 1) && inside(0, 0) != inside(1, 0)
}

/// Returns the bit of a face in the set of faces that separate their inside corners.
pub fn face_bit(axis: usize, side: usize) -> u8 {
    1 << (2 * axis + side)
}

impl Sheets {
    /// Finds the sheets of a cell with these corners. `separating` is the set of ambiguous faces that
    /// separate their inside corners; the others join them, as regions count as connected by an edge.
    pub fn new(corners: u8, separating: u8) -> Sheets {
        // Each crossed edge points to an edge of the same sheet with a lower number, or to itself.
        let mut lowest: [usize; 12] = std::array::from_fn(|edge| edge);
        let root = |lowest: &[usize; 12], mut edge: usize| {
            while lowest[edge] != edge {
                edge = lowest[edge];
            }
            edge
        };
        let mut is_crossed = [false; 12];
        for (axis, side) in (0..3).flat_map(|axis| [(axis, 0), (axis, 1)]) {
            for [a, b] in links(corners, axis, side, separating & face_bit(axis, side) != 0) {
                (is_crossed[a], is_crossed[b]) = (true, true);
                let (a, b) = (root(&lowest, a), root(&lowest, b));
                lowest[a.max(b)] = a.min(b);
            }
        }
        let mut sheets = Sheets { of_edge: [NO_SHEET; 12], count: 0 };
        for edge in (0..12).filter(|&edge| is_crossed[edge]) {
            let first = root(&lowest, edge);
            if first == edge {
                sheets.of_edge[edge] = sheets.count;
                sheets.count += 1;
            }
            sheets.of_edge[edge] = sheets.of_edge[first];
        }
        sheets
    }

    /// Returns the sheet that crosses an edge along `axis` at these offsets of the next two axes.
    pub fn at(&self, axis: usize, [b, c]: [usize; 2]) -> u8 {
        self.of_edge[4 * axis + b + 2 * c]
    }

    /// Returns the mean of the middles of the edges that each sheet crosses, in the unit cube.
    pub fn middles(&self) -> impl Iterator<Item = Vec3> + use<> {
        let of_edge = self.of_edge;
        (0..self.count).map(move |sheet| {
            let (mut sum, mut count) = ([0.0f32; 3], 0.0f32);
            for edge in (0..12).filter(|&edge| of_edge[edge] == sheet) {
                let [axis, b, c] = [edge / 4, edge % 2, edge / 2 % 2];
                sum[axis] += 0.5;
                sum[(axis + 1) % 3] += b as f32;
                sum[(axis + 2) % 3] += c as f32;
                count += 1.0;
            }
            Vec3::from(sum) / count
        })
    }

    /// Returns whether both links of an ambiguous face belong to one sheet.
    pub fn meets_itself(&self, corners: u8, axis: usize, side: usize, separates: bool) -> bool {
        let links = links(corners, axis, side, separates);
        let mut sheets = links.iter().map(|link| self.of_edge[link[0]]);
        links.len() == 2 && sheets.next() == sheets.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corner_alone_has_one_sheet_of_three_edges() {
        let sheets = Sheets::new(corner_bit([0, 0, 0]), 0);
        assert_eq!(sheets.count, 1);
        assert_eq!([0, 1, 2].map(|axis| sheets.at(axis, [0, 0])), [0; 3]);
        let middle = sheets.middles().next().unwrap();
        assert!(middle.abs_diff_eq(Vec3::splat(1.0 / 6.0), 1e-6), "{middle:?}");
        assert_eq!((Sheets::new(0, 0).count, Sheets::new(255, 0).count), (0, 0));
    }

    #[test]
    fn an_ambiguous_face_joins_or_separates() {
        // Two opposite corners of the face x = 0.
        let corners = corner_bit([0, 0, 0]) | corner_bit([0, 1, 1]);
        assert!(is_ambiguous(corners, 0, 0) && !is_ambiguous(corners, 0, 1));
        let joined = Sheets::new(corners, 0);
        let separated = Sheets::new(corners, face_bit(0, 0));
        assert_eq!((joined.count, separated.count), (1, 2));
        assert!(joined.meets_itself(corners, 0, 0, false));
        assert!(!separated.meets_itself(corners, 0, 0, true));
    }

    #[test]
    fn a_face_that_changes_its_links_splits_a_sheet_that_meets_itself() {
        for corners in 0..=255 {
            for (axis, side) in (0..3).flat_map(|axis| [(axis, 0), (axis, 1)]) {
                let sheets = Sheets::new(corners, 0);
                if is_ambiguous(corners, axis, side)
                    && sheets.meets_itself(corners, axis, side, false)
                {
                    let split = Sheets::new(corners, face_bit(axis, side));
                    assert_eq!(split.count, sheets.count + 1, "{corners:08b}");
                    assert!(!split.meets_itself(corners, axis, side, true), "{corners:08b}");
                }
            }
        }
    }
}
