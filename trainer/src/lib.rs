//! The command `rewind`: trains, evaluates and exports reversible 3D U-Nets.
//!
//! The path of training, one step a module: the [`cases`] of a [`data_set`] are preprocessed,
//! [`patches`] are drawn from them and changed by [`augment`], the [`loss`] compares, [`adam`] steps by the
//! [`schedule`], all three in one [`step`], [`validate`] measures, and [`checkpoint`] keeps, all driven by [`mod@train`]
//! on one device, or on several in [`parallel`].

pub mod adam;
pub mod augment;
pub mod bench;
mod budget;
pub mod cases;
pub mod checkpoint;
pub mod cli;
pub mod config;
pub mod counting;
pub mod cross_validation;
pub mod data_set;
pub mod device;
pub mod draws;
pub mod drift;
pub mod evaluate;
pub mod events;
pub mod export;
pub mod files;
pub mod initial;
pub mod inspect;
#[cfg(feature = "libtorch")]
pub mod libtorch;
mod links;
pub mod lock;
pub mod loss;
pub mod loss_scale;
pub mod memory;
pub mod metrics_log;
pub mod model;
pub mod onnx;
pub mod outputs;
pub mod parallel;
pub mod patches;
pub mod phantom;
pub mod pipes;
pub mod plan;
pub mod predict;
pub mod progress;
pub mod report;
pub mod run_folder;
pub mod schedule;
pub mod split;
pub mod step;
pub mod stop;
mod suggest;
pub mod train;
pub mod validate;

/// Stands on every screen, report and export.
pub const DISCLAIMER: &str = "Research use only, not a medical device";
