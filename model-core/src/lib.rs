//! The domain and the network of Rewind: bytes in, bytes out.
//!
//! Axes, stated once: a [`Volume`] is stored i fastest, then j, then k, as NIfTI stores it; a
//! tensor is `[batch, channel, k, j, i]`. So there is no transpose between file, tensor and GPU.

mod error;
pub mod formats;
pub mod geometry;
#[cfg(feature = "burn")]
pub mod kernels;
pub mod metrics;
#[cfg(feature = "burn")]
pub mod nets;
pub mod network;
pub mod phantom;
pub mod task;
pub mod texts;
pub mod transform;

pub use error::{Error, Result};
pub use formats::{file_kind, text};
pub use geometry::{
    Affine, Alignment, DEFAULT_OVERLAP, DEFAULT_TOLERANCE_VOXELS, Grid, LabelMap, NiftiTransforms,
    Orientation, Placement, Tiling, Volume,
};
pub use metrics::EmptyRule;
pub use network::{
    Activation, Array, BUNDLE_VERSION, Buffer, Bundle, Card, Decoder, Op, Program, Provenance,
    Score, UNetConfig, Vae, View, Weights, check_weights, orthogonal,
};
pub use task::{
    BUILTIN_TASKS, Case, Head, Holds, Label, Region, ScanName, Task, are_same_channels,
    check_contrast, is_contrast, is_same_channel, is_specific, scan_stem, usual_names,
    without_ending,
};
pub use transform::{
    Foreground, Input, MAX_INPUT_BYTES, NUM_BINS, PreprocessConfig, chi_square, decide,
    decide_probabilities, histograms, keep_largest_of_foreground, keep_largest_of_regions,
    postprocess, preprocess, probabilities, region_probabilities, restore_logits, working_bytes,
};
