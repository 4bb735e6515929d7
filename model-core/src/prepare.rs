//! Second step of viewing: makes a case from the scans of one examination as a hospital sends them. The
//! scans may lie on different grids, show the head in different positions, and have the skull on.
//!
//! [`propose`] assigns series to channels, [`place`] brings all channels onto the reference's grid, and
//! [`find_brain`] finds the brain if the model expects scans without skull. Each step can be taken
//! back, and [`PreparationRecord`] states what was done. The page and `rewind prepare` use these
//! functions alike.

mod acquisition;
mod assignment;
mod brain_mask;
mod contrast;
mod place;
mod record;

pub use assignment::{Proposal, Role, propose};
pub use brain_mask::{BRAIN, Brain, BrainChoice, BrainNeed, apply_brain, brain_need, find_brain};
pub use contrast::{ContrastDistances, most_likely};
pub use place::{Placed, PlacementChoice, PlacementSettings, place};
pub use record::{BrainStep, ChannelRecord, ChannelStep, PreparationRecord};
