//! Pictures of surfaces in three dimensions: pure functions from meshes to pixels, without a GPU and
//! tested without a screen.

mod camera;
mod light;
mod orientation_cube;
mod raster;
mod render;
mod shells;

pub use camera::{Camera, Frame, Projection};
pub use orientation_cube::{CubeFace, orientation_cube};
pub use render::{Quality, Renderer, Shape};
pub use shells::outer_regions;
