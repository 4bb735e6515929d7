//! Integration tests across the crates, one file for each behavior.

mod augmentation;
mod browser;
mod bundle;
mod case_cache;
mod case_geometry;
mod child_processes;
#[cfg(unix)]
mod closed_pipes;
#[cfg(unix)]
mod commands;
mod damaged_headers;
mod data_sets;
mod docs;
#[cfg(unix)]
mod examinations;
mod fuzzing;
mod geometry;
mod gpu_training;
mod hdr_img_pairs;
mod hostile_input;
mod inference;
mod inference_files;
mod kernels;
mod layering;
mod memory;
mod metrics;
mod onnx;
#[cfg(unix)]
mod output_files;
mod parallel;
mod precision;
mod program_matches_model;
mod ranks_alike;
mod report;
mod resume;
mod reversible;
#[cfg(unix)]
mod run_folders;
mod share;
mod sources;
mod tidy;
mod training_loop;
mod training_networks;
mod training_to_prediction;
mod wgsl_engine;
