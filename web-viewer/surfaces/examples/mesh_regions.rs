//! Meshes regions of a label map and writes their surfaces: `mesh_regions LABELS.nii.gz FOLDER CODES…`,
//! each region as its codes with commas between them, such as `1,2,4`.
//!
//! Prints each region's volume and area, and the time. Research use only, not a medical device.

use std::time::Instant;

use model_core::formats::nifti;
use surfaces::surface::{GlbRegion, region_mesh, write_glb, write_stl};

const COLORS: [[u8; 3]; 3] = [[242, 196, 109], [226, 85, 75], [88, 150, 255]];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [labels, folder, regions @ ..] = &arguments[..] else {
        return Err("expected LABELS.nii.gz FOLDER CODES…".into());
    };
    let map = nifti::read_labels(&std::fs::read(labels)?)?;
    let mut meshes = Vec::new();
    for codes in regions {
        let parsed: Result<Vec<u8>, _> = codes.split(',').map(str::parse).collect();
        let parsed = parsed?;
        let start = Instant::now();
        let mesh = region_mesh(&map, &parsed);
        let elapsed_ms = start.elapsed().as_secs_f64() * 1000.0;
        println!(
            "{codes}: {} triangles in {elapsed_ms:.1} ms, {:.4} ml ({:.4} ml of voxels), {:.2} mm²",
            mesh.triangles.len(),
            mesh.volume_ml(),
            map.volume_ml(&parsed),
            mesh.area_mm2(),
        );
        std::fs::write(format!("{folder}/{codes}.stl"), write_stl(&mesh))?;
        meshes.push(mesh);
    }
    let regions = meshes.iter().zip(regions).enumerate().map(|(n, (mesh, name))| GlbRegion {
        name,
        color: COLORS[n % COLORS.len()],
        opacity: if n + 1 < meshes.len() { 0.4 } else { 1.0 },
        mesh,
    });
    std::fs::write(format!("{folder}/regions.glb"), write_glb(&regions.collect::<Vec<_>>())?)?;
    Ok(())
}
