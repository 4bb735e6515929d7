//! The surfaces of the result's regions, and how they are seen.

use std::sync::Arc;

use leptos::prelude::*;

use crate::share::SharedResult;
use surfaces::scene::{Camera, Frame};
use surfaces::surface::{Mesh, changed_regions, region_mesh};

/// The signals of the 3-D view. The struct is copied into every component.
#[derive(Clone, Copy)]
pub struct Shapes {
    /// Whether the user chose the 3-D view. Without a scan it is shown in any case.
    pub is_shown: RwSignal<bool>,
    /// Whether the 3-D view is shown alone.
    pub is_enlarged: RwSignal<bool>,
    /// The direction from which the regions are seen.
    pub camera: RwSignal<Camera>,
    /// The surfaces of the result, once they were needed.
    pub surfaces: RwSignal<Option<Arc<Surfaces>>>,
}

/// The surfaces of a result's regions.
pub struct Surfaces {
    /// The result that they belong to.
    pub result: Arc<SharedResult>,
    /// The surface of each region.
    pub regions: Vec<Arc<Surface>>,
    /// The part of the world that is shown. It stays while regions are painted.
    pub frame: Option<Frame>,
}

/// The surface of a region.
pub struct Surface {
    /// The surface, in RAS millimeters.
    pub mesh: Mesh,
    /// The unit normal of each vertex.
    pub normals: Vec<[f32; 3]>,
    /// The lowest and the highest coordinates; `None` for a region without voxels.
    pub bounds_mm: Option<[[f32; 3]; 2]>,
}

impl Surfaces {
    /// Makes the surfaces of a result. Takes over those of an earlier result whose voxels are the same.
    pub fn new(result: Arc<SharedResult>, before: Option<&Surfaces>) -> Surfaces {
        let codes = |result: &SharedResult| -> Vec<Vec<u8>> {
            result.regions.iter().map(|region| region.codes.clone()).collect()
        };
        let own = codes(&result);
        let before = before.filter(|before| {
            codes(&before.result) == own && before.result.labels.grid() == result.labels.grid()
        });
        let changed = before.map(|before| {
            let [earlier, later] = [&before.result, &result].map(|result| result.labels.labels());
            changed_regions(earlier, later, &own.iter().map(|codes| &codes[..]).collect::<Vec<_>>())
        });
        let surface = |(n, codes): (usize, &Vec<u8>)| match (before, &changed) {
            (Some(before), Some(changed)) if !changed[n] => before.regions[n].clone(),
            _ => Arc::new(Surface::new(region_mesh(&result.labels, codes))),
        };
        let regions: Vec<Arc<Surface>> = own.iter().enumerate().map(surface).collect();
        let frame = before.and_then(|before| before.frame).or_else(|| frame(&regions));
        Surfaces { result, regions, frame }
    }
}

impl Surface {
    fn new(mesh: Mesh) -> Surface {
        Surface { normals: mesh.normals(), bounds_mm: mesh.bounds_mm(), mesh }
    }
}

fn frame(regions: &[Arc<Surface>]) -> Option<Frame> {
    Frame::around(regions.iter().map(|surface| &surface.mesh))
}

impl Shapes {
    /// Makes the state without surfaces.
    pub fn new() -> Shapes {
        Shapes {
            is_shown: RwSignal::new(false),
            is_enlarged: RwSignal::new(false),
            camera: RwSignal::default(),
            surfaces: RwSignal::new(None),
        }
    }

    /// Shows all regions as a whole, from the front.
    pub fn reset(self) {
        self.camera.set(Camera::default());
        self.is_enlarged.set(false);
        let surfaces = self.surfaces.get_untracked();
        if let Some(Surfaces { result, regions, .. }) = surfaces.as_deref() {
            let surfaces = Surfaces {
                result: result.clone(),
                regions: regions.clone(),
                frame: frame(regions),
            };
            self.surfaces.set(Some(surfaces.into()));
        }
    }
}
