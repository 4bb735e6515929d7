//! The task of a network, its cases, and the descriptions of data sets.

mod builtin;
mod case;
pub mod dataset;
mod definition;
mod scan_name;

pub use builtin::BUILTIN_TASKS;
pub(crate) use case::check_channels;
pub use case::{Case, check_contrast};
pub use definition::{Head, Label, Region, Task, TaskDescription};
pub use scan_name::{
    ScanContent, ScanName, are_same_channels, is_modality, is_same_channel, is_specific_channel,
    nifti_stem, scan_stem, strip_ending, takes_any_contrast, usual_file_names,
};
