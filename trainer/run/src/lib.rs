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

/// Stands on every screen, report and export.
pub const DISCLAIMER: &str = "Research use only, not a medical device";
