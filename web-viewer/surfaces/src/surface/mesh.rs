//! A triangle mesh, its area and its volume.

use glam::{DVec3, Vec3};

/// A closed surface of triangles in RAS millimeters. Seen from outside, the vertices of a triangle are
/// counterclockwise.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mesh {
    /// The positions of the vertices, in mm.
    pub vertices: Vec<[f32; 3]>,
    /// The vertices of each triangle.
    pub triangles: Vec<[u32; 3]>,
}

impl Mesh {
    /// Divides quads into triangles, each along its shorter diagonal. `is_mirrored` turns them over.
    pub fn from_quads(vertices: Vec<[f32; 3]>, quads: Vec<[u32; 4]>, is_mirrored: bool) -> Mesh {
        let at = |n: u32| Vec3::from(vertices[n as usize]);
        let mut triangles = Vec::with_capacity(2 * quads.len());
        for [a, b, c, d] in quads {
            let [b, d] = if is_mirrored { [d, b] } else { [b, d] };
            let is_first_shorter = at(a).distance_squared(at(c)) <= at(b).distance_squared(at(d));
            triangles.extend(match is_first_shorter {
                true => [[a, b, c], [a, c, d]],
                false => [[a, b, d], [b, c, d]],
            });
        }
        Mesh { vertices, triangles }
    }

    /// Returns whether the mesh has no surface.
    pub fn is_empty(&self) -> bool {
        self.triangles.is_empty()
    }

    /// Returns the corners of a triangle.
    fn corners(&self, triangle: [u32; 3]) -> [DVec3; 3] {
        triangle.map(|n| Vec3::from(self.vertices[n as usize]).as_dvec3())
    }

    /// Returns the area of the surface in mm².
    pub fn area_mm2(&self) -> f64 {
        let area = |triangle: &[u32; 3]| {
            let [a, b, c] = self.corners(*triangle);
            (b - a).cross(c - a).length() / 2.0
        };
        self.triangles.iter().map(area).sum()
    }

    /// Returns the volume inside the surface in ml: the sum of the signed volumes of the tetrahedra
    /// between the triangles and a point (Gauss's theorem).
    pub fn volume_ml(&self) -> f64 {
        // A point near the mesh keeps the tetrahedra small, and their sum exact.
        let Some(first) = self.vertices.first() else { return 0.0 };
        let origin = Vec3::from(*first).as_dvec3();
        let volume = |triangle: &[u32; 3]| {
            let [a, b, c] = self.corners(*triangle).map(|corner| corner - origin);
            a.dot(b.cross(c)) / 6.0
        };
        self.triangles.iter().map(volume).sum::<f64>() / 1000.0
    }

    /// Returns the lowest and the highest coordinates in mm; `None` for an empty mesh.
    pub fn bounds_mm(&self) -> Option<[[f32; 3]; 2]> {
        let first = *self.vertices.first()?;
        let widen = |[low, high]: [[f32; 3]; 2], vertex: &[f32; 3]| {
            let pick = |f: fn(f32, f32) -> f32, a: [f32; 3]| {
                std::array::from_fn(|axis| f(a[axis], vertex[axis]))
            };
            [pick(f32::min, low), pick(f32::max, high)]
        };
        Some(self.vertices.iter().fold([first; 2], widen))
    }

    /// Returns the unit normal of each vertex, outward: the mean of the normals of the triangles around
    /// it, weighted by their areas.
    pub fn normals(&self) -> Vec<[f32; 3]> {
        let mut normals = vec![Vec3::ZERO; self.vertices.len()];
        for triangle in &self.triangles {
            let [a, b, c] = triangle.map(|n| Vec3::from(self.vertices[n as usize]));
            let normal = (b - a).cross(c - a);
            triangle.iter().for_each(|&n| normals[n as usize] += normal);
        }
        normals.into_iter().map(|normal| normal.normalize_or(Vec3::Z).into()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cube with the side 2 mm, far from the origin.
    fn cube() -> Mesh {
        let vertices = (0..8).map(|n| [n & 1, n >> 1 & 1, n >> 2].map(|x| 100.0 + 2.0 * x as f32));
        let quads = vec![
            [0, 4, 6, 2],
            [1, 3, 7, 5],
            [0, 1, 5, 4],
            [2, 6, 7, 3],
            [0, 2, 3, 1],
            [4, 5, 7, 6],
        ];
        Mesh::from_quads(vertices.collect(), quads, false)
    }

    #[test]
    fn a_cube_has_its_area_volume_and_bounds() {
        let cube = cube();
        assert_eq!(cube.area_mm2(), 24.0);
        assert!((cube.volume_ml() - 0.008).abs() < 1e-12, "{}", cube.volume_ml());
        assert_eq!(cube.bounds_mm(), Some([[100.0; 3], [102.0; 3]]));
        let empty = Mesh::default();
        assert_eq!((empty.area_mm2(), empty.volume_ml(), empty.bounds_mm()), (0.0, 0.0, None));
    }

    #[test]
    fn normals_point_outward() {
        let cube = cube();
        for (vertex, normal) in cube.vertices.iter().zip(cube.normals()) {
            let from_middle = Vec3::from(*vertex) - Vec3::splat(101.0);
            assert!(from_middle.dot(normal.into()) > 0.5, "{vertex:?} {normal:?}");
        }
        let mut turned = cube.clone();
        turned.triangles.iter_mut().for_each(|triangle| triangle.reverse());
        assert!((turned.volume_ml() + 0.008).abs() < 1e-12, "{}", turned.volume_ml());
    }
}
