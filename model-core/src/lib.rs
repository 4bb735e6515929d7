//! The domain and the network of Rewind: bytes in, bytes out.
//!
//! Axes, stated once: a [`Volume`] is stored i fastest, then j, then k, as NIfTI stores it; a
//! tensor is `[batch, channel, k, j, i]`. So there is no transpose between file, tensor and GPU.

mod affine;
mod alignment;
mod bundle;
mod case;
pub mod config;
pub mod dataset;
mod error;
mod file_kind;
mod histogram;
mod intensity;
#[cfg(feature = "burn")]
pub mod kernels;
mod largest;
pub mod layers;
pub mod metrics;
#[cfg(feature = "burn")]
pub mod nets;
pub mod nifti;
mod orientation;
pub mod phantom;
mod placement;
#[cfg(feature = "burn")]
pub mod plan;
mod postprocess;
mod preprocess;
mod probabilities;
mod program;
mod resample;
mod scan_name;
mod task;
mod text;
pub mod texts;
mod tiling;
mod volume;
mod weights;

pub use affine::Affine;
pub use alignment::{Alignment, DEFAULT_TOLERANCE_VOXELS};
pub use bundle::{BUNDLE_VERSION, Bundle, Card, Provenance, Score};
pub use case::{Case, check_contrast};
pub use config::{Activation, Decoder, UNetConfig, Vae};
pub use error::{Error, Result};
pub use file_kind::file_kind;
pub use histogram::{NUM_BINS, chi_square, histograms};
pub use largest::{keep_largest_of_foreground, keep_largest_of_regions};
pub use metrics::EmptyRule;
pub use orientation::Orientation;
pub use placement::Placement;
pub use postprocess::{decide, postprocess};
pub use preprocess::{
    Foreground, Input, MAX_INPUT_BYTES, PreprocessConfig, preprocess, working_bytes,
};
pub use probabilities::{
    decide_probabilities, probabilities, region_probabilities, restore_logits,
};
pub use program::{Buffer, Op, Program, View};
pub use scan_name::{
    Holds, ScanName, are_same_channels, is_contrast, is_same_channel, is_specific, scan_stem,
    usual_names, without_ending,
};
pub use task::{BUILTIN_TASKS, Head, Label, Region, Task};
pub use text::text;
pub use tiling::{DEFAULT_OVERLAP, Tiling};
pub use volume::{Forms, Grid, LabelMap, Volume};
pub use weights::{Array, Weights, check_weights, orthogonal};
