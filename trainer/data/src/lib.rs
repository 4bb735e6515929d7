//! Training data: from a folder of scans to batches of patches.
//!
//! In the order in which the data passes: [`data_set`] lists the files of each case, [`cases`]
//! preprocesses each case once and caches it, [`split`] divides the cases, [`patches`] cuts
//! patches, and [`augment`] changes patches at random. [`inspect`] reports on a data set before
//! training.

pub mod augment;
pub mod cases;
pub mod data_set;
pub mod heads;
pub mod inspect;
pub mod patches;
pub mod phantom;
pub mod split;
