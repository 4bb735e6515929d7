//! The surfaces of the result's regions, and how they are seen.

use std::sync::Arc;
use std::time::Duration;

use leptos::prelude::*;

use super::state::Page;
use crate::share::SharedResult;
use surfaces::scene::{Camera, Frame};
use surfaces::surface::{Mesh, changed_regions, region_mesh};

/// The shortest time between two updates of the surfaces, while regions change.
const SHORTEST_WAIT_MS: f64 = 250.0;
/// An update waits for this number of times the duration of the last one, so that a computer that meshes
/// slowly still has most of its time for painting.
const WAIT_PER_DURATION: f64 = 4.0;

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

    /// Updates the surfaces soon after the result changes, while they are shown, and not more often
    /// than a few times a second.
    pub fn follow_result(self, page: Page) {
        let is_waiting = StoredValue::new(false);
        let last_duration_ms = StoredValue::new(0.0f64);
        Effect::new(move |_| {
            let result = page.result.get();
            if result.is_none() {
                self.surfaces.set(None);
            }
            if !page.shows_shapes() || is_waiting.get_value() {
                return;
            }
            let wait_ms = match self.surfaces.with_untracked(Option::is_some) {
                true => SHORTEST_WAIT_MS.max(WAIT_PER_DURATION * last_duration_ms.get_value()),
                false => 0.0,
            };
            is_waiting.set_value(true);
            let update = move || {
                is_waiting.set_value(false);
                let start_ms = js_sys::Date::now();
                self.update(page);
                last_duration_ms.set_value(js_sys::Date::now() - start_ms);
            };
            set_timeout(update, Duration::from_millis(wait_ms as u64));
        });
    }

    /// Makes the surfaces of the current result, unless they are there.
    pub fn update(self, page: Page) -> Option<Arc<Surfaces>> {
        let result = page.result.get_untracked()?;
        let before = self.surfaces.get_untracked();
        if let Some(before) = before.as_ref().filter(|before| Arc::ptr_eq(&before.result, &result))
        {
            return Some(before.clone());
        }
        let surfaces = Arc::new(Surfaces::new(result, before.as_deref()));
        self.surfaces.set(Some(surfaces.clone()));
        Some(surfaces)
    }
}

impl Page {
    /// Returns whether the 3-D view is on the page: chosen, or without a scan that could be shown.
    pub fn shows_shapes(self) -> bool {
        self.result.with(Option::is_some)
            && (self.shapes.is_shown.get() || self.shown_channel().is_none())
    }
}
