//! The tools of the pointer.

use crate::slice::Plane;

/// What the main button of the mouse, or a finger, does on a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// Moves the crosshair.
    Crosshair,
    /// Adds to the chosen region, or takes away from it.
    Correct {
        /// Whether it adds.
        adds: bool,
    },
    /// Adds to the brain's mask, or takes away from it.
    Brain {
        /// Whether it adds.
        adds: bool,
    },
    /// Measures a distance.
    Ruler,
    /// Measures an angle.
    Angle,
}

/// A voxel under the pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pointed {
    /// The plane of the slice.
    pub plane: Plane,
    /// The RAS voxel.
    pub voxel: [usize; 3],
}

/// The radius of the brush at first.
pub const DEFAULT_RADIUS_MM: f64 = 6.0;
/// The smallest radius of the brush.
pub const MIN_RADIUS_MM: f64 = 0.5;
/// The largest radius of the brush.
pub const MAX_RADIUS_MM: f64 = 40.0;

impl Tool {
    /// Returns whether the tool paints.
    pub fn paints(self) -> bool {
        matches!(self, Tool::Correct { .. } | Tool::Brain { .. })
    }

    /// Returns the number of points of a measurement with this tool; 0 if it does not measure.
    pub fn num_points(self) -> usize {
        match self {
            Tool::Ruler => 2,
            Tool::Angle => 3,
            _ => 0,
        }
    }
}
