//! Surfaces of regions: closed meshes of a label map, the files that carry them, and their pictures.
//!
//! A crate of its own, because the page optimizes it for speed and itself for size.

pub mod scene;
pub mod surface;
