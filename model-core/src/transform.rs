//! Preprocessing from a case to the network's input, and postprocessing from its logits to a label
//! map on the scan's own grid. Training, the command line and the page share these functions.

mod config;
mod histogram;
mod intensity;
mod largest_component;
mod postprocess;
mod preprocess;
mod probabilities;

pub use config::{Foreground, PreprocessConfig, TargetSize, TargetSpacing};
pub use histogram::{NUM_BINS, chi_square, histograms};
pub use largest_component::{keep_largest_of_foreground, keep_largest_of_regions};
pub use postprocess::{labels_from_logits, postprocess};
pub use preprocess::{Input, MAX_INPUT_BYTES, preprocess, working_bytes};
pub use probabilities::{
    labels_from_probabilities, probabilities, region_probabilities, region_probability_bytes,
    restore_logits,
};
