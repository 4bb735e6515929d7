//! What Rewind promises across its crates, one file a promise.

mod augmentation;
mod browser;
mod bundle;
mod cache;
mod case_geometry;
#[cfg(unix)]
mod closed_pipes;
#[cfg(unix)]
mod commands;
mod damaged_headers;
mod data_sets;
mod docs;
mod fuzzing;
mod geometry;
mod gpu_training;
mod harness;
mod hostile_input;
mod inference;
mod inference_files;
mod kernels;
mod layering;
mod memory;
mod metrics;
mod never_lost;
mod onnx;
#[cfg(unix)]
mod outputs;
mod pairs;
mod parallel;
mod precision;
mod program_matches_model;
mod ranks_alike;
mod report;
mod reversible;
#[cfg(unix)]
mod run_folders;
mod share;
mod sources;
mod tidy;
mod training_networks;
mod training_path;
mod wgsl_engine;
