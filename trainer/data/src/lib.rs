//! Training data, from a folder of scans to batches of patches.
//!
//! The [`cases`] of a [`data_set`] are preprocessed once, [`split`] divides them, [`patches`] are drawn
//! from them and changed by [`augment`].

pub mod augment;
pub mod cases;
pub mod data_set;
pub mod inspect;
pub mod patches;
pub mod phantom;
pub mod split;
