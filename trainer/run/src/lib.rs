//! A training run on disk: its settings, folder, metrics and events, and how files are written.

pub mod budget;
pub mod config;
pub mod cross_validation;
pub mod events;
pub mod files;
pub mod metrics;
pub mod metrics_log;
pub mod pipes;
pub mod progress;
pub mod reporter;
pub mod rng;
pub mod run_folder;
pub mod stop;
pub mod suggest;

pub use model_core::texts::DISCLAIMER;
