//! Slices of a volume as pictures: pure functions from voxels to pixels, so that what a screen
//! shows is tested without one.

mod frame;
mod middle;
mod overlay;
mod window;

pub use frame::{Convention, Frame, Placed, Plane, SliceView};
pub use middle::middle_of;
pub use overlay::{Colors, draw_overlay};
pub use window::{Window, draw_gray};
