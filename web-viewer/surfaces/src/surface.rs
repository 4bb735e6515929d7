//! Surfaces of regions: closed triangle meshes of a label map, their area and volume, and the files
//! that carry them. Pure functions, tested without a screen.

mod cell;
mod changes;
mod glb;
mod mesh;
mod nets;
mod smoothing;
mod stl;
pub(crate) mod test_balls;

pub use changes::changed_regions;
pub use glb::{GlbRegion, write_glb};
pub use mesh::Mesh;
pub use nets::region_mesh;
pub use stl::write_stl;
