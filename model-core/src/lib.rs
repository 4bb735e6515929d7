//! The domain and the network of Rewind, from bytes to bytes: volumes, geometry, file formats,
//! preprocessing, metrics, tasks, and the reversible 3D U-Net with its bundle.
//!
//! A [`Volume`] is stored with i fastest, then j, then k, as in NIfTI. A tensor is
//! `[batch, channel, k, j, i]`. So no transpose is needed between file, tensor and GPU.
//!
//! # Example
//! `model-core/examples/load_bundle.rs` opens a model and prints its contents.

pub mod brain;
pub mod cpu;
mod error;
pub mod formats;
pub mod geometry;
mod json;
#[cfg(feature = "burn")]
pub mod kernels;
pub mod metrics;
#[cfg(feature = "burn")]
pub mod nets;
pub mod network;
pub mod phantom;
pub mod prepare;
pub mod registration;
pub mod task;
pub mod texts;
pub mod transform;

pub use error::{Error, Result};
pub use formats::{file_kind, utf8_text};
pub use geometry::{
    Affine, Alignment, DEFAULT_OVERLAP, DEFAULT_TOLERANCE_VOXELS, Grid, LabelMap, NiftiTransforms,
    Orientation, Placement, Resampled, Tiling, Volume, VoxelBox, resample_labels_onto,
    resample_onto,
};
pub use json::from_json;
pub use metrics::EmptyRule;
pub use network::{
    Activation, Array, BUNDLE_VERSION, BackwardMode, Buffer, Bundle, Card, Decoder,
    NetworkSettings, Op, Program, Provenance, Score, UNetConfig, Vae, View, Weights, check_weights,
    orthogonal,
};
pub use registration::{AlignmentCheck, Motion, Registration, are_aligned, register};
pub use task::{
    BUILTIN_TASKS, Case, Head, Label, Region, ScanContent, ScanName, Task, TaskDescription,
    are_same_channels, check_contrast, is_modality, is_same_channel, is_specific_channel,
    nifti_stem, scan_stem, strip_ending, takes_any_contrast, usual_file_names,
};
pub use transform::{
    Foreground, Input, MAX_INPUT_BYTES, NUM_BINS, PreprocessConfig, TargetSize, TargetSpacing,
    chi_square, histograms, keep_largest_of_foreground, keep_largest_of_regions,
    labels_from_logits, labels_from_probabilities, postprocess, preprocess, probabilities,
    region_probabilities, region_probability_bytes, restore_logits, working_bytes,
};
