//! Readers and writers of file formats, from bytes and to bytes.

mod dicom;
mod file_kind;
mod lps;
mod mgh;
pub mod nifti;
mod nrrd;
mod number_type;
mod raw_voxels;
mod segment;
pub mod segmentation;
pub mod study;
mod summary;
mod utf8_text;

pub use file_kind::file_kind;
pub use utf8_text::utf8_text;
