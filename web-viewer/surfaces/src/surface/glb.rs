//! Surfaces as a binary glTF 2.0 file (Khronos, "glTF 2.0 Specification", sections 3 and 4).

use model_core::texts::{self, DISCLAIMER};
use serde_json::{Value, json};

use super::mesh::Mesh;

/// A region of a GLB file.
pub struct GlbRegion<'a> {
    /// The region's name.
    pub name: &'a str,
    /// The region's color, sRGB.
    pub color: [u8; 3],
    /// The opacity: 1 hides what is inside the region.
    pub opacity: f32,
    /// The region's surface in RAS millimeters.
    pub mesh: &'a Mesh,
}

/// The turn from RAS to glTF's axes, as a unit quaternion (x, y, z, w): right to −X, anterior to +Z,
/// superior to +Y. An asset's front faces +Z and its left side +X (section 3.4).
const GLTF_FROM_RAS: [f32; 4] =
    [0.0, std::f32::consts::FRAC_1_SQRT_2, std::f32::consts::FRAC_1_SQRT_2, 0.0];

/// Values of glTF's enumerations.
const FLOAT: u32 = 5126;
const UNSIGNED_INT: u32 = 5125;
const ARRAY_BUFFER: u32 = 34962;
const ELEMENT_ARRAY_BUFFER: u32 = 34963;

/// Returns a GLB file with a mesh, a node and a material for each region. Regions without a surface are
/// left out.
///
/// The vertices are in RAS millimeters. A root node scales them to glTF's meters and turns them to its
/// axes. The asset's copyright and extras state the disclaimer.
///
/// # Errors
/// A message if the file would exceed the 4 GiB that the format's lengths allow.
pub fn write_glb(regions: &[GlbRegion<'_>]) -> Result<Vec<u8>, String> {
    let mut buffer = Buffer::default();
    let shown: Vec<&GlbRegion<'_>> = regions.iter().filter(|r| !r.mesh.is_empty()).collect();
    let meshes: Vec<Value> = shown
        .iter()
        .enumerate()
        .map(|(n, region)| {
            let mesh = region.mesh;
            let position = buffer.push_vectors(&mesh.vertices, mesh.bounds_mm());
            let normal = buffer.push_vectors(&mesh.normals(), None);
            let indices = buffer.push_indices(&mesh.triangles);
            let attributes = json!({ "POSITION": position, "NORMAL": normal });
            let primitive = json!({ "attributes": attributes, "indices": indices, "material": n });
            json!({ "name": name(region), "primitives": [primitive] })
        })
        .collect();
    let nodes =
        shown.iter().enumerate().map(|(n, region)| json!({ "name": name(region), "mesh": n }));
    let mut root = json!({
        "name": "RAS millimeters",
        "rotation": GLTF_FROM_RAS,
        "scale": [0.001, 0.001, 0.001],
    });
    let mut document = json!({
        "asset": {
            "version": "2.0",
            "generator": "Rewind",
            "copyright": DISCLAIMER,
            "extras": { "disclaimer": DISCLAIMER, "axes": "RAS", "unit": "mm" },
        },
        "scene": 0,
        "scenes": [{ "name": "Regions", "nodes": [0] }],
    });
    // The format allows no empty lists.
    if !shown.is_empty() {
        root["children"] = (1..=shown.len()).collect();
        document["meshes"] = meshes.into();
        document["materials"] = shown.iter().map(|region| material(region)).collect();
        document["accessors"] = buffer.accessors.into();
        document["bufferViews"] = buffer.views.into();
        document["buffers"] = json!([{ "byteLength": buffer.bytes.len() }]);
    }
    document["nodes"] = std::iter::once(root).chain(nodes).collect();
    join(document.to_string().into_bytes(), buffer.bytes)
}

/// Returns a region's name without control characters.
fn name(region: &GlbRegion<'_>) -> String {
    texts::shortened(region.name, texts::MAX_NAME_CHARS)
}

fn material(region: &GlbRegion<'_>) -> Value {
    let [r, g, b] = region.color.map(linear_from_srgb);
    let opacity = region.opacity.clamp(0.0, 1.0);
    json!({
        "name": name(region),
        "pbrMetallicRoughness": {
            "baseColorFactor": [r, g, b, opacity],
            "metallicFactor": 0.0,
            "roughnessFactor": 0.6,
        },
        "alphaMode": if opacity < 1.0 { "BLEND" } else { "OPAQUE" },
    })
}

/// Converts a color to the linear scale of glTF's factors (IEC 61966-2-1).
fn linear_from_srgb(value: u8) -> f32 {
    let value = f32::from(value) / 255.0;
    match value <= 0.04045 {
        true => value / 12.92,
        false => ((value + 0.055) / 1.055).powf(2.4),
    }
}

/// The binary part of the file, with its views and accessors.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    views: Vec<Value>,
    accessors: Vec<Value>,
}

impl Buffer {
    /// Appends vectors. Returns the number of their accessor. Positions need their bounds.
    fn push_vectors(&mut self, vectors: &[[f32; 3]], bounds: Option<[[f32; 3]; 2]>) -> usize {
        let bytes = vectors.iter().flatten().flat_map(|x| x.to_le_bytes());
        let mut accessor =
            json!({ "componentType": FLOAT, "type": "VEC3", "count": vectors.len() });
        if let Some([low, high]) = bounds {
            (accessor["min"], accessor["max"]) = (json!(low), json!(high));
        }
        self.push(bytes, ARRAY_BUFFER, accessor)
    }

    /// Appends the vertices of triangles. Returns the number of their accessor.
    fn push_indices(&mut self, triangles: &[[u32; 3]]) -> usize {
        let bytes = triangles.iter().flatten().flat_map(|n| n.to_le_bytes());
        let count = 3 * triangles.len();
        let accessor = json!({ "componentType": UNSIGNED_INT, "type": "SCALAR", "count": count });
        self.push(bytes, ELEMENT_ARRAY_BUFFER, accessor)
    }

    fn push(&mut self, bytes: impl Iterator<Item = u8>, target: u32, mut accessor: Value) -> usize {
        let start = self.bytes.len();
        self.bytes.extend(bytes);
        accessor["bufferView"] = self.views.len().into();
        let length = self.bytes.len() - start;
        self.views.push(json!({
            "buffer": 0, "byteOffset": start, "byteLength": length, "target": target,
        }));
        self.accessors.push(accessor);
        self.accessors.len() - 1
    }
}

/// Joins the parts of a GLB file (section 4.4).
fn join(mut json: Vec<u8>, mut binary: Vec<u8>) -> Result<Vec<u8>, String> {
    json.resize(json.len().next_multiple_of(4), b' ');
    binary.resize(binary.len().next_multiple_of(4), 0);
    let has_binary = !binary.is_empty();
    let length = 12 + 8 + json.len() + if has_binary { 8 + binary.len() } else { 0 };
    let length = u32::try_from(length)
        .map_err(|_| format!("expected surfaces of less than 4 GiB, found {length} bytes"))?;
    let mut bytes = Vec::with_capacity(length as usize);
    bytes.extend(b"glTF");
    [2, length, json.len() as u32].iter().for_each(|n| bytes.extend(n.to_le_bytes()));
    bytes.extend(b"JSON");
    bytes.extend(json);
    if has_binary {
        bytes.extend((binary.len() as u32).to_le_bytes());
        bytes.extend(b"BIN\0");
        bytes.extend(binary);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use glam::{Quat, Vec3};
    use model_core::Affine;

    use super::super::nets::region_mesh;
    use super::super::test_balls::ball;
    use super::*;

    fn document(bytes: &[u8]) -> Value {
        let length = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
        serde_json::from_slice(&bytes[20..20 + length]).unwrap()
    }

    #[test]
    fn a_file_names_each_region_with_its_color_and_opacity() {
        let mesh = region_mesh(&ball(3.0, Affine::from_spacing([1.0; 3])), &[1]);
        let regions = [
            GlbRegion { name: "Whole tumor", color: [255, 0, 128], opacity: 0.4, mesh: &mesh },
            GlbRegion { name: "Nothing", color: [0; 3], opacity: 1.0, mesh: &Mesh::default() },
            GlbRegion { name: "Core", color: [0, 0, 255], opacity: 1.0, mesh: &mesh },
        ];
        let bytes = write_glb(&regions).unwrap();
        assert_eq!(bytes[..8], *b"glTF\x02\0\0\0");
        assert_eq!(bytes[8..12], (bytes.len() as u32).to_le_bytes());
        let document = document(&bytes);
        assert_eq!(document["asset"]["copyright"], DISCLAIMER);
        assert_eq!(document["asset"]["extras"]["disclaimer"], DISCLAIMER);
        let names = |list: &str| -> Vec<String> {
            let list = document[list].as_array().unwrap().iter();
            list.map(|item| item["name"].as_str().unwrap().to_string()).collect()
        };
        assert_eq!((names("meshes"), names("materials")), (names("materials"), names("meshes")));
        assert_eq!(names("nodes"), ["RAS millimeters", "Whole tumor", "Core"]);
        let material = &document["materials"][0];
        assert_eq!(material["alphaMode"], "BLEND");
        let factor = material["pbrMetallicRoughness"]["baseColorFactor"].as_array().unwrap();
        let factor: Vec<f64> = factor.iter().map(|x| x.as_f64().unwrap()).collect();
        assert_eq!((factor[0], factor[1]), (1.0, 0.0));
        // 128 of 255 in sRGB is 0.2159 of the light.
        assert!((factor[2] - 0.2159).abs() < 1e-4 && (factor[3] - 0.4).abs() < 1e-6, "{factor:?}");
        let count = document["accessors"][0]["count"].as_u64().unwrap();
        assert_eq!(count as usize, mesh.vertices.len());
    }

    #[test]
    fn the_patients_top_is_up_and_the_face_looks_to_the_viewer() {
        let turn = |ras: Vec3| (Quat::from_array(GLTF_FROM_RAS) * ras).round();
        assert_eq!([Vec3::X, Vec3::Y, Vec3::Z].map(turn), [-Vec3::X, Vec3::Z, Vec3::Y]);
    }

    #[test]
    fn a_file_without_surfaces_is_valid() {
        let document = document(&write_glb(&[]).unwrap());
        assert!(document.get("meshes").is_none() && document.get("buffers").is_none());
        assert_eq!(document["nodes"].as_array().unwrap().len(), 1);
    }
}
