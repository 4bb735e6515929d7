//! Surface nets: the closed surface of a region, with one vertex in each cell that the surface passes.
//!
//! Gibson, "Constrained elastic surface nets", MICCAI 1998. A cell with several sheets of surface has a
//! vertex for each, so the mesh is a manifold ([`super::cell`]).

use glam::Vec3;
use model_core::{LabelMap, VoxelBox};

use super::cell::{Sheets, crossing, face_bit, is_ambiguous};
use super::mesh::Mesh;
use super::smoothing::{Net, smooth};

/// Returns the closed surface of the voxels whose label is one of `codes`, in RAS millimeters. The
/// triangles face outward. Without such voxels the mesh is empty.
///
/// The surface lies between the middles of the voxels on both sides of it: each vertex stays in its
/// cell, the cube between eight middles. The border of the volume closes the surface half a voxel
/// beyond the outermost middles.
///
/// Takes 1 byte for each voxel of the region's bounding box, and about 150 bytes for each voxel of the
/// surface.
pub fn region_mesh(labels: &LabelMap, codes: &[u8]) -> Mesh {
    let mut is_in_region = [false; 256];
    codes.iter().for_each(|&code| is_in_region[usize::from(code)] = true);
    let dims = labels.grid().dims;
    let inside = |label: &u8| is_in_region[usize::from(*label)];
    let bounds = bounding_box(labels.labels(), dims, &is_in_region);
    if bounds.is_empty() {
        return Mesh::default();
    }
    let cells = Cells::new(&Padded::new(labels.labels(), dims, &bounds, inside));
    let net = smooth(cells.net());
    let world_from_voxel = labels.grid().world_from_voxel;
    let start = bounds.start.map(|first| first as f64);
    // A cell begins at the middle of the voxel before it; the first one is a voxel before the box.
    let to_world = |vertex: &Vec3| {
        let vertex = vertex.as_dvec3().to_array();
        let voxel = std::array::from_fn(|axis| start[axis] + vertex[axis] - 1.0);
        world_from_voxel.apply(voxel).map(|mm| mm as f32)
    };
    let is_mirrored = world_from_voxel.0.matrix3.determinant() < 0.0;
    Mesh::from_quads(net.vertices.iter().map(to_world).collect(), net.quads, is_mirrored)
}

/// Returns the smallest box that contains a region.
fn bounding_box(labels: &[u8], dims: [usize; 3], is_in_region: &[bool; 256]) -> VoxelBox {
    let mut bounds = VoxelBox::EMPTY;
    for (n, row) in labels.chunks_exact(dims[0].max(1)).enumerate() {
        // Most rows are background alone, which this finds for many voxels at once.
        if !is_in_region[0] && row.iter().fold(0, |all, label| all | label) == 0 {
            continue;
        }
        let row_box =
            VoxelBox::bounding(row, [dims[0], 1, 1], |label| is_in_region[usize::from(*label)]);
        if !row_box.is_empty() {
            let (j, k) = (n % dims[1], n / dims[1]);
            bounds.include([row_box.start[0], j, k]);
            bounds.include([row_box.end[0] - 1, j, k]);
        }
    }
    bounds
}

/// The inside of a box of voxels, with a border of one voxel outside.
struct Padded {
    dims: [usize; 3],
    inside: Vec<u8>,
}

impl Padded {
    fn new(
        labels: &[u8],
        label_dims: [usize; 3],
        bounds: &VoxelBox,
        is_inside: impl Fn(&u8) -> bool,
    ) -> Padded {
        let dims = bounds.dims().map(|length| length + 2);
        let mut inside = vec![0; dims.iter().product()];
        let rows = bounds.rows(label_dims).enumerate();
        for (n, row) in rows {
            let (j, k) = (n % (dims[1] - 2), n / (dims[1] - 2));
            let first = 1 + dims[0] * (j + 1 + dims[1] * (k + 1));
            let padded = &mut inside[first..first + row.len()];
            for (inside, label) in padded.iter_mut().zip(&labels[row]) {
                *inside = u8::from(is_inside(label));
            }
        }
        Padded { dims, inside }
    }

    /// Returns the row of voxels at (j, k).
    fn row(&self, j: usize, k: usize) -> &[u8] {
        let first = self.dims[0] * (j + self.dims[1] * k);
        &self.inside[first..first + self.dims[0]]
    }
}

/// A cell that the surface passes.
struct Cell {
    i: u32,
    corners: u8,
    /// The ambiguous faces that separate their inside corners.
    separating: u8,
    first_vertex: u32,
}

/// The cells that the surface passes, by rows along i.
struct Cells {
    /// The number of cells along j.
    num_j: usize,
    cells: Vec<Cell>,
    /// The first cell of each row, and the end of the last.
    row_starts: Vec<usize>,
    /// The sheets of a cell by its corners, without separating faces.
    table: Vec<Sheets>,
}

impl Cells {
    fn new(padded: &Padded) -> Cells {
        let [num_i, num_j, num_k] = padded.dims.map(|length| length - 1);
        let mut cells = Vec::new();
        let mut row_starts = vec![0];
        for (k, j) in (0..num_k).flat_map(|k| (0..num_j).map(move |j| (k, j))) {
            let rows = [(j, k), (j + 1, k), (j, k + 1), (j + 1, k + 1)];
            let rows = rows.map(|(j, k)| padded.row(j, k));
            let plane =
                |i: usize| rows[0][i] << 4 | rows[1][i] << 5 | rows[2][i] << 6 | rows[3][i] << 7;
            let mut corners = plane(0);
            for i in 0..num_i {
                corners = corners >> 4 | plane(i + 1);
                if corners != 0 && corners != 255 {
                    cells.push(Cell { i: i as u32, corners, separating: 0, first_vertex: 0 });
                }
            }
            row_starts.push(cells.len());
        }
        let table = (0..=255).map(|corners| Sheets::new(corners, 0)).collect();
        let mut cells = Cells { num_j, cells, row_starts, table };
        cells.separate_faces();
        let mut num_vertices = 0;
        for n in 0..cells.cells.len() {
            cells.cells[n].first_vertex = num_vertices;
            num_vertices += u32::from(cells.sheets(n).count);
        }
        cells
    }

    fn sheets(&self, n: usize) -> Sheets {
        let Cell { corners, separating, .. } = self.cells[n];
        match separating {
            0 => self.table[usize::from(corners)],
            _ => Sheets::new(corners, separating),
        }
    }

    /// Returns the cell at i of the row, which the surface passes.
    fn find(&self, i: u32, row: usize) -> usize {
        let cells = &self.cells[self.row_starts[row]..self.row_starts[row + 1]];
        let at = cells.binary_search_by_key(&i, |cell| cell.i);
        self.row_starts[row] + at.expect("the surface passes every cell around a crossed edge")
    }

    /// Returns the row's number and the cell's at a distance of 0 or 1 along each axis.
    fn neighbor(&self, i: u32, row: usize, [di, dj, dk]: [usize; 3]) -> usize {
        self.find(i + di as u32, row + dj + self.num_j * dk)
    }

    /// Iterates over the cells with their rows.
    fn with_rows(&self) -> impl Iterator<Item = (usize, usize)> {
        let rows = self.row_starts.windows(2).enumerate();
        rows.flat_map(|(row, ends)| (ends[0]..ends[1]).map(move |n| (n, row)))
    }

    /// Separates the inside corners of an ambiguous face where both of its links would connect the
    /// same two vertices: four triangles would share that edge. It splits a sheet on both sides, and
    /// never joins others, so each face needs one look.
    fn separate_faces(&mut self) {
        let places: Vec<(usize, usize)> = self.with_rows().collect();
        for (n, row) in places {
            let corners = self.cells[n].corners;
            for axis in (0..3).filter(|&axis| is_ambiguous(corners, axis, 1)) {
                let mut step = [0; 3];
                step[axis] = 1;
                let other = self.neighbor(self.cells[n].i, row, step);
                let across = self.cells[other].corners;
                if self.sheets(n).meets_itself(corners, axis, 1, false)
                    && self.sheets(other).meets_itself(across, axis, 0, false)
                {
                    self.cells[n].separating |= face_bit(axis, 1);
                    self.cells[other].separating |= face_bit(axis, 0);
                }
            }
        }
    }

    /// Makes the vertices, and a quad around each edge between a voxel inside and one outside.
    fn net(&self) -> Net {
        let mut net = Net::default();
        for (n, row) in self.with_rows() {
            let Cell { i, corners, .. } = self.cells[n];
            let first = [i as usize, row % self.num_j, row / self.num_j].map(|at| at as f32);
            let first = Vec3::from(first);
            for middle in self.sheets(n).middles() {
                net.vertices.push(first + middle);
                net.cells.push(first);
            }
            for axis in 0..3 {
                let Some(is_first_inside) = crossing(corners, axis, [1, 1]) else { continue };
                // The four cells around the edge, counterclockwise seen from the axis's end.
                let around = [[0, 0], [1, 0], [1, 1], [0, 1]].map(|[b, c]| {
                    let mut step = [0; 3];
                    step[(axis + 1) % 3] = b;
                    step[(axis + 2) % 3] = c;
                    let cell = self.neighbor(i, row, step);
                    let sheet = self.sheets(cell).at(axis, [1 - b, 1 - c]);
                    self.cells[cell].first_vertex + u32::from(sheet)
                });
                net.quads.push(match (is_first_inside, around) {
                    (true, around) => around,
                    (false, [a, b, c, d]) => [d, c, b, a],
                });
            }
        }
        net
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use model_core::{Affine, Grid};

    use super::super::test_balls::ball;
    use super::*;

    /// Returns how many times each directed edge occurs, and panics unless every edge has its reverse
    /// exactly once: the mesh is closed, a manifold and consistently oriented.
    fn assert_is_closed(mesh: &Mesh) {
        let mut edges: HashMap<[u32; 2], usize> = HashMap::new();
        for [a, b, c] in &mesh.triangles {
            for edge in [[*a, *b], [*b, *c], [*c, *a]] {
                *edges.entry(edge).or_default() += 1;
            }
        }
        for ([a, b], count) in &edges {
            assert_eq!((*count, edges.get(&[*b, *a])), (1, Some(&1)), "edge {a} {b}");
        }
    }

    fn labels(dims: [usize; 3], inside: impl Fn([usize; 3]) -> bool) -> LabelMap {
        let mut map = LabelMap::background(Grid::new(dims, Affine::from_spacing([1.0; 3])));
        for n in 0..map.labels().len() {
            let voxel = [n % dims[0], n / dims[0] % dims[1], n / dims[0] / dims[1]];
            map.labels_mut()[n] = u8::from(inside(voxel));
        }
        map
    }

    #[test]
    fn one_voxel_is_a_closed_octahedron_like_body() {
        let mesh = region_mesh(&labels([1; 3], |_| true), &[1]);
        assert_eq!((mesh.vertices.len(), mesh.triangles.len()), (8, 12));
        assert_is_closed(&mesh);
        assert!(mesh.volume_ml() > 0.0 && mesh.volume_ml() <= 1e-3, "{}", mesh.volume_ml());
        assert!(mesh.vertices.iter().flatten().all(|mm| mm.abs() <= 1.0));
    }

    #[test]
    fn a_mesh_of_noise_is_closed_and_faces_outward() {
        // Noise has every ambiguous face and cell there is.
        let mut state = 1u32;
        let mut random = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 16
        };
        for percent in [5, 30, 50, 70, 95] {
            let noise: Vec<bool> = (0..1728).map(|_| random() % 100 < percent).collect();
            let map = labels([12; 3], |[i, j, k]| noise[i + 12 * (j + 12 * k)]);
            let mesh = region_mesh(&map, &[1]);
            assert_is_closed(&mesh);
            let (found, expected) = (mesh.volume_ml(), map.volume_ml(&[1]));
            assert!(found > 0.0 && found < 2.0 * expected, "{found} ml, {expected} ml");
        }
    }

    #[test]
    fn a_region_at_the_borders_of_the_volume_is_closed() {
        let mesh = region_mesh(&labels([7, 5, 6], |_| true), &[1]);
        assert_is_closed(&mesh);
        let (found, expected) = (mesh.volume_ml(), 7.0 * 5.0 * 6.0 / 1000.0);
        assert!((found / expected - 1.0).abs() < 0.12, "{found} ml");
    }

    #[test]
    fn a_ball_has_its_voxels_volume_and_no_stairs() {
        let map = ball(10.0, Affine::from_spacing([1.0; 3]));
        let mesh = region_mesh(&map, &[1]);
        assert_is_closed(&mesh);
        let (found, expected) = (mesh.volume_ml(), map.volume_ml(&[1]));
        assert!((found / expected - 1.0).abs() < 0.02, "{found} ml, {expected} ml");
        // The area of the ball; the voxels' own faces have 1.5 times as much.
        let (found, expected) = (mesh.area_mm2(), 400.0 * std::f64::consts::PI);
        assert!((found / expected - 1.0).abs() < 0.03, "{found} mm², {expected} mm²");
    }

    /// Volume in mm³ and area in mm² of balls by scikit-image 0.26 and trimesh 5, which smooths
    /// marching cubes with the same filter but without cells:
    ///
    /// ```text
    /// grid = numpy.indices((2 * r + 5,) * 3) - (r + 2)
    /// inside = numpy.pad((grid**2).sum(0) < r * r, 1).astype(float)
    /// vertices, faces, _, _ = skimage.measure.marching_cubes(inside, 0.5)
    /// mesh = trimesh.Trimesh(vertices, faces)
    /// trimesh.smoothing.filter_taubin(mesh, lamb=0.5, nu=0.526, iterations=24)
    /// mesh.apply_scale(spacing); print(abs(mesh.volume), mesh.area)
    /// ```
    const GOLDEN: [(f64, [f64; 3], f64, f64); 3] = [
        (10.0, [1.0, 1.0, 1.0], 4134.3, 1259.5),
        (8.0, [0.5, 2.0, 3.0], 6297.2, 2625.2),
        (20.0, [1.0, 1.0, 1.0], 33361.0, 5055.1),
    ];

    #[test]
    fn volume_and_area_agree_with_another_implementation() {
        for (radius, spacing_mm, volume_mm3, area_mm2) in GOLDEN {
            let mesh = region_mesh(&ball(radius, Affine::from_spacing(spacing_mm)), &[1]);
            let (volume, area) =
                (mesh.volume_ml() * 1000.0 / volume_mm3, mesh.area_mm2() / area_mm2);
            assert!((volume - 1.0).abs() < 0.01, "radius {radius}: {volume} times the volume");
            assert!((area - 1.0).abs() < 0.01, "radius {radius}: {area} times the area");
        }
    }

    #[test]
    fn a_mesh_is_in_world_millimeters_whatever_the_axes() {
        let expected = region_mesh(&ball(8.0, Affine::from_spacing([1.0; 3])), &[1]).volume_ml();
        // Axes in the order anterior, superior, left, with 0.5, 2 and 3 mm.
        let rows = [[0., 0., -3., 40.], [0.5, 0., 0., -7.], [0., 2., 0., 5.]];
        let map = ball(8.0, Affine::from_rows(rows));
        let mesh = region_mesh(&map, &[1]);
        assert_is_closed(&mesh);
        assert!((mesh.volume_ml() / (3.0 * expected) - 1.0).abs() < 1e-3, "{}", mesh.volume_ml());
        let [low, high] = mesh.bounds_mm().unwrap();
        let center = map.grid().world_from_voxel.apply([10.0; 3]);
        for axis in 0..3 {
            assert!((f64::from(low[axis] + high[axis]) / 2.0 - center[axis]).abs() < 0.2);
        }
    }

    #[test]
    fn only_the_codes_of_a_region_are_meshed() {
        let map = labels([9; 3], |[i, _, _]| i > 4);
        assert_eq!(region_mesh(&map, &[2]), Mesh::default());
        assert_eq!(region_mesh(&map, &[]), Mesh::default());
        assert_eq!(region_mesh(&map, &[2, 1]), region_mesh(&map, &[1]));
    }

    #[test]
    fn every_vertex_stays_in_its_cell() {
        let map = labels([9; 3], |[i, j, k]| (3..6).contains(&i) && (3..6).contains(&j) && k == 4);
        let mesh = region_mesh(&map, &[1]);
        // A plate of one voxel does not vanish.
        assert!(mesh.volume_ml() > 0.3 * map.volume_ml(&[1]), "{}", mesh.volume_ml());
        assert_is_closed(&mesh);
    }
}
