//! Saves the surfaces of the result's regions as files.

use leptos::prelude::Set;

use super::browser;
use super::state::Page;
use surfaces::scene::outer_regions;
use surfaces::surface::{GlbRegion, write_glb, write_stl};

/// The opacity in the file of a region around another one.
const SHELL_OPACITY: f32 = 0.35;

/// Saves the surface of a region, by its index, as a binary STL file in LPS millimeters.
pub fn save_stl(page: Page, region: usize) {
    let Some(surfaces) = page.update_surfaces() else { return };
    let Some((surface, shared)) =
        surfaces.regions.get(region).zip(surfaces.result.regions.get(region))
    else {
        return;
    };
    if surface.mesh.is_empty() {
        return page.notice.set(format!("{} has no voxels, so it has no surface.", shared.name));
    }
    let name = format!("surface_{}_research_use_only.stl", file_part(&shared.name));
    save(page, &name, "model/stl", &write_stl(&surface.mesh));
}

/// Saves the surfaces of all regions as one GLB file, with their names and colors.
pub fn save_glb(page: Page) {
    let Some(surfaces) = page.update_surfaces() else { return };
    let boxes: Vec<_> = surfaces.regions.iter().map(|surface| surface.bounds_mm).collect();
    let regions = surfaces.result.regions.iter().zip(&surfaces.regions).zip(outer_regions(&boxes));
    let regions: Vec<GlbRegion<'_>> = regions
        .map(|((shared, surface), is_shell)| GlbRegion {
            name: &shared.name,
            color: shared.color,
            opacity: if is_shell { SHELL_OPACITY } else { 1.0 },
            mesh: &surface.mesh,
        })
        .collect();
    let name = "surfaces_research_use_only.glb";
    match write_glb(&regions) {
        Ok(bytes) => save(page, name, "model/gltf-binary", &bytes),
        Err(error) => page.show_error(format!("cannot save {name}: {error}")),
    }
}

/// Returns a region's name as a part of a file's name.
fn file_part(name: &str) -> String {
    let letters = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    letters.take(60).collect::<String>().to_lowercase()
}

fn save(page: Page, name: &str, content_type: &str, bytes: &[u8]) {
    if let Err(error) = browser::save(name, content_type, bytes) {
        page.show_error(format!("cannot save {name}: {}", browser::error_text(&error)));
    }
}
