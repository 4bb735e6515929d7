//! Slices of a volume as pictures: pure functions from voxels to pixels, tested without a screen.

mod central_voxel;
mod overlay;
mod ras_frame;
mod window;

pub use central_voxel::central_labeled_voxel;
pub use overlay::{LabelColors, draw_overlay};
pub use ras_frame::{Convention, FittedSlice, Plane, RasFrame, SliceView};
pub use window::{Window, draw_gray};
