//! The choice of a tool, and the size of its brush.

use leptos::prelude::*;

use super::state::Page;
use super::tools::{MAX_RADIUS_MM, MIN_RADIUS_MM, Tool};

impl Page {
    /// Chooses a tool, or the crosshair if it is chosen already.
    pub fn toggle_tool(self, tool: Tool) {
        let is_chosen = self.tool.get_untracked() == tool;
        self.choose_tool(if is_chosen { Tool::Crosshair } else { tool });
    }

    /// Chooses a tool.
    pub fn choose_tool(self, tool: Tool) {
        self.sketch.set(Vec::new());
        self.tool.set(tool);
    }

    /// Sets the radius of the brush, within its limits.
    pub fn set_radius(self, mm: f64) {
        if mm.is_finite() {
            self.radius_mm.set(mm.clamp(MIN_RADIUS_MM, MAX_RADIUS_MM));
        }
    }
}
