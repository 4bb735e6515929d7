//! Keeps the surfaces of the 3-D view up to date with the result.

use std::sync::Arc;
use std::time::Duration;

use leptos::prelude::*;

use super::shapes::Surfaces;
use super::state::Page;

/// The shortest time between two updates of the surfaces, while regions change.
const SHORTEST_WAIT_MS: f64 = 250.0;
/// An update waits for this number of times the duration of the last one, so that a computer that meshes
/// slowly still has most of its time for painting.
const WAIT_PER_DURATION: f64 = 4.0;

impl Page {
    /// Returns whether the 3-D view is on the page: chosen, or without a scan that could be shown.
    pub fn shows_shapes(self) -> bool {
        self.result.with(Option::is_some)
            && (self.shapes.is_shown.get() || self.shown_channel().is_none())
    }

    /// Returns whether the 3-D view is shown in the place of all slices.
    pub fn shows_shapes_alone(self) -> bool {
        self.shapes.is_enlarged.get() && self.shows_shapes()
    }

    /// Updates the surfaces soon after the result changes, while they are shown, and not more often
    /// than a few times a second.
    pub fn keep_surfaces(self) {
        let surfaces = self.shapes.surfaces;
        let is_waiting = StoredValue::new(false);
        let last_duration_ms = StoredValue::new(0.0f64);
        Effect::new(move |_| {
            if self.result.with(Option::is_none) {
                surfaces.set(None);
            }
            if !self.shows_shapes() || is_waiting.get_value() {
                return;
            }
            let wait_ms = match surfaces.with_untracked(Option::is_some) {
                true => SHORTEST_WAIT_MS.max(WAIT_PER_DURATION * last_duration_ms.get_value()),
                false => 0.0,
            };
            is_waiting.set_value(true);
            let update = move || {
                is_waiting.set_value(false);
                let start_ms = js_sys::Date::now();
                self.update_surfaces();
                last_duration_ms.set_value(js_sys::Date::now() - start_ms);
            };
            set_timeout(update, Duration::from_millis(wait_ms as u64));
        });
    }

    /// Makes the surfaces of the current result, unless they are there. `None` without a result.
    pub fn update_surfaces(self) -> Option<Arc<Surfaces>> {
        let result = self.result.get_untracked()?;
        let before = self.shapes.surfaces.get_untracked();
        if let Some(before) = before.as_ref().filter(|before| Arc::ptr_eq(&before.result, &result))
        {
            return Some(before.clone());
        }
        let surfaces = Arc::new(Surfaces::new(result, before.as_deref()));
        self.shapes.surfaces.set(Some(surfaces.clone()));
        Some(surfaces)
    }
}
