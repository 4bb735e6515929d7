//! Slices of a volume as pictures: pure functions from voxels to pixels, tested without a screen.

mod central_voxel;
mod checkerboard;
mod colormap;
mod mosaic;
mod overlay;
mod presets;
mod ras_frame;
mod scale_bar;
mod soft_outline;
mod window;
mod zoom;

pub use central_voxel::central_labeled_voxel;
pub use checkerboard::draw_checkerboard;
pub use colormap::Colormap;
pub use mosaic::Mosaic;
pub use overlay::{LabelColors, draw_overlay, mask_edges};
pub use presets::{RelativeWindow, window_presets};
pub use ras_frame::{Convention, FittedSlice, Plane, RasFrame, SliceView};
pub use scale_bar::bar_length_mm;
pub use soft_outline::draw_soft_outlines;
pub use window::{Window, draw_gray};
pub use zoom::Zoom;
