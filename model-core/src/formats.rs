//! Readers and writers of file formats, from bytes and to bytes.

mod file_kind;
pub mod nifti;
mod utf8_text;

pub use file_kind::file_kind;
pub use utf8_text::utf8_text;
