//! A surface as a binary STL file.
//!
//! STL states neither a unit nor axes. The file follows 3D Slicer: millimeters, and LPS axes that the
//! header states as `SPACE=LPS` (`vtkMRMLModelStorageNode`).

use glam::Vec3;
use model_core::texts::DISCLAIMER;

use super::mesh::Mesh;

/// The bytes before the number of triangles.
const HEADER_BYTES: usize = 80;

/// Returns the binary STL file of a mesh. Its header states the axes and the disclaimer.
pub fn write_stl(mesh: &Mesh) -> Vec<u8> {
    let mut bytes = format!("Rewind. SPACE=LPS. {DISCLAIMER}.").into_bytes();
    bytes.resize(HEADER_BYTES, b' ');
    bytes.reserve(4 + 50 * mesh.triangles.len());
    bytes.extend((mesh.triangles.len() as u32).to_le_bytes());
    for triangle in &mesh.triangles {
        let corners = triangle.map(|n| {
            let [x, y, z] = mesh.vertices[n as usize];
            Vec3::new(-x, -y, z)
        });
        let [a, b, c] = corners;
        let normal = (b - a).cross(c - a).normalize_or_zero();
        for vector in [normal, a, b, c] {
            vector.to_array().iter().for_each(|x| bytes.extend(x.to_le_bytes()));
        }
        bytes.extend([0, 0]);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_disclaimer_the_axes_and_every_triangle() {
        let mesh = Mesh {
            vertices: vec![[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]],
            triangles: vec![[0, 1, 2]; 3],
        };
        let bytes = write_stl(&mesh);
        assert_eq!(bytes.len(), 80 + 4 + 3 * 50);
        let header = String::from_utf8(bytes[..80].to_vec()).unwrap();
        assert!(header.contains("SPACE=LPS") && header.contains(DISCLAIMER), "{header}");
        assert!(!header.starts_with("solid"), "readers take such a file for text");
        assert_eq!(bytes[80..84], 3u32.to_le_bytes());
        let numbers = bytes[84..84 + 48].chunks_exact(4);
        let numbers: Vec<f32> =
            numbers.map(|x| f32::from_le_bytes([x[0], x[1], x[2], x[3]])).collect();
        // Right and anterior change their signs, which keeps the triangle's orientation.
        assert_eq!(numbers[3..], [-1.0, 0.0, 0.0, 0.0, -2.0, 0.0, 0.0, 0.0, 3.0]);
        let expected = Vec3::new(-6.0, -3.0, 2.0) / 7.0;
        assert!((Vec3::from_slice(&numbers) - expected).length() < 1e-6, "{:?}", &numbers[..3]);
    }
}
