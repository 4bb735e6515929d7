//! What a network is asked: the task, the cases it is asked about, and how data sets describe both.

mod case;
pub mod dataset;
mod definition;
mod scan_name;

pub(crate) use case::check_channels;
pub use case::{Case, check_contrast};
pub use definition::{BUILTIN_TASKS, Head, Label, Region, Task};
pub use scan_name::{
    Holds, ScanName, are_same_channels, is_contrast, is_same_channel, is_specific, scan_stem,
    usual_names, without_ending,
};
