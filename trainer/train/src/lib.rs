//! Training: [`mod@train`] is the loop, [`step`] one optimizer step, on one device or on several in
//! [`parallel`].

pub mod adam;
pub mod checkpoint;
pub mod device;
pub mod drift;
pub mod estimate;
pub mod initial;
pub mod loss;
pub mod loss_scale;
pub mod memory;
pub mod model;
pub mod parallel;
pub mod precision;
pub mod schedule;
pub mod step;
pub mod train;
pub mod validate;
