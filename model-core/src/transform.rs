//! From a case to the network's input, and from its logits to a label map on the scan's own grid.
//! Training, the command and the page share these functions.

mod histogram;
mod intensity;
mod largest_component;
mod postprocess;
mod preprocess;
mod probabilities;

pub use histogram::{NUM_BINS, chi_square, histograms};
pub use largest_component::{keep_largest_of_foreground, keep_largest_of_regions};
pub use postprocess::{decide, postprocess};
pub use preprocess::{
    Foreground, Input, MAX_INPUT_BYTES, PreprocessConfig, preprocess, working_bytes,
};
pub use probabilities::{
    decide_probabilities, probabilities, region_probabilities, restore_logits,
};
