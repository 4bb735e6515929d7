//! Measurements in a scan: pure functions and values, tested without a screen.

mod diameters;
mod lesions;
mod measurement;

pub use diameters::{Diameters, largest_diameters};
pub use lesions::{LesionDiameters, lesion_diameters};
pub use measurement::{Measurement, Shape, angle_deg, distance_mm};
