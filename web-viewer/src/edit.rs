//! Correction of a label map by hand: pure functions on labels, tested without a screen.

mod brush;
mod change;
mod edits;
mod fill_slices;
mod history;
mod islands;
mod recoding;
mod region_mask;
mod smoothing;

pub use brush::{Brush, BrushShape, Dab, paint};
pub use change::Change;
pub use edits::Edits;
pub use fill_slices::fill_between_slices;
pub use history::{History, Step};
pub use islands::{keep_island, keep_largest, remove_small};
pub use recoding::Recoding;
pub use region_mask::RegionMask;
pub use smoothing::{fill_holes, smooth};
