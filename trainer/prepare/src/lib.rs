//! Prepares examinations for a model: reads their files, decides which series is which channel,
//! places all channels on one grid, extracts the brain, and writes the result. The steps themselves
//! are those of [`model_core::prepare`], which the page uses too.

pub mod examination;
pub mod listing;
mod sources;
mod write;

pub use examination::{Examination, Prepared, Settings};
pub use write::{RECORD, is_prepared, write};
